// Package hubtest gives tests the real model.
package hubtest

import (
	"os"
	"testing"

	"github.com/flashback-lm/flashback/internal/hub"
)

// Default is the model that tests use.
const Default = "smollm2-135m"

// Model returns the path of the default model: what FLASHBACK_TEST_MODEL names, or
// else where pull put it. Without one the test is skipped, or fails where
// FLASHBACK_REQUIRE is 1. It never downloads.
func Model(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("FLASHBACK_TEST_MODEL"); path != "" {
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("FLASHBACK_TEST_MODEL: %v", err)
		}
		return path
	}
	m, err := hub.Resolve(Default)
	if err != nil {
		const how = "the model is not here; run: go run ./cmd/flashback pull " + Default
		if os.Getenv("FLASHBACK_REQUIRE") == "1" {
			t.Fatal(how)
		}
		t.Skip(how)
	}
	return m.Path
}
