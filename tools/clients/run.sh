#!/bin/bash
# Runs each client against a server of its own and prints what it sees. What they need is
# installed beside this script, in folders that git ignores.
#
#     tools/clients/run.sh ./flashback
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "$0")"
[ -d .venv ] || { python3 -m venv .venv && .venv/bin/pip install -q -r requirements.txt; }
[ -d .venv-aider ] || { python3 -m venv .venv-aider && .venv-aider/bin/pip install -q aider-chat; }
[ -d node/node_modules ] || npm --prefix node install --silent --no-package-lock

work=$(mktemp -d)
trap 'kill $server 2>/dev/null || true; rm -rf "$work"' EXIT
"$program" index notes -o "$work/notes.index" >/dev/null 2>&1
"$program" serve --index notes="$work/notes.index" --library "$work/library" --ollama --listen 127.0.0.1:0 2>"$work/log" &
server=$!
address=
for _ in $(seq 600); do
	address=$(grep -om1 'http://127.0.0.1:[0-9]*' "$work/log" || true)
	[ -n "$address" ] && curl -sf "$address/ready" >/dev/null && break
	sleep 0.1
done
export OPENAI_BASE_URL=$address/v1 OPENAI_API_BASE=$address/v1 OPENAI_API_KEY=none OLLAMA_HOST=$address

failed=0
client() {
	echo "== $1"
	shift
	"$@" 2>&1 | sed "s#$address#http://127.0.0.1:8080#g" || failed=1
}
model=smollm2-135m@notes
date -u +%Y-%m-%d
client "openai-python: plain, .stream(), async" .venv/bin/python openai_chat.py $model
client "openai-python: responses" .venv/bin/python openai_responses.py smollm2-135m notes
client "openai-python: files and vector stores" .venv/bin/python indexes.py "$address"
client "openai-node" node node/chat.mjs $model
client "openai-go" go -C go run . $model
client "langchain-openai" .venv/bin/python langchain_chat.py $model
client "langchain-openai: responses" .venv/bin/python langchain_responses.py smollm2-135m notes
client "litellm" .venv/bin/python litellm_chat.py $model
client "ollama for Python" .venv/bin/python ollama_chat.py $model
client "ollama for Node" node node/ollama.mjs $model
client "what others are complained of" .venv/bin/python "$PWD/complaints.py" "$address" smollm2-135m notes
client "aider" ./aider.sh .venv-aider/bin/aider $model
client "MCP Inspector" ./mcp.sh node/node_modules/.bin/mcp-inspector "$address" "$program" "$work/notes.index"
exit $failed
