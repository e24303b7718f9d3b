package corpus

import (
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"
)

// slowRecord is what encoding/json makes of the fields of a record.
func slowRecord(t *testing.T, line []byte) (doc Document, ok bool) {
	var record map[string]json.RawMessage
	if json.Unmarshal(line, &record) != nil || record["text"] == nil {
		return doc, false
	}
	for field, dst := range map[string]*string{"id": &doc.ID, "title": &doc.Title, "text": &doc.Text} {
		if raw := record[field]; raw != nil {
			var err error
			if *dst, err = jsonString(field, raw); err != nil {
				return doc, false
			}
		}
	}
	return doc, true
}

// checkFlat compares the quick reader with encoding/json where it does not give up.
func checkFlat(t *testing.T, line []byte) (quick bool) {
	r := flatRecord{data: line, fields: DefaultFields}
	if !utf8.Valid(line) || !r.read() {
		return false
	}
	if want, ok := slowRecord(t, line); !ok || !reflect.DeepEqual(r.doc, want) {
		t.Errorf("%q: got %+v, encoding/json %+v (%v)", line, r.doc, want, ok)
	}
	return true
}

func TestFlatRecord(t *testing.T) {
	for line, quick := range map[string]bool{
		`{"id":"a","title":"T","text":"one"}`: true,
		" {\t\"text\" : \"\\u00e9\\n\\\"\\\\\\/\\b\\f\\r\\t\" , \"x\":true,\"y\":false,\"z\":null,\"id\":12 }": true,
		`{"text":"\ud83d\ude00 \ud800 \udc00\ud83d \uD83D\uDE00 \ud83d\n"}`:                                    true,
		`{"text":"a","text":"b","title":null}`:                                                                 true,
		`{"text":"a","id":0}`:                                                                                  true,
		`{"text":"a","id":01}`:                                                                                 false,
		`{"text":"a","id":1.5}`:                                                                                false,
		`{"text":"a","id":true}`:                                                                               false,
		`{"text":"a","x":[1]}`:                                                                                 false,
		`{"\u0074ext":"a"}`:                                                                                    false,
		`{"title":"a"}`:                                                                                        false,
		`{"text":"a",}`:                                                                                        false,
		`{"text":"a"} x`:                                                                                       false,
		`{"text":"a"`:                                                                                          false,
		`{"text":"\x"}`:                                                                                        false,
		`{"text":"\u12g4"}`:                                                                                    false,
		`{"text":"\u123"}`:                                                                                     false,
		"{\"text\":\"a\tb\"}":                                                                                  false,
		`{}`:                                                                                                   false,
		``:                                                                                                     false,
	} {
		if got := checkFlat(t, []byte(line)); got != quick {
			t.Errorf("%q: quick is %v", line, got)
		}
	}
}

func FuzzFlatRecord(f *testing.F) {
	f.Add([]byte(`{"id":7,"title":"\ud83d\ude00","text":"a\n\u00e9","x":null}`))
	f.Add([]byte(`{ "text" : "\ud800\u0041" , "y":true }`))
	f.Fuzz(func(t *testing.T, line []byte) { checkFlat(t, line) })
}
