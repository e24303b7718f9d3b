package tokenizer

import (
	"slices"
	"strings"
	"unicode"

	"github.com/flashback-lm/flashback/internal/tokenizer/jinja"
)

// Lead gives what the model reads in front of every text: its BOS, or nothing. It stands there once, where a sequence begins,
// whatever follows: a prompt, a conversation, a window of a document. It is no text: in no query and never predicted.
func (t *Tokenizer) Lead() []int32 {
	if !t.addsBOS() || t.config.BOS < 0 {
		return nil
	}
	return []int32{t.config.BOS}
}

// addsBOS tells whether texts begin with BOS. Files without the key mean what llama.cpp takes them to mean.
func (t *Tokenizer) addsBOS() bool {
	if add := t.config.AddBOS; add != nil {
		return *add
	}
	return t.pre.bos
}

// WithLead gives ids with the Lead in front, unless they begin with it already, as what a template or a user wrote out may.
func (t *Tokenizer) WithLead(ids []int32) []int32 {
	lead := t.Lead()
	if len(ids) >= len(lead) && slices.Equal(ids[:len(lead)], lead) {
		return ids
	}
	return slices.Concat(lead, ids)
}

// knownEnds are the tokens that end a turn or a text, by the names that models' templates have for them. Files say of one
// that it is the end, and often not of that which a chat's turns end with. The names of value true can only be meant so;
// others, like the </s> of crossed-out text, may be an ordinary word of a vocabulary.
var knownEnds = map[string]bool{
	"<|endoftext|>": true, "<|end_of_text|>": true, "<|eos|>": true,
	"<|im_end|>": true, "<|eot_id|>": true, "<|eom_id|>": true, "<|eot|>": true, "<|end|>": true, "<|return|>": true, "<|call|>": true,
	"<|end_of_turn|>": true, "<|endofturn|>": true, "<|END_OF_TURN_TOKEN|>": true, "<end_of_turn>": true, "<turn|>": true,
	"<end_of_utterance>": true, "<｜end▁of▁sentence｜>": true,
	"</s>": false, "<eos>": false, "<EOT>": false, "[EOT]": false, "[EOS]": false,
}

// Ends gives the ids that end a turn or a text, ascending: those that the file says, those whose names are known, and the
// token that the chat template writes behind what the assistant said.
func (t *Tokenizer) Ends() []int32 { return t.ends() }

func (t *Tokenizer) findEnds() []int32 {
	ends := slices.Clone(t.config.Ends)
	ends = append(ends, t.config.EOS)
	for name := range knownEnds {
		if id, ok := t.marks[name]; ok {
			ends = append(ends, id)
		}
	}
	ends = append(ends, t.templateEnd())
	slices.Sort(ends)
	ends = slices.Compact(ends)
	return slices.DeleteFunc(ends, func(id int32) bool { return id < 0 || int(id) >= t.Size() })
}

// templateEnd is the control token behind the assistant's content in the template, -1 for none.
func (t *Tokenizer) templateEnd() int32 {
	const said = "Yes, indeed."
	text, err := t.render([]any{
		jinja.NewDict("role", "user", "content", "Really?"),
		jinja.NewDict("role", "assistant", "content", said),
	}, false)
	if err != nil {
		return -1
	}
	at := strings.LastIndex(text, said)
	if at < 0 {
		return -1
	}
	id, n := t.written.longest(strings.TrimLeftFunc(text[at+len(said):], unicode.IsSpace))
	if n == 0 || !t.IsControl(id) || id == t.config.BOS {
		return -1
	}
	return id
}

// withControlEnds gives the types with those tokens as control ones that can only be meant so. Converters have left such
// tokens ordinary, and then a document that names one would end a turn.
func withControlEnds(tokens []string, types []int32) []int32 {
	given := types
	for id, token := range tokens {
		if !knownEnds[token] || given != nil && (id >= len(given) || given[id] == TypeControl || given[id] == TypeUnknown) {
			continue
		}
		if given == nil && types == nil {
			types = slices.Repeat([]int32{TypeNormal}, len(tokens))
		} else if given != nil && &types[0] == &given[0] {
			types = slices.Clone(given)
		}
		types[id] = TypeControl
	}
	return types
}
