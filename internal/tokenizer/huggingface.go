package tokenizer

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"
)

// HuggingFace returns the files with which Hugging Face's libraries make the same
// tokenizer, JSON by name. The added tokens get the ids behind the vocabulary.
func (t *Tokenizer) HuggingFace(added ...string) (map[string]any, error) {
	if t.files != nil {
		if files, err := t.ownFiles(added); !errors.Is(err, fs.ErrNotExist) {
			return files, err
		}
	}
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
	if preName(c.Pre) == "qwen2" {
		normalizer = object{"type": "NFC"}
	}
	bytesOf := func(split bool) object {
		return object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": split}
	}
	cut := func(regex string) object {
		return object{"type": "Split", "behavior": "Isolated", "invert": false, "pattern": object{"Regex": regex}}
	}
	sequence := func(stages ...object) object { return object{"type": "Sequence", "pretokenizers": stages} }
	var pre any
	switch name := preName(c.Pre); name {
	case "gpt-2":
		pre = bytesOf(true)
	case "smollm":
		pre = sequence(object{"type": "Digits", "individual_digits": true}, bytesOf(true))
	case "none":
		pre = bytesOf(false)
	case "default":
		pre = sequence(cut(`[\p{P}\$\+<=>\^~\|]+`), cut(gpt2Words), cut(`\p{N}+`), cut(`[0-9][0-9][0-9]`), bytesOf(false))
	case "llama-bpe":
		pre = sequence(cut(llamaWords(`\p{N}{1,3}`)), bytesOf(false))
	default:
		for words, other := range preNames {
			if other == name {
				pre = sequence(cut(words), bytesOf(false))
			}
		}
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
		normalizer, pre = replace(" ", blankMark), nil // a tokenizer of a GGUF file: FromHuggingFace keeps its files
		decoders := []object{replace(blankMark, " "), {"type": "ByteFallback"}, {"type": "Fuse"}}
		if len(c.Normalize) > 1 {
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

// ownFiles returns the files that the tokenizer was read from, with tokens added.
func (t *Tokenizer) ownFiles(added []string) (map[string]any, error) {
	var file, settings map[string]any
	if err := readJSON(t.files, "tokenizer.json", &file); err != nil {
		return nil, err
	}
	if err := readJSON(t.files, "tokenizer_config.json", &settings); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if settings == nil {
		settings = map[string]any{"tokenizer_class": "PreTrainedTokenizerFast"}
	}
	all, _ := file["added_tokens"].([]any)
	for i, token := range added {
		if id, ok := t.ID(token); ok {
			return nil, fmt.Errorf("tokenizer: %s is a token of the model already: %d", token, id)
		}
		all = append(all, map[string]any{
			"id": t.Size() + i, "content": token, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
		})
	}
	file["added_tokens"] = all
	if t.config.ChatTemplate != "" {
		settings["chat_template"] = t.config.ChatTemplate
	}
	return map[string]any{"tokenizer.json": file, "tokenizer_config.json": settings}, nil
}
