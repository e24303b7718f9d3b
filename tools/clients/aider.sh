#!/bin/bash
# Two questions with sources through aider, without anybody at the terminal. The second goes
# on with the history of the first.
#
#     tools/clients/aider.sh AIDER MODEL      # OPENAI_API_BASE and OPENAI_API_KEY say where
set -euo pipefail
aider=$(realpath "$1") settings=$(realpath "$(dirname "$0")/aider.yml") work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LITELLM_LOCAL_MODEL_COST_MAP=True # or it fetches a list of prices
cd "$work"
ask() {
	"$aider" --model "openai/$1" --model-settings-file "$settings" --chat-mode ask --message "$2" --restore-chat-history --chat-history-file history.md \
		--no-git --yes-always --no-check-update --no-analytics --no-show-model-warnings --no-show-release-notes --no-gitignore --no-pretty --no-stream --map-tokens 0 --disable-playwright |
		tee answer | grep -v '^$'
	grep -q '/passages/' answer || { echo "no sources"; exit 1; }
}
ask "$2" "Where does the spare key of the boathouse hang?"
ask "$2" "Who may lend it?"
echo "ok: $("$aider" --version)"
