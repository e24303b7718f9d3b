package tokenizer

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// HuggingFace returns the files with which Hugging Face's libraries make the same
// tokenizer, JSON by name. The added tokens get the ids behind the vocabulary.
func (t *Tokenizer) HuggingFace(added ...string) (map[string]any, error) {
	c := &t.config
	type object = map[string]any
	vocab := make(map[string]int, len(c.Tokens))
	names := slices.Clone(c.Tokens) // each once, as JSON needs
	for id, token := range names {
		if last, ok := t.ID(token); !ok || last != int32(id) {
			names[id] = fmt.Sprintf("[UNNAMED_%d]", id)
		}
	}
	special := []object{}
	add := func(id int, token string, control bool) {
		special = append(special, object{
			"id": id, "content": token, "special": control,
			"single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
		})
	}
	for id, token := range names {
		if !utf8.ValidString(token) {
			return nil, fmt.Errorf("tokenizer: token %d is not valid UTF-8, which JSON needs", id)
		}
		vocab[token] = id
		if control := t.IsControl(int32(id)); control || t.kind(int32(id)) == TypeUserDefined {
			add(id, token, control)
		}
	}
	for i, token := range added {
		if id, ok := t.ID(token); ok {
			return nil, fmt.Errorf("tokenizer: %s is a token of the model already: %d", token, id)
		}
		add(len(c.Tokens)+i, token, true)
	}
	merges := make([][2]string, 0, len(c.Merges))
	for _, m := range c.Merges {
		left, right, _ := strings.Cut(m, " ")
		if t.isWord(left) && t.isWord(right) && t.isWord(left+right) { // the others are refused there
			merges = append(merges, [2]string{left, right})
		}
	}
	if c.Model == "llama" {
		merges = t.madeMerges()
	}
	var normalizer any
	if c.Pre == "qwen2" {
		normalizer = object{"type": "NFC"}
	}
	bytesOf := func(split bool) object {
		return object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": split}
	}
	sequence := func(first object, split bool) object {
		return object{"type": "Sequence", "pretokenizers": []object{first, bytesOf(split)}}
	}
	regex := func(digits string) object {
		return object{"type": "Split", "behavior": "Isolated", "invert": false, "pattern": object{
			"Regex": wordRegex(digits),
		}}
	}
	var pre any = bytesOf(true) // gpt-2
	switch c.Pre {
	case "smollm":
		pre = sequence(object{"type": "Digits", "individual_digits": true}, true)
	case "llama-bpe":
		pre = sequence(regex(`\p{N}{1,3}`), false)
	case "qwen2":
		pre = sequence(regex(`\p{N}`), false)
	}
	var post any
	if lead := t.Lead(); len(lead) > 0 {
		bos := c.Tokens[lead[0]]
		sequence := func(name string, kind int) object { return object{"Sequence": object{"id": name, "type_id": kind}} }
		first := func(kind int) object { return object{"SpecialToken": object{"id": bos, "type_id": kind}} }
		post = object{
			"type": "TemplateProcessing", "single": []object{first(0), sequence("A", 0)},
			"pair":           []object{first(0), sequence("A", 0), first(1), sequence("B", 1)},
			"special_tokens": object{bos: object{"id": bos, "ids": lead, "tokens": []string{bos}}},
		}
	}
	config := object{"add_bos_token": post != nil, "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false}
	for key, id := range map[string]int32{"bos_token": c.BOS, "eos_token": c.EOS, "unk_token": c.Unknown, "pad_token": c.Padding} {
		if id >= 0 {
			config[key] = names[id]
		}
	}
	if c.ChatTemplate != "" {
		config["chat_template"] = c.ChatTemplate
	}
	model := object{
		"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
		"fuse_unk": false, "byte_fallback": false, "ignore_merges": t.pre.wholeFirst, "vocab": vocab, "merges": merges,
	}
	decoder := bytesOf(true)
	if c.Model == "llama" {
		replace := func(from, to string) object {
			return object{"type": "Replace", "pattern": object{"String": from}, "content": to}
		}
		normalizer, pre = replace(" ", blankMark), nil
		decoders := []object{replace(blankMark, " "), {"type": "ByteFallback"}, {"type": "Fuse"}}
		if c.SpacePrefix == nil || *c.SpacePrefix {
			normalizer = object{"type": "Sequence", "normalizers": []any{object{"type": "Prepend", "prepend": blankMark}, normalizer}}
			decoders = append(decoders, object{"type": "Strip", "content": " ", "start": 1, "stop": 0})
		}
		decoder = object{"type": "Sequence", "decoders": decoders}
		model["byte_fallback"], model["fuse_unk"] = true, true
		if c.Unknown >= 0 {
			model["unk_token"] = c.Tokens[c.Unknown]
		}
	}
	return map[string]any{
		"tokenizer.json": object{
			"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": special, "normalizer": normalizer,
			"pre_tokenizer": pre, "post_processor": post, "decoder": decoder, "model": model,
		},
		"tokenizer_config.json": config,
	}, nil
}

// isWord tells whether text may become the token of that name.
func (t *Tokenizer) isWord(name string) bool {
	_, ok := t.words[name]
	return ok
}
