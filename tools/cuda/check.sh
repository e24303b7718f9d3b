#!/usr/bin/env bash
# Everything that needs an NVIDIA card, in one run: tests against the card, compute-sanitizer
# where it is installed, --verify on a model, and the tables of docs/performance.md.
#
#   tools/cuda/check.sh [BIN] [MODEL.gguf]
#
# BIN is a directory with what `tools/cuda/check.sh build BIN` made elsewhere, for machines
# without Go; without it everything is built first. Output goes to standard output: keep it.
set -uo pipefail

packages=(internal/device/cuda/driver internal/device/cuda/kernel internal/engine internal/ralm)

build() {
	mkdir -p "$1"
	export CGO_ENABLED=0
	go build -tags cuda -ldflags "-s -w" -o "$1/flashback" ./cmd/flashback || exit 1
	for p in "${packages[@]}"; do
		go test -tags cuda -ldflags "-s -w" -c -o "$1/${p##*/}.test" "./$p" || exit 1
	done
}

if [ "${1:-}" = build ]; then
	build "${2:?usage: tools/cuda/check.sh build BIN}"
	exit
fi
bin=${1:-}
model=${2:-}
if [ -z "$bin" ]; then
	bin=$(mktemp -d)
	build "$bin"
fi
failed=0
run() { # title, command …
	echo "== $1"
	shift
	"$@" 2>&1 || { failed=1; echo "FAILED: $*"; }
}

date -u
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
run "driver" "$bin/driver.test" -test.v -test.run Open
run "kernels against plain Go" "$bin/kernel.test" -test.short
run "engine: exactness, batches, adapters, families" "$bin/engine.test" -test.short -test.run Card
if command -v compute-sanitizer >/dev/null; then
	for tool in memcheck racecheck; do
		run "compute-sanitizer $tool" compute-sanitizer --tool "$tool" --error-exitcode 1 "$bin/engine.test" -test.short -test.run 'CardIsExact/(append|virtual)$'
	done
else
	echo "== compute-sanitizer: not installed, skipped"
fi
if [ -n "$model" ]; then
	for placement in append virtual prepend; do
		run "generate --verify, $placement" "$bin/flashback" generate --model "$model" --device cuda --compute fast --verify --placement "$placement" --tokens 48 --prompt "The mutex is a lock that"
	done
fi
f="$bin/flashback bench"
rounds=${ROUNDS:-7}
run "loop, f16" $f loop --random llama-2-7b --contexts 1024,2048,4096 --rounds "$rounds"
run "loop, Q8_0" $f loop --random llama-2-7b --quantize q8_0 --contexts 1024,2048,4096 --rounds "$rounds" --placements append,virtual,none
run "loop, fp8" $f loop --random llama-2-7b --quantize fp8 --contexts 1024,2048,4096 --rounds "$rounds" --placements append,virtual,none
run "batch, f16" $f batch --random llama-2-7b --sequences 1,8,32,64 --context 2048 --placements none --rounds 3
exit $failed
