#!/usr/bin/env bash
# Writes a commit message for what is staged:  git commit -m "$(configs/commit-message.sh)"
# Needs curl and python3. AUTOTIER_BASE is the service, AUTOTIER_KEY a caller's key where it asks for one.
set -euo pipefail
base=${AUTOTIER_BASE:-http://127.0.0.1:4000}
diff=$(git diff --staged)
[ -n "$diff" ] || { echo "nothing is staged" >&2; exit 1; }
printf 'Write a commit message for this diff. Answer with the message alone.\n\n%s\n' "$diff" |
  python3 -c 'import json, sys; print(json.dumps({"model": "auto", "messages": [{"role": "user", "content": sys.stdin.read()}]}))' |
  curl -fsS "$base/v1/chat/completions" -H 'content-type: application/json' \
    -H "authorization: Bearer ${AUTOTIER_KEY:-none}" --data-binary @- |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["choices"][0]["message"]["content"])'
