package tokenizer

// maxSpecialBytes bounds the length of the special tokens that are looked for, and with it the time that this takes at any
// place of a text. Longer ones decode, but no text is ever recognised as one.
const maxSpecialBytes = 1 << 12

// trie finds tokens in text. The nil trie holds none.
type trie struct{ first [256]*node } // by the first byte, which most places of a text are ruled out by

type node struct {
	next map[byte]*node
	id   int32 // the token that ends here, -1 for none
}

// with adds a token, which is not empty, and returns the trie, made if it was nil.
func (t *trie) with(token string, id int32) *trie {
	if t == nil {
		t = &trie{}
	}
	at := t.first[token[0]]
	if at == nil {
		at = &node{id: -1}
		t.first[token[0]] = at
	}
	for i := 1; i < len(token); i++ {
		child := at.next[token[i]]
		if child == nil {
			child = &node{id: -1}
			if at.next == nil {
				at.next = make(map[byte]*node, 1)
			}
			at.next[token[i]] = child
		}
		at = child
	}
	at.id = id
	return t
}

// longest gives the longest token that text begins with, and its length; the length is 0 when there is none.
func (t *trie) longest(text string) (id int32, length int) {
	if t == nil || text == "" {
		return 0, 0
	}
	at := t.first[text[0]]
	for i := 1; at != nil; i++ {
		if at.id >= 0 {
			id, length = at.id, i
		}
		if i == len(text) {
			break
		}
		at = at.next[text[i]]
	}
	return id, length
}
