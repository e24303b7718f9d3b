#!/bin/sh
# Writes the manual pages and the completions of shells that packages have, to packaging/extras.
set -eu
cd "$(dirname "$0")/.."
out=packaging/extras
rm -rf "$out"
mkdir -p "$out/completions"
GOFLAGS= CGO_ENABLED=0 go build -o "$out/flashback" ./cmd/flashback
"$out/flashback" man "$out/man"
for shell in bash zsh fish powershell; do
	"$out/flashback" completion "$shell" >"$out/completions/flashback.$shell"
done
rm "$out/flashback"
