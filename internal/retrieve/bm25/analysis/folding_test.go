package analysis

import (
	"slices"
	"strings"
	"testing"
)

// TestFolding lists what a document holds, what people type for it, and that each
// of these has its terms in the document.
func TestFolding(t *testing.T) {
	for _, c := range []struct{ name, text, typed string }{ // typed: separated by bars
		{"accents", "The café résumé of Žižek in São Paulo. Dvořák", "cafe|café|CAFÉ|resume|Zizek|Sao Paulo|Dvorak"},
		{"decomposed", "cafe\u0301 re\u0301sume\u0301", "café|résumé|resume"},
		{"apostrophes", "The operator doesn’t know the dog’s name. O’Reilly, L’Oréal, l'hôtel", "doesn't|doesnt|dog|dog's|O'Reilly|OReilly|Reilly|L'Oreal|Oréal|hotel|l’hotel"},
		{"ligatures", "The eﬃcient oﬃce workﬂow was deﬁned. Cæsar's œuvre", "efficient|office|workflow|defined|caesar|oeuvre"},
		{"soft hyphens", "infor\u00admation archi\u00adtecture", "information|architecture"},
		{"invisible", "hippo\u200bcampus zero\u2060width \ufeffmark ex\u200dample", "hippocampus|zerowidth|mark|example"},
		{"full width", "ＡＢＣ１２３ ﾊﾝｶｸ", "ABC123|abc 123|ハンカク|ﾊﾝ"},
		{"German", "Die Straße, das Maß, die Häuser", "Strasse|STRASSE|straße|Mass|Hauser"},
		{"Turkish", "İSTANBUL ve IĞDIR ışık", "istanbul|Istanbul|iğdir|IĞDIR|ışık|isik"},
		{"Scandinavian, Polish, Icelandic", "Søren Łódź Þór Đà Nẵng smørrebrød", "Soren|Lodz|Thor|Da Nang|smorrebrod"},
		{"Greek", "ΟΔΟΣ Οδυσσέας", "οδός|οδος|Οδυσσεας"},
		{"Russian", "ёлка й", "елка|й"},
		{"Arabic", "المِفْتَاحُ في المطبخ. الإدارة العامة والكتـــاب", "المفتاح|مفتاح|الادارة|إدارة|العامه|الكتاب|كتاب"},
		{"Hebrew", "הַמַּפְתֵּחַ נמצא במטבח צה\"ל", "המפתח|מפתח|מטבח|צהל|צה״ל"},
		{"Chinese", "钥匙放在厨房的抽屉里，明天见。", "钥匙|厨房|抽屉|明天|匙"},
		{"Japanese", "東京特許許可局の鍵は台所の引き出しにあります。データベース管理", "東京|特許|鍵|台所|引き出し|データ|データベース|管理|ﾃﾞｰﾀ"},
		{"Korean", "열쇠는 부엌 서랍에 있습니다. 데이터베이스를 관리합니다. 물을 USB를", "열쇠|서랍|데이터|데이터베이스|관리|물|USB"},
		{"Thai", "กุญแจอยู่ในครัวของบ้านหลังใหญ่", "กุญแจ|ครัว|บ้าน"},
		{"identifiers", "context.WithTimeout(ctx) strings.Builder find_user_by_email getUserById HTTPServer parseURLs sha256", "WithTimeout|withtimeout|with timeout|timeout|Builder|strings.Builder|find user|email|find_user_by_email|user by id|getuserbyid|http server|server|URLs|sha-256"},
		{"C++, C#, .NET", "C++ and C# and .NET; notepad++", "C++|c++|C#|.NET|NET|notepad"},
		{"names with points", "node.js file.txt user@example.com v1.2.3 192.168.0.1 foo::bar", "node.js|nodejs|node|file|user|example.com|example|v1.2.3|192.168.0.1|foo|bar"},
		{"abbreviations", "U.S.A. and AT&T, ISO-9001", "USA|U.S.A.|AT&T|ISO 9001|ISO9001|iso"},
		{"numbers", "10 000 people, 10,000 more, 10\u00a0000 and 3.14", "10000|10,000|3.14"},
		{"hyphens", "e-mail, well-known, the photo-\nvoltaic develop-\n  ment", "email|mail|e-mail|wellknown|known|photovoltaic|development"},
		{"other digits", "٣٢ १२", "32|12"},
		{"emoji", "failed 🚀 ❤️ 👩‍👩‍👧 🇨🇿", "🚀|❤|👩‍👩‍👧|🇨🇿"},
		{"English", "universities running", "university|run"},
	} {
		t.Run(c.name, func(t *testing.T) {
			has := terms(t, Folding, c.text)
			for typed := range strings.SplitSeq(c.typed, "|") {
				want := terms(t, Folding, typed)
				found := 0
				for _, term := range want {
					if slices.Contains(has, term) {
						found++
					}
				}
				// Of a word written in one that the document has in several, or the
				// other way round, the parts or the whole are found.
				if found == 0 {
					t.Errorf("%q: none of %q in %q", typed, want, has)
				}
			}
		})
	}
}

// TestFoldingKeepsApart checks that different words stay different.
func TestFoldingKeepsApart(t *testing.T) {
	for _, pair := range [][2]string{
		{"C++", "C#"}, {"C", "C++"}, {"и", "й"}, {"か", "が"}, {"3.14", "314"}, {"ครัว", "ครว"}, {"the", "of"}, {"2006-01-02", "20060102"},
	} {
		for _, term := range terms(t, Folding, pair[0]) {
			if slices.Contains(terms(t, Folding, pair[1]), term) {
				t.Errorf("%q and %q share %q", pair[0], pair[1], term)
			}
		}
	}
}

// TestFoldingTerms pins what there is of some tokens.
func TestFoldingTerms(t *testing.T) {
	for text, want := range map[string]string{
		"The cat":               "cat",
		"WithTimeout":           "withtimeout timeout", // with is a stop word
		"O'Reilly's":            "oreilli reilli",
		"state-of-the-art":      "stateoftheart state art",
		"a0b1c2d3e4f5a6b7c8d9":  "a0b1c2d3e4f5a6b7c8d9",
		"鍵":                     "鍵",
		"台所の":                   "台 台所 所 所の",
		"물을":                    "물 물을",
		"https://example.com/a": "http examplecom exampl com",
		"10,000 2006-01-02":     "10000 2006 01 02",
		"U.S.A. e.g. a.m.":      "usa eg am",
		"__ ++ ##":              "",
	} {
		if got := strings.Join(terms(t, Folding, text), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestFoldingMark(t *testing.T) {
	for _, c := range [][3]string{
		{"timeout", "call context.WithTimeout(ctx)", "call context.With[Timeout](ctx)"},
		{"resume", "the re\u0301sume\u0301s", "the [re\u0301sume\u0301s]"},
		{"台所", "鍵は台所の引き出し", "鍵は[台所]の引き出し"},
		{"サーバ", "データサーバー", "データ[サーバ]ー"},
		{"office", "an oﬃce", "an [oﬃce]"},
		{"development", "the develop-\nment of", "the [develop-\nment] of"},
		{"mail", "an e-mail", "an e-[mail]"},
		{"how do I swim", "how I swim", "how I [swim]"},
		{"how?", "how I swim", "[how] I swim"},
		{"열쇠", "열쇠는", "[열쇠]는"},
	} {
		if got, err := Mark(Folding, c[0], c[1], "[", "]"); got != c[2] || err != nil {
			t.Errorf("%q in %q: %q, %v", c[0], c[1], got, err)
		}
	}
}

// FuzzFolding checks that tokens are in order, their terms lie in them, a token's
// terms do not depend on what surrounds it, and marking changes nothing else.
func FuzzFolding(f *testing.F) {
	for _, s := range []string{"a b", "C++ .NET i++#", "x-\n y", "e-mail\u00ad\nb", "10\u00a0000", "AT&T&&T", "O’Reilly's", "台所の鍵は", "กุญแจ", "물을USB를", "הַמַּפְתֵּחַ", "المِفْتَاحُ", "ﷺ ½ ™ ﾊﾟ", "\u0301\u0301a", "\xff\xfe", "👩‍👩‍👧 1️⃣", strings.Repeat("\u0301", 100), strings.Repeat("aB", 300)} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, query, text string) {
		a, err := New(Folding)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := New(Folding)
		a.Reset(text)
		last, lastEnd := -1, 0
		for start, end, ok := a.Token(); ok; start, end, ok = a.Token() {
			if start <= last || end <= start || end < lastEnd || end > len(text) {
				t.Fatalf("token %d to %d after %d to %d", start, end, last, lastEnd)
			}
			last, lastEnd = start, end
			token := text[start:end]
			found := a.Terms(token)
			other := again.Terms(strings.Clone(token))
			if len(found) != len(other) {
				t.Fatalf("%q has %d terms, then %d", token, len(found), len(other))
			}
			for i, term := range found {
				if len(term.Text) == 0 || term.From < 0 || term.From >= term.To || term.To > len(token) || string(term.Text) != string(other[i].Text) {
					t.Fatalf("%q: term %q at %d to %d", token, term.Text, term.From, term.To)
				}
			}
		}
		marked, err := Mark(Folding, query, text, "\x00[", "\x00]")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "\x00") && strings.NewReplacer("\x00[", "", "\x00]", "").Replace(marked) != text {
			t.Fatalf("marking %q made %q", text, marked)
		}
	})
}
