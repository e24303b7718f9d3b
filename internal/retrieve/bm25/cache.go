package bm25

import (
	"container/list"
	"sync"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// cachedPassages is how many passages an index keeps unpacked.
const cachedPassages = 256

// passageCache keeps the passages that were read last.
type passageCache struct {
	mu    sync.Mutex
	size  int
	order *list.List // of cachedPassage, the latest first
	byDoc map[uint32]*list.Element
}

type cachedPassage struct {
	doc     uint32
	passage retrieve.Passage
}

func newPassageCache(size int) *passageCache {
	return &passageCache{size: size, order: list.New(), byDoc: make(map[uint32]*list.Element, size)}
}

func (c *passageCache) get(doc uint32) (retrieve.Passage, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byDoc[doc]
	if !ok {
		return retrieve.Passage{}, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cachedPassage).passage, true
}

func (c *passageCache) put(doc uint32, p retrieve.Passage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byDoc[doc]; ok {
		return
	}
	if c.order.Len() >= c.size {
		oldest := c.order.Back()
		delete(c.byDoc, oldest.Value.(*cachedPassage).doc)
		c.order.Remove(oldest)
	}
	c.byDoc[doc] = c.order.PushFront(&cachedPassage{doc, p})
}
