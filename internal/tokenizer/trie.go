package tokenizer

// maxSpecialBytes bounds the length of the special tokens that are looked for, and with it the time that this takes at any
// place of a text. Longer ones decode, but no text is ever recognised as one.
const maxSpecialBytes = 1 << 12

// trie finds tokens in text. The nil trie holds none.
type trie struct {
	next map[byte]*trie
	id   int32 // the token that ends here, -1 for none
}

// with adds a token and returns the trie, made if it was nil.
func (t *trie) with(token string, id int32) *trie {
	if t == nil {
		t = &trie{id: -1}
	}
	node := t
	for i := range len(token) {
		child := node.next[token[i]]
		if child == nil {
			child = &trie{id: -1}
			if node.next == nil {
				node.next = make(map[byte]*trie, 1)
			}
			node.next[token[i]] = child
		}
		node = child
	}
	node.id = id
	return t
}

// longest gives the longest token that text begins with, and its length; the length is 0 when there is none.
func (t *trie) longest(text string) (id int32, length int) {
	if t == nil {
		return 0, 0
	}
	node := t
	for i := range len(text) {
		if node = node.next[text[i]]; node == nil {
			break
		}
		if node.id >= 0 {
			id, length = node.id, i+1
		}
	}
	return id, length
}

// cut walks through text and hands over, in order, the tokens in it and the text between them, never empty.
func (t *trie) cut(text string, plain func(text string), token func(id int32)) {
	start := 0
	if t != nil {
		for i := 0; i < len(text); {
			id, n := t.longest(text[i:])
			if n == 0 {
				i++
				continue
			}
			if start < i {
				plain(text[start:i])
			}
			token(id)
			i += n
			start = i
		}
	}
	if start < len(text) {
		plain(text[start:])
	}
}
