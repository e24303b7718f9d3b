#!/bin/sh
# Runs Reference.java with Lucene from Maven: tools/lucene/run.sh MODE ARGUMENTS.
# Needs Java 17 and Maven; the jars and the compiled class lie in the user's cache.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/flashback/lucene-9.12.3
if [ ! -d "$cache/jars" ]; then
    mvn -q -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$cache/jars.new" >&2
    mv "$cache/jars.new" "$cache/jars"
fi
if [ ! "$cache/Reference.class" -nt "$here/Reference.java" ]; then
    javac -cp "$cache/jars/*" -d "$cache" "$here/Reference.java"
fi
exec java ${JAVA_FLAGS:-} -cp "$cache:$cache/jars/*" Reference "$@"
