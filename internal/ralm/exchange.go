package ralm

import (
	"slices"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// rivals is how many more passages than are shown a stride looks at before it takes a
// shown one away.
const rivals = 8

// exchange returns the k passages to show when shown are in sight and a new look-up
// found these, best first: the new ones take the place of shown ones only where they
// score more than margin times as much by the new query. A shown passage that was not
// found scores at most what the last one found does. What stays keeps its place, so
// that its KV, and that of what has read it, stays too.
func exchange(shown, found []retrieve.Passage, k int, margin float64) []retrieve.Passage {
	if len(shown) == 0 {
		return found[:min(k, len(found))]
	}
	if len(found) == 0 {
		return shown // a query that finds nothing is no reason to read on without
	}
	now := slices.Clone(shown)
	var fresh []retrieve.Passage
	for _, p := range found {
		at := slices.IndexFunc(now, same(p))
		if at < 0 {
			fresh = append(fresh, p)
			continue
		}
		now[at].Score = p.Score
	}
	for i := range now {
		if !slices.ContainsFunc(found, same(now[i])) {
			now[i].Score = found[len(found)-1].Score
		}
	}
	for _, p := range fresh {
		if len(now) < k {
			now = append(now, p)
			continue
		}
		worst := 0
		for i := range now {
			if now[i].Score <= now[worst].Score {
				worst = i
			}
		}
		if p.Score <= margin*now[worst].Score {
			break // the next ones score less
		}
		now[worst] = p
	}
	if !slices.ContainsFunc(now, func(p retrieve.Passage) bool { return slices.ContainsFunc(shown, same(p)) }) {
		return fresh[:len(now)] // none stays in its place, so the best stands first
	}
	return now
}

// same tells whether a passage is p, whatever it scored.
func same(p retrieve.Passage) func(retrieve.Passage) bool {
	return func(o retrieve.Passage) bool { return unscored(o) == unscored(p) }
}
