package eval

import "testing"

func TestParseRow(t *testing.T) {
	for s, want := range map[string]string{
		"none":                      "none",
		"virtual":                   "virtual",
		"virtual:echo=1:k=1":        "virtual",
		"virtual:k=2":               "virtual:k=2",
		"virtual:k=2:echo=16":       "virtual:echo=16:k=2",
		"append:echo=16":            "append:echo=16",
		"append:sink=0:echo=0":      "append:sink=0",
		"prepend:k=4:sink=49151":    "prepend:k=4:sink=49151",
		"append:adapter=a.1:random": "append:random:adapter=a.1",
		"none:adapter=x":            "none:adapter=x",
		"none:reserve=130":          "none:reserve=130",
		"virtual:reserve=9:echo=2":  "virtual:echo=2:reserve=9",
		"append:best=10:adapter=x":  "append:best=10:adapter=x",
	} {
		r, err := ParseRow(s, -1)
		if err != nil || r.String() != want {
			t.Errorf("ParseRow(%q) = %v, %v; want %s", s, r, err, want)
			continue
		}
		if again, err := ParseRow(r.String(), -1); err != nil || again != r {
			t.Errorf("ParseRow(%q) = %+v, %v; want %+v", r.String(), again, err, r)
		}
	}
	if r, err := ParseRow("virtual", 7); err != nil || r.Sink != 7 {
		t.Errorf("the given sink is not taken: %+v, %v", r, err)
	}
	for _, s := range []string{
		"", "front", "virtual:", "virtual:k", "virtual:k=", "virtual:k=0", "virtual:k=-1", "virtual:k=99999999999",
		"virtual:echo=0", "prepend:echo=1", "none:random", "virtual:adapter=", "virtual:adapter=a/b", "virtual:random=1", "none:k=1", "none:echo=1", "append:echo=x", "append:width=3", "append:reserve=3", "prepend:reserve=130", "none:reserve=-1", "none:best=3", "append:best=1", "append:best=3:k=2", "append:best=3:random", "append:sink=2147483648", "append echo=16",
	} {
		if r, err := ParseRow(s, -1); err == nil {
			t.Errorf("ParseRow(%q) = %s, want an error", s, r)
		}
	}
}

func TestPairs(t *testing.T) {
	rows, err := ParseRows([]string{"none", "virtual", "append", "virtual:sink=0", "none:sink=0", "append:sink=1"}, -1)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range AgainstNone(rows) {
		got = append(got, p.A.String()+" "+p.B.String())
	}
	want := []string{"virtual none", "append none", "virtual:sink=0 none:sink=0"}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("against none: %v, want %v", got, want)
	}
	if p, err := ParsePair("append,virtual:sink=0", rows, -1); err != nil || p != (Pair{rows[2], rows[3]}) {
		t.Errorf("ParsePair: %v, %v", p, err)
	}
	for _, s := range []string{"", "append", "append,append", "append,virtual,none", "append,prepend", "append,x"} {
		if p, err := ParsePair(s, rows, -1); err == nil {
			t.Errorf("ParsePair(%q) = %v, want an error", s, p)
		}
	}
	for _, names := range [][]string{nil, {"none", "none"}, {"virtual", "virtual:echo=1"}} {
		if rows, err := ParseRows(names, -1); err == nil {
			t.Errorf("ParseRows(%q) = %v, want an error", names, rows)
		}
	}
}
