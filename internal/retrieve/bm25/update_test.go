package bm25

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// TestManySegments holds ten additions against one build: scores equal to the
// bit, before and after compacting.
func TestManySegments(t *testing.T) {
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(20, 21))
	passages := randomPassages(rng, 3000)
	one := open(t, build(t, passages, BuildOptions{Workers: 1}))
	dir := build(t, passages[:300], BuildOptions{})
	for i := 300; i < len(passages); i += 300 {
		if _, err := Add(ctx, dir, all(passages[i:i+300]), BuildOptions{Memory: 1 << 20, Workers: 3}); err != nil {
			t.Fatal(err)
		}
	}
	compare := func(what string, x *Index) {
		t.Helper()
		for range 100 {
			q := retrieve.Query{Text: randomQuery(rng, passages, 24), K: 20}
			want, err := one.Retrieve(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := x.Retrieve(ctx, q); err != nil || !slices.Equal(got, want) {
				t.Fatalf("%s: %v\n%v\nnot\n%v", what, err, got, want)
			}
		}
	}
	many := open(t, dir)
	if many.Info().Segments != 10 {
		t.Fatalf("%d segments", many.Info().Segments)
	}
	compare("ten segments", many)
	if err := Compact(ctx, dir); err != nil {
		t.Fatal(err)
	}
	compare("ten segments, compacted meanwhile", many)
	compact := open(t, dir)
	if compact.Info().Segments != 1 {
		t.Fatalf("%d segments", compact.Info().Segments)
	}
	compare("compacted", compact)
	if _, err := Verify(ctx, dir); err != nil {
		t.Error(err)
	}
}

// TestDeleteAndCompact holds a compacted index against one built without the
// deleted passages; until then they count in the scores.
func TestDeleteAndCompact(t *testing.T) {
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(22, 23))
	passages := randomPassages(rng, 1000)
	dir := build(t, passages, BuildOptions{})
	full := open(t, dir)
	if n, err := Delete(context.Background(), dir, nil, []string{"f3", "f4"}); n != 100 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := Delete(context.Background(), dir, []string{"p0", "nobody"}, []string{"f3"}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	marked := open(t, dir)
	if info := marked.Info(); info.Passages != 899 || info.Deleted != 101 {
		t.Fatalf("%+v", info)
	}
	if err := Compact(ctx, dir); err != nil {
		t.Fatal(err)
	}
	compacted := open(t, dir)
	rest := open(t, build(t, slices.Concat(passages[1:150], passages[250:]), BuildOptions{}))
	for range 100 {
		q := retrieve.Query{Text: randomQuery(rng, passages, 24), K: 10}
		want, _ := rest.Retrieve(ctx, q)
		if got, err := compacted.Retrieve(ctx, q); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v, %v, want %v", got, err, want)
		}
		scores := map[string]float64{}
		q.K = 200
		before, _ := full.Retrieve(ctx, q)
		for _, p := range before {
			scores[p.ID] = p.Score
		}
		q.K = 10
		after, err := marked.Retrieve(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range after {
			if s, ok := scores[p.ID]; p.Source == "f3" || p.Source == "f4" || ok && s != p.Score {
				t.Fatalf("%s of %s scores %g, before %g", p.ID, p.Source, p.Score, s)
			}
		}
	}
	if _, err := Delete(context.Background(), dir, nil, []string{"f0", "f1", "f2"}); err != nil {
		t.Fatal(err)
	}
}

// TestPassagesComeBack holds every field of stored passages against what was given.
func TestPassagesComeBack(t *testing.T) {
	passages := randomPassages(rand.New(rand.NewPCG(26, 27)), 500)
	for i := range passages {
		passages[i].Offset, passages[i].First = int64(i*i), i%4 == 0
		if i%5 == 0 {
			passages[i].ID += offsetSuffix(passages[i].Offset)
		}
	}
	x := open(t, build(t, passages, BuildOptions{}))
	for i, want := range passages {
		if got, err := x.Passage(uint32(i)); err != nil || got != want {
			t.Fatalf("%+v, %v, want %+v", got, err, want)
		}
	}
}

// TestSearchInParallel is for the race detector.
func TestSearchInParallel(t *testing.T) {
	rng := rand.New(rand.NewPCG(24, 25))
	passages := randomPassages(rng, 2000)
	x := open(t, build(t, passages, BuildOptions{}))
	var wg sync.WaitGroup
	for range 8 {
		queries := []string{randomQuery(rng, passages, 24), randomQuery(rng, passages, 5)}
		wg.Go(func() {
			for i := range 40 {
				if _, err := x.Retrieve(context.Background(), retrieve.Query{Text: queries[i%2], K: 5}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// lines reads a gzipped fixture of tab-separated lines.
func lines(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]string
	s := bufio.NewScanner(z)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		out = append(out, strings.Split(s.Text(), "\t"))
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return out
}

// TestLucene compares scores and ranks with Lucene 9.12.3, EnglishAnalyzer,
// BM25Similarity(0.9, 0.4), on passages of Go's documentation
// (tools/lucene/fixtures.sh). Scores agree to 1e-6, a few units of Lucene's
// float32; passages may change places only where scores are that equal.
func TestLucene(t *testing.T) {
	var passages []retrieve.Passage
	for _, l := range lines(t, "testdata/lucene.passages.tsv.gz") {
		passages = append(passages, retrieve.Passage{ID: l[0], Text: l[1]})
	}
	want := map[string][]retrieve.Passage{}
	for _, l := range lines(t, "testdata/lucene.hits.tsv.gz") {
		score, err := strconv.ParseFloat(l[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		want[l[0]] = append(want[l[0]], retrieve.Passage{ID: l[1], Score: score})
	}
	x := open(t, build(t, passages, BuildOptions{}))
	queries := lines(t, "testdata/lucene.queries.tsv.gz")
	if len(queries) < 20 || len(x.segments) != 1 || int(x.segments[0].docs) != len(passages) {
		t.Fatal(len(queries), "queries,", x.Info().Passages, "passages of", len(passages))
	}
	for _, q := range queries {
		got, err := x.Retrieve(context.Background(), retrieve.Query{Text: q[1], K: 10})
		if err != nil || len(got) != len(want[q[0]]) {
			t.Fatalf("%s: %d hits, Lucene %d, %v", q[0], len(got), len(want[q[0]]), err)
		}
		for i, w := range want[q[0]] {
			if math.Abs(got[i].Score-w.Score) > 1e-6*w.Score {
				t.Errorf("%s: hit %d scores %.8g, Lucene %.8g", q[0], i, got[i].Score, w.Score)
			}
			if got[i].ID != w.ID && !slices.ContainsFunc(got, func(p retrieve.Passage) bool {
				return p.ID == w.ID && math.Abs(p.Score-w.Score) <= 1e-6*w.Score
			}) {
				t.Errorf("%s: hit %d is %s, Lucene %s", q[0], i, got[i].ID, w.ID)
			}
		}
	}
}

func TestEncodeLength(t *testing.T) {
	last := byte(0)
	for n := range uint32(1 << 20) {
		b := encodeLength(n)
		if b < last || decodeLength(b) > n || n <= 40 && decodeLength(b) != n || encodeLength(decodeLength(b)) != b {
			t.Fatalf("length %d is stored as %d, which is %d", n, b, decodeLength(b))
		}
		last = b
	}
	if fmt.Sprint(encodeLength(math.MaxInt32), encodeLength(math.MaxUint32)) != "255 255" {
		t.Error("the greatest length is not the greatest byte")
	}
}
