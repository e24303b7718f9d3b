package oracle

import (
	"fmt"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/placement"
)

func ids(text string) []int32 {
	var tokens []int32
	for _, r := range text {
		tokens = append(tokens, r)
	}
	return tokens
}

// picture writes a sequence a row a token: the token, its position, and what it
// sees.
func picture(f *flat) string {
	var b strings.Builder
	for i, t := range f.tokens {
		fmt.Fprintf(&b, "%c%3d ", t, f.positions[i])
		for j := range f.tokens {
			b.WriteByte(".x"[map[bool]int{false: 0, true: 1}[f.sees[i][j]]])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// TestFlatten draws the placement table for the context abcd, evidence ef (and
// g) and the target xyz.
func TestFlatten(t *testing.T) {
	echo := func(p placement.Placement, n int) placement.Placement {
		p, err := p.WithEcho(n)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	inChat := placement.Prepend
	inChat.At = 1
	const plain = `
a  0 x.....
b  1 xx....
c  2 xxx...
d  3 xxxx..
x  4 xxxxx.
y  5 xxxxxx`
	for _, c := range []struct {
		name     string
		p        placement.Placement
		context  string
		evidence []string
		want     string
	}{
		{"none", placement.None, "abcd", nil, plain},
		{"no evidence", placement.Virtual, "abcd", nil, plain},
		{"one token", placement.Append, "a", []string{"ef"}, `
a  0 x..
x  1 xx.
y  2 xxx`},
		{"prepend", placement.Prepend, "abcd", []string{"ef"}, `
e  0 x.......
f  1 xx......
a  2 xxx.....
b  3 xxxx....
c  4 xxxxx...
d  5 xxxxxx..
x  6 xxxxxxx.
y  7 xxxxxxxx`},
		{"prepend in chat", inChat, "abcd", []string{"ef"}, `
a  0 x.......
e  1 xx......
f  2 xxx.....
b  3 xxxx....
c  4 xxxxx...
d  5 xxxxxx..
x  6 xxxxxxx.
y  7 xxxxxxxx`},
		{"append", placement.Append, "abcd", []string{"ef"}, `
a  0 x.......
b  1 xx......
c  2 xxx.....
d  3 xxxx....
e  4 xxxxx...
f  5 xxxxxx..
x  6 xxxxxxx.
y  7 xxxxxxxx`},
		{"append, echo 2", echo(placement.Append, 2), "abcd", []string{"ef"}, `
a  0 x.........
b  1 xx........
c  2 xxx.......
d  3 xxxx......
e  4 xxxxx.....
f  5 xxxxxx....
c  6 xxxxxxx...
d  7 xxxxxxxx..
x  8 xxxxxxxxx.
y  9 xxxxxxxxxx`},
		{"append, an echo of all but token 0", echo(placement.Append, 16), "abc", []string{"e"}, `
a  0 x.......
b  1 xx......
c  2 xxx.....
e  3 xxxx....
b  4 xxxxx...
c  5 xxxxxx..
x  6 xxxxxxx.
y  7 xxxxxxxx`},
		{"virtual", placement.Virtual, "abcd", []string{"ef"}, `
a  0 x........
b  1 xx.......
c  2 xxx......
d  3 xxxx.....
e -2 x...x....
f -1 x...xx...
d  3 xxx.xxx..
x  4 xxx.xxxx.
y  5 xxx.xxxxx`},
		{"virtual, echo 2", echo(placement.Virtual, 2), "abcd", []string{"ef"}, `
a  0 x.........
b  1 xx........
c  2 xxx.......
d  3 xxxx......
e -2 x...x.....
f -1 x...xx....
c  2 xx..xxx...
d  3 xx..xxxx..
x  4 xx..xxxxx.
y  5 xx..xxxxxx`},
		{"virtual, an echo of all but token 0", echo(placement.Virtual, 16), "abc", []string{"e"}, `
a  0 x.......
b  1 xx......
c  2 xxx.....
e -1 x..x....
b  1 x..xx...
c  2 x..xxx..
x  3 x..xxxx.
y  4 x..xxxxx`},
		{"virtual, side by side", placement.Virtual, "abcd", []string{"ef", "g"}, `
a  0 x.........
b  1 xx........
c  2 xxx.......
d  3 xxxx......
e -2 x...x.....
f -1 x...xx....
g -1 x.....x...
d  3 xxx.xxxx..
x  4 xxx.xxxxx.
y  5 xxx.xxxxxx`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var evidence [][]int32
			for _, e := range c.evidence {
				evidence = append(evidence, ids(e))
			}
			f, err := flatten(c.p, ids(c.context), evidence, ids("xyz"))
			if err != nil {
				t.Fatal(err)
			}
			if got := "\n" + strings.TrimSuffix(picture(f), "\n"); got != c.want {
				t.Errorf("got%s\nwant%s", got, c.want)
			}
		})
	}
}

func TestFlattenRefuses(t *testing.T) {
	behind := placement.Prepend
	behind.At = 4
	for _, c := range []struct {
		p        placement.Placement
		passages int
		want     string
	}{
		{placement.Append, 2, "2 passages in one sequence"},
		{behind, 1, "at token 4 of a text of 4"},
	} {
		if _, err := flatten(c.p, ids("abcd"), [][]int32{ids("e"), ids("f")}[:c.passages], ids("x")); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one that says %q", err, c.want)
		}
	}
}
