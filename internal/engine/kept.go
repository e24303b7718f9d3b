package engine

import (
	"container/list"
	"sync"
	"unsafe"

	"github.com/flashback-lm/flashback/internal/kvcache"
)

// keptSpans keeps the spans of virtual evidence for reuse, least recently used
// first to go. They live inside the KV budget: the pool calls evict when it is
// full.
type keptSpans struct {
	mu    sync.Mutex
	spans map[keptKey]*list.Element
	order *list.List // of *keptSpan, most recently used first
}

// keptKey is all that the KV of a virtual evidence span depends on: its tokens, where
// they stand, the token that they see, where the text starts, and the adapter; and the
// salt, which keeps texts apart that would share it.
type keptKey struct {
	adapter string // its digest
	frame   frame
	salt    string
	start   int
	sink    int32
	tokens  string
}

type keptSpan struct {
	key  keptKey
	span *kvcache.Span
	uses int // strides that read it now
}

func newKeptSpans() *keptSpans {
	return &keptSpans{spans: map[keptKey]*list.Element{}, order: list.New()}
}

// keptKey returns the key of evidence that starts at a position beside the text.
func (s *Sequence) keptKey(start int, evidence []int32) keptKey {
	return keptKey{digestOf(s.adapter), s.frame, s.salt, start, s.tokens[0], bytesOf(evidence)}
}

// bytesOf returns the tokens as a key of a map.
func bytesOf(tokens []int32) string {
	return string(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(tokens))), len(tokens)*4))
}

// get returns the kept span for use, or nil.
func (k *keptSpans) get(key keptKey) *keptSpan {
	k.mu.Lock()
	defer k.mu.Unlock()
	el, ok := k.spans[key]
	if !ok {
		return nil
	}
	k.order.MoveToFront(el)
	s := el.Value.(*keptSpan)
	s.uses++
	return s
}

// put keeps an encoded span that is in use. Where another stride has kept the
// same evidence meanwhile, the span stays the caller's and put returns nil.
func (k *keptSpans) put(key keptKey, span *kvcache.Span) *keptSpan {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.spans[key]; ok {
		return nil
	}
	s := &keptSpan{key: key, span: span, uses: 1}
	k.spans[key] = k.order.PushFront(s)
	return s
}

// done ends one use.
func (k *keptSpans) done(s *keptSpan) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s.uses--
}

// idle returns how many pages the spans have that nobody reads.
func (k *keptSpans) idle() (pages int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, el := range k.spans {
		if s := el.Value.(*keptSpan); s.uses == 0 {
			pages += len(s.span.Pages())
		}
	}
	return pages
}

// evict releases the least recently used span that nobody reads.
func (k *keptSpans) evict() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for el := k.order.Back(); el != nil; el = el.Prev() {
		if s := el.Value.(*keptSpan); s.uses == 0 {
			k.order.Remove(el)
			delete(k.spans, s.key)
			s.span.Release()
			return true
		}
	}
	return false
}
