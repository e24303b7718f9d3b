package cuda

import (
	"cmp"
	"slices"

	"github.com/flashback-lm/flashback/internal/device"
	"github.com/flashback-lm/flashback/internal/device/cuda/kernel"
	"github.com/flashback-lm/flashback/internal/kvcache"
)

// views are the rows of a forward as attention walks through them: groups of rows with one
// view, those of few rows first, each with the splits of its keys.
type views struct {
	groups []kernel.Group
	splits []kernel.Split
	slots  []int32 // where each row's own key and value go
	few    int     // of the groups
	// The greatest number of rows and splits of a group, of those of few rows and of the
	// others.
	fewRows, fewSplits, manyRows, manySplits int
	order                                    []device.Rows
	// grouped is how many heads of queries read one of keys and values.
	grouped int
	// mixed says that rows of one group see what those of another write.
	mixed bool
	// written are the spans that the forward writes, and the first entry that it does.
	written map[*kvcache.Span]int
}

// set makes the views of a forward of so many tokens.
func (v *views) set(rows []device.Rows, tokens int) {
	v.groups, v.splits, v.slots = v.groups[:0], v.splits[:0], slices.Grow(v.slots[:0], tokens)[:tokens]
	v.few, v.fewRows, v.fewSplits, v.manyRows, v.manySplits = 0, 0, 0, 0, 0
	v.order = append(v.order[:0], rows...)
	for _, r := range rows {
		if first, ok := v.written[r.Self]; !ok || r.SelfFirst < first {
			v.written[r.Self] = r.SelfFirst
		}
	}
	defer clear(v.written)
	v.mixed = len(v.written) < len(rows)
	slices.SortStableFunc(v.order, func(a, b device.Rows) int { return cmp.Compare(v.size(a), v.size(b)) })
	for _, r := range v.order {
		first := len(v.splits)
		for _, p := range r.View {
			if first, ok := v.written[p.Span]; ok && p.Len > first {
				v.mixed = true
			}
			v.add(p.Span, p.Len, p.Whole, kernel.Everything)
		}
		v.add(r.Self, r.SelfFirst+r.Count, false, r.SelfFirst)
		n := len(v.splits) - first
		v.groups = append(v.groups, kernel.Group{First: int32(r.First), Count: int32(r.Count), Splits: int32(first), SplitCount: int32(n), Position: int32(r.Self.Start() + r.SelfFirst)})
		if v.size(r) == 0 {
			v.few++
			v.fewRows, v.fewSplits = max(v.fewRows, r.Count), max(v.fewSplits, n)
		} else {
			v.manyRows, v.manySplits = max(v.manyRows, r.Count), max(v.manySplits, n)
		}
		pages := r.Self.Pages()
		for i := range r.Count {
			entry := r.SelfFirst + i
			v.slots[r.First+i] = pages[entry/kvcache.PageTokens]*kvcache.PageTokens + int32(entry%kvcache.PageTokens)
		}
	}
}

// size is 0 for groups of few rows and 1 for others.
func (v *views) size(r device.Rows) int {
	if r.Count == 1 || r.Count*v.grouped <= kernel.AttendFewRows {
		return 0
	}
	return 1
}

// add appends the splits of the first n entries of a span. Of the splits whose entries
// rows write themselves, row r sees those up to diagonal+r, counted from the span's start.
func (v *views) add(s *kvcache.Span, n int, whole bool, diagonal int) {
	pages := s.Pages()
	for at := 0; at < n; at += kernel.SplitKeys {
		split := kernel.Split{Count: int32(min(kernel.SplitKeys, n-at)), Diagonal: kernel.Everything, Position: int32(s.Start() + at)}
		if diagonal != kernel.Everything {
			split.Diagonal = int32(diagonal - at)
		}
		if whole {
			split.Flags |= kernel.Whole
		}
		if first, ok := v.written[s]; !ok || at+int(split.Count) <= first {
			split.Flags |= kernel.Settled
		}
		copy(split.Pages[:], pages[at/kvcache.PageTokens:min(len(pages), (at+kernel.SplitKeys)/kvcache.PageTokens)])
		v.splits = append(v.splits, split)
	}
}
