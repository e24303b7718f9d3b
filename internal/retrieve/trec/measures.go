package trec

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Qrels are relevance judgements: topic → passage → grade; above 0 is relevant.
type Qrels map[string]map[string]int

// ReadQrels reads lines of topic, iteration, passage and grade.
func ReadQrels(path string) (Qrels, error) {
	q := Qrels{}
	err := readLines(path, func(line string) error {
		f := strings.Fields(line)
		if len(f) != 4 {
			return fmt.Errorf("a judgement is a topic, an iteration, a passage and a grade")
		}
		grade, err := strconv.Atoi(f[3])
		if err != nil {
			return fmt.Errorf("the grade %q is no whole number", f[3])
		}
		if q[f[0]] == nil {
			q[f[0]] = map[string]int{}
		}
		q[f[0]][f[2]] = grade
		return nil
	})
	if err == nil && len(q) == 0 {
		err = fmt.Errorf("%s: no judgements", path)
	}
	return q, err
}

// Run is what a retriever found: topic → passages.
type Run map[string][]Found

// Found is one passage of a run.
type Found struct {
	ID    string
	Score float64
}

// ReadRun reads a run file.
func ReadRun(path string) (Run, error) {
	r := Run{}
	err := readLines(path, func(line string) error {
		f := strings.Fields(line)
		if len(f) != 6 {
			return fmt.Errorf("a line of a run is a topic, Q0, a passage, a rank, a score and a tag")
		}
		score, err := strconv.ParseFloat(f[4], 64)
		if err != nil || math.IsNaN(score) {
			return fmt.Errorf("the score %q is no number", f[4])
		}
		r[f[0]] = append(r[f[0]], Found{f[2], score})
		return nil
	})
	return r, err
}

// Measure is one figure of a run.
type Measure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// Evaluate returns the means over the judged topics. nDCG, MAP and recall are
// trec_eval's with -c: passages are ranked by score, in float32, equal scores by
// descending id, and a topic without passages counts as 0. MRR@10, which
// trec_eval lacks, is MS MARCO's: equal scores are ranked by ascending id.
func Evaluate(qrels Qrels, run Run, cutoffs []int) []Measure {
	measures := []Measure{{Name: "nDCG@10"}, {Name: "MRR@10"}, {Name: "MAP"}}
	for _, k := range cutoffs {
		measures = append(measures, Measure{Name: fmt.Sprintf("R@%d", k)})
	}
	topics := 0
	for topic, judged := range qrels {
		relevant := 0
		for _, grade := range judged {
			if grade > 0 {
				relevant++
			}
		}
		if relevant == 0 {
			continue // trec_eval leaves such topics out
		}
		topics++
		grades := ranked(run[topic], judged, trecOrder)
		values := []float64{ndcg(grades, judged, 10), reciprocalRank(ranked(run[topic], judged, marcoOrder), 10), averagePrecision(grades, relevant)}
		for _, k := range cutoffs {
			values = append(values, float64(countRelevant(grades, k))/float64(relevant))
		}
		for i, v := range values {
			measures[i].Value += v
		}
	}
	for i := range measures {
		measures[i].Value /= float64(max(topics, 1))
	}
	return measures
}

// trecOrder is the order of trec_eval.
func trecOrder(a, b Found) int {
	if c := cmp.Compare(float32(b.Score), float32(a.Score)); c != 0 {
		return c
	}
	return strings.Compare(b.ID, a.ID)
}

// marcoOrder is the order of the MS MARCO evaluation.
func marcoOrder(a, b Found) int {
	if c := cmp.Compare(b.Score, a.Score); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

// ranked returns the grades of a topic's passages in rank order.
func ranked(found []Found, judged map[string]int, order func(a, b Found) int) []int {
	found = slices.Clone(found)
	slices.SortFunc(found, order)
	grades := make([]int, len(found))
	for i, f := range found {
		grades[i] = judged[f.ID]
	}
	return grades
}

func ndcg(grades []int, judged map[string]int, k int) float64 {
	var ideal []int
	for _, g := range judged {
		ideal = append(ideal, g)
	}
	slices.SortFunc(ideal, func(a, b int) int { return b - a })
	return dcg(grades, k) / dcg(ideal, k)
}

func dcg(grades []int, k int) float64 {
	sum := 0.0
	for i, g := range grades[:min(k, len(grades))] {
		if g > 0 {
			sum += float64(g) / math.Log2(float64(i+2))
		}
	}
	return sum
}

func reciprocalRank(grades []int, k int) float64 {
	for i, g := range grades[:min(k, len(grades))] {
		if g > 0 {
			return 1 / float64(i+1)
		}
	}
	return 0
}

func averagePrecision(grades []int, relevant int) float64 {
	sum, seen := 0.0, 0
	for i, g := range grades {
		if g > 0 {
			seen++
			sum += float64(seen) / float64(i+1)
		}
	}
	return sum / float64(relevant)
}

func countRelevant(grades []int, k int) int {
	n := 0
	for _, g := range grades[:min(k, len(grades))] {
		if g > 0 {
			n++
		}
	}
	return n
}
