package tokenizer

import "unicode/utf8"

// Byte-level BPE writes its vocabulary in an alphabet of 256 printable characters, one a byte: a byte that is printable in
// Latin-1 stands for itself, and the 68 others, in order, are U+0100 and up. So a space is written Ġ, a newline Ċ.

// byteRune is the character that stands for a byte.
var byteRune = func() (alphabet [256]rune) {
	next := rune(0x100)
	for b := range rune(256) {
		if '!' <= b && b <= '~' || '¡' <= b && b <= '¬' || '®' <= b && b <= 'ÿ' {
			alphabet[b] = b
		} else {
			alphabet[b] = next
			next++
		}
	}
	return alphabet
}()

// runeByte is the inverse: the byte that a character stands for, -1 where it stands for none.
var runeByte = func() (inverse [0x144]int16) {
	for i := range inverse {
		inverse[i] = -1
	}
	for b, r := range byteRune {
		inverse[r] = int16(b)
	}
	return inverse
}()

// appendAlphabet appends the bytes that token, a name written in the byte alphabet, stands for. A name with any other
// character stands for itself.
func appendAlphabet(text []byte, token string) []byte {
	start := len(text)
	for _, r := range token {
		if r >= rune(len(runeByte)) || runeByte[r] < 0 {
			return append(text[:start], token...)
		}
		text = append(text, byte(runeByte[r]))
	}
	return text
}

// toAlphabet writes bytes in the byte alphabet.
func toAlphabet(text string) string {
	name := make([]byte, 0, 2*len(text))
	for i := range len(text) {
		name = utf8.AppendRune(name, byteRune[text[i]])
	}
	return string(name)
}
