package placement

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Turn is the echo that repeats a conversation's whole turn: the user's message and
// the answer so far. How many tokens that are is known at each stride only.
const Turn = -1

// Echo is an echo as people and files say it: a number of tokens, or "turn".
type Echo int

// ParseEcho reads a number of tokens or "turn".
func ParseEcho(s string) (Echo, error) {
	if s == "turn" {
		return Turn, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("echo %q: give a number of tokens or \"turn\"", s)
	}
	return Echo(n), nil
}

// String returns what ParseEcho reads.
func (e Echo) String() string {
	if e == Turn {
		return "turn"
	}
	return strconv.Itoa(int(e))
}

// MarshalJSON writes a number or "turn".
func (e Echo) MarshalJSON() ([]byte, error) {
	if e == Turn {
		return []byte(`"turn"`), nil
	}
	return []byte(e.String()), nil
}

// UnmarshalJSON reads a number or "turn".
func (e *Echo) UnmarshalJSON(data []byte) (err error) {
	s := string(data)
	if len(data) > 0 && data[0] == '"' {
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
	}
	*e, err = ParseEcho(s)
	return err
}

// ForTurn returns the placement with its echo in tokens, for a text of that length whose
// last turn begins at a token of it.
func (p Placement) ForTurn(text, begins int) Placement {
	if p.Echo == Turn {
		p.Echo = max(1, text-begins)
	}
	return p
}
