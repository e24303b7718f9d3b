"""An example service for --retriever: ranks the lines of a text file by how many
of the query's words they hold. Replace rank() by any search engine.

    python3 tools/retriever/server.py notes.txt
    flashback generate --retriever http://localhost:8081 --prompt "…"
"""
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

lines = [line.strip() for line in open(sys.argv[1], encoding="utf-8") if line.strip()]


def rank(query, k, excluded):
    words = set(query.lower().split())
    scored = [(len(words & set(line.lower().split())), i) for i, line in enumerate(lines) if f"line {i}" not in excluded]
    best = sorted((s for s in scored if s[0] > 0), key=lambda s: (-s[0], s[1]))[:k]
    return [{"id": f"line {i}", "text": lines[i], "source": sys.argv[1], "score": score} for score, i in best]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        try:
            q = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = 200, {"passages": rank(q["query"], q["k"], set(q.get("exclude_ids", [])))}
        except (KeyError, ValueError, TypeError) as e:
            status, answer = 400, {"error": f"not a query: {e}"}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("localhost", 8081), Handler).serve_forever()
