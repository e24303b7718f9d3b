package flashback_test

import (
	"os"
	"testing"

	"github.com/flashback-lm/flashback/internal/hub"
	"github.com/flashback-lm/flashback/internal/hub/hubtest"
)

// TestExamples runs the examples that need the default model; a failing one ends
// the tests.
func TestExamples(t *testing.T) {
	model := hubtest.Model(t)
	if _, err := hub.Resolve(hubtest.Default); err != nil {
		t.Skipf("the examples run the model by its name, and %s is elsewhere (%s); run: flashback pull %s", hubtest.Default, model, hubtest.Default)
	}
	stdout := os.Stdout
	defer func() { os.Stdout = stdout }()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	os.Stdout = null
	ExampleOpen()
	ExampleEngine_Stream()
	ExampleChat_Ask()
	ExampleBuildIndex()
}
