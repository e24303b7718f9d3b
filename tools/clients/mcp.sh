#!/bin/bash
# Searches and asks through the MCP Inspector, over HTTP and over a program's standard
# input and output, and ends with an error where what it should see is missing.
#
#     tools/clients/mcp.sh INSPECTOR URL FLASHBACK INDEX
set -euo pipefail
inspector=$1 url=$2 program=$3 index=$4

# see WHAT WANTED ARGUMENTS…: prints what the inspector is told.
see() {
	local what=$1 wanted=$2 told
	shift 2
	told=$("$inspector" --cli "$@") || { echo "$what fails: $told"; exit 1; }
	grep -q -- "$wanted" <<<"$told" || { echo "$what: no $wanted in: $told"; exit 1; }
	echo "$what: $(grep -m1 -- "$wanted" <<<"$told" | sed 's/^ *//')"
}
question="Where does the spare key of the boathouse hang?"
for way in http stdio; do
	if [ $way = http ]; then at=("$url/mcp" --transport http); else at=("$program" mcp --index notes="$index"); fi
	see "$way, tools/list" '"name": "search"' "${at[@]}" --method tools/list
	see "$way, search" 'behind the blue door' "${at[@]}" --method tools/call --tool-name search --tool-arg "query=spare key boathouse" --tool-arg limit=1
	see "$way, ask" '"answer": ".*blue door' "${at[@]}" --method tools/call --tool-name ask --tool-arg "question=$question"
	uri=$("$inspector" --cli "${at[@]}" --method tools/call --tool-name search --tool-arg "query=spare key boathouse" --tool-arg limit=1 | grep -o 'flashback://[A-Za-z0-9_/-]*' | head -1)
	see "$way, resources/read" 'behind the blue door' "${at[@]}" --method resources/read --uri "$uri"
done
echo "ok: MCP Inspector $(node -p "require('$(dirname "$(realpath "$inspector")")/../../package.json').version")"
