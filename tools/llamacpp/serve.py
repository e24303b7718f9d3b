"""Times chats with passages on our server and on llama.cpp's, in turns.

    python3 tools/llamacpp/serve.py --flashback ./flashback --server build/bin/llama-server --model MODEL.gguf \\
        --index docs.index --rounds 3

Several chats of several turns go on at once. Our server looks passages up itself. llama.cpp's is used in the usual
way: the client looks them up in the same index and pastes them before the question, and its prompt cache is on.
Passages of former turns are once taken out of the history (out) and once left in it (in). There are two loads:
passages are looked up once a turn, or again every 16 tokens, for which the client stops there, looks up with the end of what
was written, and sends question and answer so far again. Both write the same number of tokens, greedily. Needs
Python alone.
"""

import argparse
import concurrent.futures
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

QUESTIONS = ["What is {}?", "How is it used?", "What does it cost?", "Which test shows it?", "What is it compared with?", "What is not done yet?"]
SUBJECTS = ["a placement", "the KV cache", "an adapter", "the tokenizer", "an index of documents", "a compute path", "the server", "training"]


class Server:
    """A process on a free port."""

    def __init__(self, command, ready):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.ready = ready
        self.process = subprocess.Popen(command(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        for _ in range(600):
            if self.process.poll() is not None:
                sys.exit(f"the server ended with status {self.process.returncode}")
            try:
                urllib.request.urlopen(self.url + self.ready, timeout=5)
                return self
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        sys.exit("the server did not get ready within a minute")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return urllib.request.urlopen(request, timeout=900)

    def events(self, path, body):
        """Yields the events of a stream, each with the time at which it came."""
        with self.post(path, body | {"stream": True}) as answer:
            for line in answer:
                if line.startswith(b"data: {"):
                    yield time.perf_counter(), json.loads(line[6:])


class Ours(Server):
    def __init__(self, a):
        command = [a.flashback, "serve", "--model", a.model, "--index", f"notes={a.index}", "--threads", str(a.threads), "--kv-budget", a.kv, "--log-level", "warn"]
        super().__init__(lambda port: command + ["--listen", f"127.0.0.1:{port}"], "/ready")
        self.a = a

    def __enter__(self):
        super().__enter__()
        with urllib.request.urlopen(self.url + "/v1/models") as answer:
            self.name = json.load(answer)["data"][0]["id"]
        return self

    def search(self, query):
        with self.post("/v1/vector_stores/notes/search", {"query": query, "max_num_results": self.a.passages}) as answer:
            return [p["content"][0]["text"] for p in json.load(answer)["data"]]

    def turn(self, messages, stride):
        """Returns the answer, when its first token came, and how many tokens were computed and written."""
        body = {
            "model": f"{self.name}@notes", "messages": messages, "max_tokens": self.a.tokens, "ignore_eos": True, "repetition_penalty": 1, "stream_options": {"include_usage": True},
            "flashback": {"k": self.a.passages, "stride": stride, "placement": self.a.placement, "context_budget": 0, "cite": "none"},
        }
        text, first, counts, written = "", None, {}, 0
        for at, event in self.events("/v1/chat/completions", body):
            if "error" in event:
                sys.exit(f"our server: {event['error']}")
            counts = (event.get("flashback") or {}).get("counts") or counts
            written = (event.get("usage") or {}).get("completion_tokens", written)
            for choice in event["choices"]:
                if piece := choice["delta"].get("content"):
                    text, first = text + piece, first or at
        return text, first, counts, written


class Llama(Server):
    def __init__(self, a, search):
        command = [a.server, "-m", a.model, "--host", "127.0.0.1", "-t", str(a.threads), "-np", str(a.chats), "-c", str(a.context * a.chats), "-fa", a.flash_attention, "--no-webui"]
        super().__init__(lambda port: command + ["--port", str(port)], "/health")
        self.a, self.search = a, search

    def prompt(self, messages):
        """Returns the prompt of SmolLM2's chat template, an answer that is begun at its end."""
        text = "<|im_start|>system\nAnswer the question in one or two sentences, with what the passages say.<|im_end|>\n"
        for m in messages[:-1]:
            text += f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n"
        return text + f"<|im_start|>assistant\n{messages[-1]['content']}"

    def turn(self, history, question, stride, slot):
        text, first, computed, written = "", None, 0, 0
        while written < self.a.tokens:
            pasted = "\n\n".join(self.search(question + " " + text[-120:])) + "\n\n" + question
            body = {"prompt": self.prompt(history + [{"role": "user", "content": pasted}, {"role": "assistant", "content": text}]),
                    "n_predict": min(stride, self.a.tokens - written), "temperature": 0, "ignore_eos": True, "cache_prompt": True, "id_slot": slot}
            for at, event in self.events("/completion", body):
                text, first = text + event["content"], first or at
                if event["stop"]:
                    computed += event["timings"]["prompt_n"] + event["timings"]["predicted_n"]
                    written += event["timings"]["predicted_n"]
        return text, pasted, first, computed, written


def chats(a, one):
    """Has all chats at once; returns a row."""
    began = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(a.chats) as pool:
        all = [turn for chat in pool.map(one, range(a.chats)) for turn in chat]
    took = time.perf_counter() - began
    written = sum(t["written"] for t in all)
    return {"tokens_per_second": written / took, "first_ms": 1000 * statistics.median(t["first"] for t in all), "computed": sum(t["computed"] for t in all), "written": written}


def questions(a, chat):
    return [q.format(SUBJECTS[chat % len(SUBJECTS)]) for q in QUESTIONS[: a.turns]]


def ours(a, stride):
    with Ours(a) as server:

        def one(chat):
            messages, turns = [], []
            for question in questions(a, chat):
                messages.append({"role": "user", "content": question})
                sent = time.perf_counter()
                text, first, counts, written = server.turn(messages, stride)
                turns.append({"first": first - sent, "computed": counts["prompt"] + counts["prefilled"] + counts["decoded"], "written": written})
                messages.append({"role": "assistant", "content": text})
            return turns

        return chats(a, one)


def theirs(a, stride, left, search):
    with Llama(a, search) as server:

        def one(chat):
            history, turns = [], []
            for question in questions(a, chat):
                sent = time.perf_counter()
                text, pasted, first, computed, written = server.turn(history, question, stride, chat)
                turns.append({"first": first - sent, "computed": computed, "written": written})
                history += [{"role": "user", "content": pasted if left else question}, {"role": "assistant", "content": text}]
            return turns

        return chats(a, one)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--flashback", required=True, help="our program")
    p.add_argument("--server", required=True, help="llama-server")
    p.add_argument("--model", required=True, help="the file that both run, of SmolLM2's chat template")
    p.add_argument("--index", required=True, help="made by `flashback index`")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--chats", type=int, default=8)
    p.add_argument("--turns", type=int, default=6)
    p.add_argument("--tokens", type=int, default=64, help="of each answer")
    p.add_argument("--passages", type=int, default=2)
    p.add_argument("--placement", default="virtual", help="of ours")
    p.add_argument("--context", type=int, default=8192, help="of a chat at most")
    p.add_argument("--kv", default="1GB", help="our KV budget")
    p.add_argument("--flash-attention", default="off")
    p.add_argument("--loads", default="turn,16", help="when passages are looked up: once a turn, every 16 tokens")
    a = p.parse_args()
    rows = {}

    def add(load, name, row):
        print(f"{load}, {name}: {row}", file=sys.stderr, flush=True)
        rows.setdefault((load, name), []).append(row)

    # The passages that are pasted come from a server of ours that does nothing else; found once, they are remembered.
    with Ours(a) as index:
        found = {}

        def search(query):
            if query not in found:
                found[query] = index.search(query)
            return found[query]

        for _ in range(a.rounds):
            for load, stride in [{"turn": ("new each turn", a.tokens), "16": ("every 16 tokens", 16)}[load] for load in a.loads.split(",")]:
                add(load, "ours", ours(a, stride))
                for name, left in (("llama-server, out", False), ("llama-server, in", True)):
                    add(load, name, theirs(a, stride, left, search))
    print("| passages | server | tokens/s | first token, ms | tokens computed | tokens/s of ours | computed by it |\n|---|---|---|---|---|---|---|")
    for (load, name), all in rows.items():
        m = lambda what, of=all: statistics.median(r[what] for r in of)
        mine = rows[load, "ours"]
        print(f"| {load} | {name} | {m('tokens_per_second'):.1f} ({min(r['tokens_per_second'] for r in all):.1f}–{max(r['tokens_per_second'] for r in all):.1f}) "
              f"| {m('first_ms'):.0f} | {m('computed'):.0f} | {m('tokens_per_second', mine) / m('tokens_per_second'):.2f}× | {m('computed') / m('computed', mine):.2f}× ours |", flush=True)


if __name__ == "__main__":
    main()
