package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/atomicfile"
)

// A checkpoint is all that a run needs to go on as if it had not stopped:
//
//	magic (8) | length of the header (4) | header, JSON | tensors, f32 | SHA-256 (32)
//
// in little endian. The tensors are the parameters, then AdamW's first and second
// moments, each in the order of lora.Weights.Tensors; the sum is over all before it.
// Dropout is drawn by seed, step and window, so the header holds all random state.
const (
	checkpointMagic = "FBTRAIN1"
	maxHeader       = 1 << 20
)

// Config is what decides the result of a run: checkpoints of another are refused.
type Config struct {
	Recipe Recipe `json:"recipe"`
	// Digests of what the run reads.
	Model      string `json:"model"`
	Examples   string `json:"examples"`
	Validation string `json:"validation,omitempty"`
	Initial    string `json:"initial"`            // the adapter that it starts from; Run fills it in
	Rounding   string `json:"rounding,omitempty"` // what products with the model's weights round their operands to
}

// state is the header of a checkpoint.
type state struct {
	Config    Config  `json:"config"`
	Step      int     `json:"step"`      // steps taken
	Next      int     `json:"next"`      // windows taken; the next is this one, modulo their number
	Validated int     `json:"validated"` // step of the last validation
	Best      *best   `json:"best,omitempty"`
	Waited    int     `json:"waited"`  // validations since the best
	Seconds   float64 `json:"seconds"` // of training
}

// best is the validation with the least loss.
type best struct {
	Step int     `json:"step"`
	Loss float64 `json:"loss"`
}

// errDamaged marks a checkpoint whose bytes are not those that were written.
var errDamaged = errors.New("damaged")

// writeCheckpoint writes the state and the groups of tensors to path, atomically.
func writeCheckpoint(path string, s state, groups ...[][]float32) error {
	header, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		sum := sha256.New()
		both := io.MultiWriter(w, sum)
		head := binary.LittleEndian.AppendUint32([]byte(checkpointMagic), uint32(len(header)))
		if _, err := both.Write(append(head, header...)); err != nil {
			return err
		}
		for _, group := range groups {
			for _, tensor := range group {
				if err := binary.Write(both, binary.LittleEndian, tensor); err != nil {
					return err
				}
			}
		}
		_, err := w.Write(sum.Sum(nil))
		return err
	})
}

// readCheckpoint reads the checkpoint at path into tensors of the shapes that the
// configuration has. A checkpoint of another configuration is an error that says
// what differs; one whose bytes are wrong is errDamaged, and then the tensors hold
// nothing of use.
func readCheckpoint(path string, want Config, groups ...[][]float32) (state, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return state{}, err
	}
	s, err := parseCheckpoint(data, want, groups...)
	if err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func parseCheckpoint(data []byte, want Config, groups ...[][]float32) (s state, err error) {
	damaged := func(reason string) (state, error) { return state{}, fmt.Errorf("%s: %w", reason, errDamaged) }
	end := len(data) - sha256.Size
	if end < len(checkpointMagic)+4 || string(data[:len(checkpointMagic)]) != checkpointMagic {
		return damaged("not a checkpoint")
	}
	if sum := sha256.Sum256(data[:end]); !bytes.Equal(sum[:], data[end:]) {
		return damaged("its checksum is wrong")
	}
	rest := data[len(checkpointMagic):end]
	length := binary.LittleEndian.Uint32(rest)
	rest = rest[4:]
	if length > maxHeader || int(length) > len(rest) {
		return damaged("its header is longer than the file")
	}
	if err := json.Unmarshal(rest[:length], &s); err != nil {
		return damaged("its header is not JSON of a checkpoint")
	}
	if differs := s.Config.differences(want); len(differs) > 0 {
		return s, &otherConfigError{differs}
	}
	if s.Step < 0 || s.Next < 0 || s.Validated < 0 || s.Waited < 0 {
		return damaged("its header counts below 0")
	}
	rest = rest[length:]
	need := 0
	for _, group := range groups {
		for _, tensor := range group {
			need += 4 * len(tensor)
		}
	}
	if len(rest) != need {
		return damaged(fmt.Sprintf("%d bytes of tensors, the adapter needs %d", len(rest), need))
	}
	for _, group := range groups {
		for _, tensor := range group {
			for i := range tensor {
				tensor[i] = math.Float32frombits(binary.LittleEndian.Uint32(rest))
				rest = rest[4:]
			}
		}
	}
	return s, nil
}

// otherConfigError says that a checkpoint is of another configuration.
type otherConfigError struct{ differs []string }

func (e *otherConfigError) Error() string {
	return fmt.Sprintf("a checkpoint of another training: %s; train in another directory, or begin anew with --restart",
		strings.Join(e.differs, ", "))
}

// differences names what two configurations do not share.
func (c Config) differences(other Config) []string {
	was, is := flatten(c), flatten(other)
	var differs []string
	for name, value := range is {
		if !reflect.DeepEqual(was[name], value) {
			differs = append(differs, fmt.Sprintf("%s is %v here and was %v", name, value, was[name]))
		}
	}
	slices.Sort(differs)
	return differs
}

// flatten returns the fields of a configuration by their JSON names.
func flatten(c Config) map[string]any {
	fields := map[string]any{
		"model": short(c.Model), "examples": short(c.Examples), "validation": short(c.Validation), "initial adapter": short(c.Initial),
	}
	if fields["compute"] = "f32"; c.Rounding != "" {
		fields["compute"] = c.Rounding
	}
	recipe := reflect.ValueOf(c.Recipe)
	for i := range recipe.NumField() {
		name, _, _ := strings.Cut(recipe.Type().Field(i).Tag.Get("json"), ",")
		fields[strings.ReplaceAll(name, "_", "-")] = recipe.Field(i).Interface()
	}
	return fields
}

// short is enough of a digest to tell two apart.
func short(digest string) string {
	if digest == "" {
		return "none"
	}
	return digest[:min(16, len(digest))]
}

// digest returns the SHA-256 of tensors, in hexadecimal.
func digest(tensors [][]float32) string {
	h := sha256.New()
	for _, t := range tensors {
		binary.Write(h, binary.LittleEndian, t) // a hash takes all bytes
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
