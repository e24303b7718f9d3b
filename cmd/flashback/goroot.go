package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
)

// goroot returns the root of the Go tree on this machine, for the documentation
// of its standard library: GOROOT where it is set, else what the go command
// says.
func goroot(ctx context.Context) (string, error) {
	if root := os.Getenv("GOROOT"); root != "" {
		return root, nil
	}
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if root := strings.TrimSpace(string(out)); err == nil && root != "" {
		return root, nil
	}
	return "", errors.New("no Go tree found for the standard library's documentation: install Go or set GOROOT")
}
