#!/usr/bin/env bash
# Everything that needs an NVIDIA card, in one run: tests against the card, compute-sanitizer
# where it is installed, --verify and nearness to exact compute on a model, and the tables
# of docs/cuda.md and docs/performance.md.
#
#   tools/cuda/check.sh [quick|tests|full] [BIN] [MODEL.gguf [TEXT]]
#
# quick is tests, about a minute; tests adds compute-sanitizer, and full, the default, the
# tables. BIN is a directory with what `tools/cuda/check.sh build BIN` made elsewhere, for
# machines without Go; without it everything is built first. TEXT is what perplexity is
# measured on, such as wikitext2.jsonl.zst. Output goes to standard output: keep it. A step
# that takes more than LIMIT seconds (120) is ended, and has failed.
set -uo pipefail

packages=(internal/device/cuda/driver internal/device/cuda/kernel internal/device/cuda internal/engine internal/ralm)
tools=(tools/cuda/roofline tools/cuda/nearness)

build() {
	mkdir -p "$1"
	export CGO_ENABLED=0
	go build -tags cuda -ldflags "-s -w" -o "$1/flashback" ./cmd/flashback || exit 1
	for p in "${tools[@]}"; do
		go build -tags cuda -ldflags "-s -w" -o "$1/${p##*/}" "./$p" || exit 1
	done
	for p in "${packages[@]}"; do
		go test -tags cuda -ldflags "-s -w" -c -o "$1/${p##*/}.test" "./$p" || exit 1
	done
}

what=full
case ${1:-} in
build)
	build "${2:?usage: tools/cuda/check.sh build BIN}"
	exit
	;;
quick | tests | full)
	what=$1
	shift
	;;
esac
root=$(realpath "$(dirname "$0")/../..")
model=${2:+$(realpath "$2")}
text=${3:+$(realpath "$3")}
if [ -n "${1:-}" ]; then
	bin=$(realpath "$1")
else
	bin=$(mktemp -d)
	cd "$root" && build "$bin"
fi
failed=0
run() { # title, command …
	echo "== $1"
	shift
	local from=$SECONDS status=0
	timeout -k 5 "${LIMIT:-120}" "$@" 2>&1 || status=$?
	if [ $status != 0 ]; then
		failed=1
		echo "FAILED ($status): $*"
	fi
	echo "-- $((SECONDS - from)) s"
}

tests() { # title, package, arguments of its test program
	local title=$1 package=$2
	shift 2
	run "$title" env -C "$root/$package" "$bin/${package##*/}.test" "$@"
}

date -u
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
tests "driver" internal/device/cuda/driver -test.v -test.run Open
tests "kernels against what they compute" internal/device/cuda/kernel
tests "staging" internal/device/cuda
tests "engine: exactness, batches, adapters, families" internal/engine -test.short -test.run Card
tests "the retrieval loop, verified" internal/ralm -test.short -test.v -test.run 'OnACard|Concurrent'
if [ -n "$model" ]; then
	index=$(mktemp -d)/index
	run "an index" "$bin/flashback" index "$root/docs" -o "$index" --model "$model"
	for placement in append virtual prepend; do
		run "generate --verify, $placement" "$bin/flashback" generate --model "$model" --index "$index" --device cuda --compute fast --verify --placement "$placement" --tokens 48 --prompt "The mutex is a lock that"
	done
	if [ -n "$text" ]; then
		run "nearness to exact compute" "$bin/nearness" -model "$model" -of wikitext2-test/ "$text"
	fi
fi
[ $what = quick ] && exit $failed
if command -v compute-sanitizer >/dev/null; then
	sanitize() { # tool, tests, package
		run "compute-sanitizer $1, $2" env -C "$root/$3" compute-sanitizer --tool "$1" --error-exitcode 1 "$bin/${3##*/}.test" -test.short -test.run "$2"
	}
	for names in TestProducts TestAttention 'Packed|Epilogues|Norms|Lookups|Elementwise|LowRank|Choose|Rotate|Fresh'; do
		sanitize memcheck "$names" internal/device/cuda/kernel
	done
	sanitize memcheck 'CardIsExact/(append|virtual)$' internal/engine
	sanitize racecheck 'Packed|Norms|Choose' internal/device/cuda/kernel
else
	echo "== compute-sanitizer: not installed, skipped"
fi
[ $what = tests ] && exit $failed
f="$bin/flashback bench"
rounds=${ROUNDS:-7}
run "kernels' share of what the card can do" "$bin/roofline"
run "loop, f16" $f loop --random llama-2-7b --contexts 1024,2048,4096 --rounds "$rounds"
run "loop, Q8_0" $f loop --random llama-2-7b --quantize q8_0 --contexts 1024,2048,4096 --rounds "$rounds" --placements append,virtual,none
run "loop, fp8" $f loop --random llama-2-7b --quantize fp8 --contexts 1024,2048,4096 --rounds "$rounds" --placements append,virtual,none
run "batch, f16" $f batch --random llama-2-7b --sequences 1,8,32,64 --context 2048 --placements none --rounds 3
exit $failed
