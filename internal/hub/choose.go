package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// choice is what of a repository's files makes a model.
type choice struct {
	files []string // slash-separated, below the repository
	whole bool     // the model is the directory with them; else it is the first
}

// in returns the model that the choice is of a snapshot of the repository; false where a
// file of it is absent.
func (c choice) in(snapshot, name string) (Model, bool) {
	m := Model{Name: name, Path: snapshot, Source: SourceHub}
	for i, file := range c.files {
		path := filepath.Join(snapshot, filepath.FromSlash(file))
		info, err := os.Stat(path) // of a link, what it leads to
		if err != nil || info.IsDir() {
			return m, false
		}
		m.Size += info.Size()
		if i == 0 && !c.whole {
			m.Path = path
		}
	}
	return m, true
}

// errPart: a model in several files is not whole.
var errPart = errors.New("a part of the model is missing")

// choose picks from the files of a repository, or of a snapshot of it, what r asks for: a
// .gguf file with all of its parts, the only one of a quantisation, the only one at all, or
// a directory as Hugging Face's libraries save it.
func (r reference) choose(files []string) (choice, error) {
	models := ggufModels(files)
	switch {
	case r.file != "":
		return allParts(r.name, r.file, files)
	case r.quant == safetensors:
		return r.chooseDirectory(files)
	case r.quant != "":
		fit := slices.DeleteFunc(slices.Clone(models), func(file string) bool { return !isQuantised(file, r.quant) })
		if len(fit) == 0 && len(models) > 0 {
			return choice{}, fmt.Errorf("%s: no .gguf file is %s; there are: %s", r.name, r.quant, strings.Join(models, ", "))
		}
		models = fit
	case len(models) == 0 && hasWeights(files):
		return r.chooseDirectory(files)
	}
	file, err := single(r.name, models)
	if err != nil {
		return choice{}, err
	}
	return allParts(r.name, file, files)
}

// safetensors is the quantisation of a directory's weights, as it were.
const safetensors = "SAFETENSORS"

// weightFile is a file of weights as transformers names them; the numbers are those of a
// shard and of all.
var weightFile = regexp.MustCompile(`^model(-(\d{5})-of-(\d{5}))?\.safetensors$`)

// sideFiles are what else of a directory a model is made from, config.json first.
var sideFiles = []string{"config.json", "generation_config.json", "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json",
	"special_tokens_map.json", "chat_template.jinja", "tokenizer.model", "vocab.json", "merges.txt"}

// hasWeights reports whether a directory has weights under Hugging Face's names.
func hasWeights(files []string) bool {
	return slices.Contains(files, "config.json") && slices.ContainsFunc(files, func(name string) bool {
		return weightFile.MatchString(name) || isPickle(name)
	})
}

func isPickle(name string) bool {
	return strings.HasPrefix(name, "pytorch_model") && strings.HasSuffix(name, ".bin")
}

func (r reference) chooseDirectory(files []string) (choice, error) {
	c := choice{whole: true}
	for _, name := range sideFiles {
		if slices.Contains(files, name) {
			c.files = append(c.files, name)
		}
	}
	shards, weights := 0, 0
	for _, name := range slices.Sorted(slices.Values(files)) {
		if m := weightFile.FindStringSubmatch(name); m != nil {
			weights++
			shards, _ = strconv.Atoi(m[3])
			c.files = append(c.files, name)
		}
	}
	switch {
	case !slices.Contains(files, "config.json"):
		return choice{}, fmt.Errorf("%s holds no config.json, which a model of safetensors has", r.name)
	case weights == 0 && slices.ContainsFunc(files, isPickle):
		return choice{}, fmt.Errorf("%s holds its weights as Python pickles, which are not read since they can run code: convert them on a machine that trusts them, with "+
			"transformers' AutoModelForCausalLM.from_pretrained(…).save_pretrained(DIR), and use --model DIR", r.name)
	case weights == 0:
		return choice{}, fmt.Errorf("%s holds no model.safetensors", r.name)
	case shards > 0 && weights != shards:
		return choice{}, fmt.Errorf("%s holds %d of the %d files of its weights: %w", r.name, weights, shards, errPart)
	}
	return c, nil
}

// partPattern is the name of a part of a model in several .gguf files.
var partPattern = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})(\.[gG][gG][uU][fF])$`)

// isPart reports whether a file is a part of a model.
func isPart(file string) bool { return partPattern.MatchString(file) }

// ggufModels returns the .gguf files of language models, of those in parts the first.
func ggufModels(files []string) []string {
	var models []string
	for _, file := range files {
		m := partPattern.FindStringSubmatch(file)
		if isGGUF(file) && (m == nil || m[2] == "00001") && !strings.HasPrefix(path.Base(file), "mmproj") {
			models = append(models, file)
		}
	}
	slices.Sort(models)
	return models
}

// allParts returns file, or all parts that it is one of, which files must have.
func allParts(name, file string, files []string) (choice, error) {
	m := partPattern.FindStringSubmatch(file)
	if m == nil {
		return choice{files: []string{file}}, nil
	}
	count, _ := strconv.Atoi(m[3])
	var c choice
	for i := range count {
		part := fmt.Sprintf("%s-%05d-of-%s%s", m[1], i+1, m[3], m[4])
		if !slices.Contains(files, part) {
			return choice{}, fmt.Errorf("%s holds %s and not %s: %w", name, file, part, errPart)
		}
		c.files = append(c.files, part)
	}
	return c, nil
}

// isQuantised reports whether the name of a file says that quantisation: Q4_K_M in
// model-Q4_K_M.gguf and q4_k_m/model.gguf, but not Q4_K.
func isQuantised(file, quant string) bool {
	found, err := regexp.MatchString(`(?i)(^|[-._/])`+regexp.QuoteMeta(quant)+`($|[-./])`, file)
	return err == nil && found
}

// allFiles returns the files below a directory, links to files among them, as
// slash-separated paths.
func allFiles(dir string) ([]string, error) {
	var files []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	return files, err
}
