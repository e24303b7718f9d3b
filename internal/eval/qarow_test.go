package eval

import "testing"

func TestParseQARow(t *testing.T) {
	for s, want := range map[string]QARow{
		"none":                        {},
		"pasted":                      {Pasted: true},
		"pasted:k=3:adapter=a":        {Pasted: true, NamesK: true},
		"virtual:stride=48":           {Stride: 48},
		"virtual:stride=16:echo=turn": {Stride: 16, NamesEcho: true},
		"append:echo=0":               {NamesEcho: true},
		"append:k=1:adapter=a.1":      {NamesK: true},
	} {
		r, err := ParseQARow(s)
		if err != nil || r.Pasted != want.Pasted || r.Stride != want.Stride || r.NamesK != want.NamesK || r.NamesEcho != want.NamesEcho || r.String() != s {
			t.Errorf("ParseQARow(%q) = %+v, %v; want %+v", s, r, err, want)
		}
	}
	if r, err := ParseQARow("pasted:k=3:adapter=a"); err != nil || r.K != 3 || r.Adapter != "a" {
		t.Errorf("%+v, %v", r, err)
	}
	for _, s := range []string{
		"", "past", "pasted:echo=1", "pasted:stride=16", "none:stride=16", "virtual:stride=0", "virtual:stride=x", "virtual:sink=0",
		"virtual:random", "virtual:best=3", "virtual:reserve=9", "none:reserve=9", "virtual:pasted", "stride=16", "none:k=2",
	} {
		if r, err := ParseQARow(s); err == nil {
			t.Errorf("ParseQARow(%q) = %+v, want an error", s, r)
		}
	}
	for _, names := range [][]string{nil, {"none", "none"}, {"virtual:stride=16:k=2", "virtual:k=2:stride=16"}} {
		if rows, err := ParseQARows(names); err == nil {
			t.Errorf("ParseQARows(%q) = %v, want an error", names, rows)
		}
	}
	if rows, err := ParseQARows([]string{"virtual", "virtual:k=1", "prepend", "pasted"}); err != nil || len(rows) != 4 {
		t.Errorf("%v, %v", rows, err)
	}
}
