#!/bin/sh
# Makes the fixtures that our analysis and scores are tested against, from Go's
# documentation. Needs Go, Java 17 and Maven; run it from the project's root.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
lucene=tools/lucene/run.sh
for kind in words passages queries; do
    go run ./tools/lucene/inputs $kind > "$work/$kind"
done
$lucene analyze < "$work/words" > "$work/terms"
paste "$work/words" "$work/terms" | gzip -9n > internal/retrieve/bm25/analysis/testdata/english.tsv.gz
$lucene index "$work/index" < "$work/passages" >&2
$lucene search "$work/index" 10 < "$work/queries" > "$work/hits"
for kind in passages queries hits; do
    gzip -9n < "$work/$kind" > internal/retrieve/bm25/testdata/lucene.$kind.tsv.gz
done
