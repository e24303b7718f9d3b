package server

import (
	"strings"
	"sync"
	"testing"

	"github.com/flashback-lm/flashback"
)

// gate is a model whose tokenizing of large texts takes as long as it is told.
type gate struct {
	*fake
	entered chan bool
	leave   chan struct{}
}

func (g gate) Tokens(text string, special bool) []int32 {
	if len(text) >= largeText {
		g.entered <- true
		<-g.leave
	}
	return nil
}

func (g gate) ChatTokens(messages []flashback.Message) ([]int32, error) {
	return g.Tokens(messages[0].Content+messages[len(messages)-1].Content, false), nil
}

// Large texts are tokenized one at a time, small ones meanwhile.
func TestLargeTextsInTurn(t *testing.T) {
	g := gate{&fake{}, make(chan bool), make(chan struct{})}
	m := orderly{g, &sync.Mutex{}}
	half := strings.Repeat("x", largeText/2)
	var large sync.WaitGroup
	large.Go(func() { m.Tokens(half+half, false) })
	<-g.entered
	large.Go(func() { m.ChatTokens([]flashback.Message{{Content: half}, {Content: half}}) })
	for range 100 {
		m.Tokens(half, false) // would not return behind a large one
	}
	select {
	case <-g.entered:
		t.Error("two large texts are tokenized at once")
	default:
	}
	g.leave <- struct{}{}
	<-g.entered
	g.leave <- struct{}{}
	large.Wait()
}
