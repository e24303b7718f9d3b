package bm25

import (
	"context"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// randomPassages makes passages of words whose frequencies fall like those of a
// language. Some passages are much longer, some terms much more frequent in one,
// so that blocks have codes, escapes and every width of distance.
func randomPassages(rng *rand.Rand, n int) []retrieve.Passage {
	zipf := rand.NewZipf(rng, 1.1, 4, 20_000)
	passages := make([]retrieve.Passage, n)
	for i := range passages {
		words := rng.IntN(60)
		if rng.IntN(50) == 0 {
			words *= 20
		}
		var b strings.Builder
		for range words {
			fmt.Fprintf(&b, "w%d ", zipf.Uint64())
		}
		fmt.Fprintf(&b, "n%d", i) // no two are alike
		passages[i] = retrieve.Passage{ID: fmt.Sprint("p", i), Title: fmt.Sprint("t", i/7), Source: fmt.Sprint("f", i/50), Text: b.String()}
		if i%3 > 0 {
			passages[i].Heading, passages[i].Page, passages[i].Line = fmt.Sprint("h > ", i/9), i/20, i%3
		}
	}
	return passages
}

func all(passages []retrieve.Passage) iter.Seq2[retrieve.Passage, error] {
	return func(yield func(retrieve.Passage, error) bool) {
		for _, p := range passages {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func build(t testing.TB, passages []retrieve.Passage, opt BuildOptions) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "index")
	if _, err := Build(context.Background(), dir, all(passages), opt); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t testing.TB, dir string) *Index {
	t.Helper()
	x, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

func randomQuery(rng *rand.Rand, passages []retrieve.Passage, words int) string {
	var q []string
	for len(q) < words {
		w := strings.Fields(passages[rng.IntN(len(passages))].Text)
		at := rng.IntN(len(w))
		q = append(q, w[at:min(len(w), at+5)]...)
	}
	return strings.Join(q, " ")
}

// plain is BM25 written down once more, in float64, over the texts themselves.
type plain struct {
	docs   []map[string]int
	length []int
	exact  bool
	df     map[string]int
	total  int
}

func newPlain(passages []retrieve.Passage, exact bool) *plain {
	p := &plain{df: map[string]int{}, exact: exact}
	for _, passage := range passages {
		tf := map[string]int{}
		words := strings.Fields(passage.Text)
		for _, w := range words {
			tf[w]++
		}
		for w := range tf {
			p.df[w]++
		}
		p.docs, p.length = append(p.docs, tf), append(p.length, len(words))
		p.total += len(words)
	}
	return p
}

func (p *plain) score(query string, doc int) float64 {
	sum := 0.0
	n := float64(len(p.docs))
	length := float64(p.length[doc])
	if !p.exact {
		length = float64(decodeLength(encodeLength(uint32(p.length[doc]))))
	}
	for _, w := range strings.Fields(query) {
		tf, df := float64(p.docs[doc][w]), float64(p.df[w])
		idf := math.Log(1 + (n-df+0.5)/(df+0.5))
		sum += idf * tf / (tf + DefaultK1*(1-DefaultB+DefaultB*length/(float64(p.total)/n)))
	}
	return sum
}

// TestScores compares with plain BM25: scores to 1e-6, for sums of float32
// weights with 24 bits, and every passage that scores above the last one found.
func TestScores(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	passages := randomPassages(rng, 3000)
	for _, exact := range []bool{false, true} {
		x := open(t, build(t, passages, BuildOptions{ExactLengths: exact, Memory: 1 << 20}))
		ref := newPlain(passages, exact)
		for range 50 {
			query := randomQuery(rng, passages, 1+rng.IntN(30))
			hits, _, err := x.Search(retrieve.Query{Text: query, K: 10}, nil)
			if err != nil {
				t.Fatal(err)
			}
			found := map[uint32]bool{}
			for _, h := range hits {
				found[h.Doc] = true
				if want := ref.score(query, int(h.Doc)); math.Abs(h.Score-want) > 1e-6*want {
					t.Errorf("exact %v: passage %d scores %.9g, want %.9g", exact, h.Doc, h.Score, want)
				}
			}
			last := hits[len(hits)-1].Score
			for doc := range passages {
				if s := ref.score(query, doc); s > last*(1+1e-6) && !found[uint32(doc)] {
					t.Errorf("exact %v: passage %d scores %.9g, more than the last hit's %.9g", exact, doc, s, last)
				}
			}
		}
	}
}

// TestMaxScore compares with adding up everything: the same hits to the bit, with
// deleted and excluded passages, for one and several segments.
func TestMaxScore(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	passages := randomPassages(rng, 30_000)
	dir := build(t, passages[:20_000], BuildOptions{})
	if _, err := Add(context.Background(), dir, all(passages[20_000:]), BuildOptions{}); err != nil {
		t.Fatal(err)
	}
	if n, err := Delete(context.Background(), dir, []string{"p3", "p25000"}, []string{"f7"}); n != 52 || err != nil {
		t.Fatal(n, err)
	}
	dense, skipping := open(t, dir), open(t, dir)
	skipping.denseLimit, skipping.window = 0, 1<<12
	var decoded, total uint64
	for range 300 {
		q := retrieve.Query{Text: randomQuery(rng, passages, 1+rng.IntN(30)), K: []int{1, 3, 10, 100}[rng.IntN(4)]}
		if rng.IntN(2) == 0 {
			q.ExcludeTitles = []string{fmt.Sprint("t", rng.IntN(4000)), "t5"}
			q.ExcludeIDs = []string{fmt.Sprint("p", rng.IntN(30_000))}
			q.ExcludeSources = []string{fmt.Sprint("f", rng.IntN(500))}
		}
		want, _, err := dense.Search(q, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, stats, err := skipping.Search(q, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%+v: got %v, want %v", q, got, want)
		}
		decoded, total = decoded+stats.Decoded, total+stats.Postings
		for _, h := range want {
			p, err := dense.Passage(h.Doc)
			if err != nil {
				t.Fatal(err)
			}
			if p.ID != passages[h.Doc].ID || slices.Contains(q.ExcludeTitles, p.Title) || slices.Contains(q.ExcludeIDs, p.ID) ||
				slices.Contains(q.ExcludeSources, p.Source) || p.Source == "f7" || p.ID == "p3" || p.ID == "p25000" {
				t.Fatalf("%+v found %+v", q, p)
			}
		}
	}
	if decoded >= total {
		t.Errorf("nothing was skipped: %d of %d postings decoded", decoded, total)
	}
}

// TestSearchAllocatesNothing holds once the searcher is warm.
func TestSearchAllocatesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	passages := randomPassages(rng, 5000)
	x := open(t, build(t, passages, BuildOptions{}))
	for _, limit := range []uint32{denseLimit, 0} {
		x.denseLimit = limit
		s := newSearcher(x)
		q := retrieve.Query{Text: randomQuery(rng, passages, 24), K: 10, ExcludeTitles: []string{"t1"}}
		var dst []Hit
		run := func() {
			var err error
			if dst, _, err = s.search(q, dst[:0]); err != nil {
				t.Fatal(err)
			}
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%.1f allocations a query with denseLimit %d", n, limit)
		}
	}
}
