"""Times the retrieval loop against llama.cpp's server.

    python3 tools/llamacpp/loop.py --server build/bin/llama-server --model MODEL.gguf --contexts 1024,4096

Every stride sends context and evidence as token ids and samples `stride` tokens
greedily; the evidence is another passage each time. Behind the context (append)
the server's prompt cache keeps the context and computes the last stride's tokens
and the evidence; in front (prepend) it computes everything. Each placement and
length gets a fresh server, and the first request, which encodes the context, is
not counted. Needs Python alone.
"""

import argparse
import json
import random
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

ORDER = {
    "append": lambda context, evidence: context + evidence,
    "prepend": lambda context, evidence: evidence + context,
}


class Server:
    """A llama-server of its own on a free port."""

    def __init__(self, arguments, context):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [arguments.server, "-m", arguments.model, "--host", "127.0.0.1", "--port", str(port)]
            + ["-t", str(arguments.threads), "-np", "1", "-c", str(context), "-fa", arguments.flash_attention]
            + ["--cache-ram", "0"]  # or it copies the old KV away at each prepend
            + (["--no-repack"] if arguments.no_repack else []),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self):
        for _ in range(600):
            if self.process.poll() is not None:
                sys.exit(f"llama-server ended with status {self.process.returncode}")
            try:
                urllib.request.urlopen(self.url + "/health", timeout=5)
                return self
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        self.process.kill()
        sys.exit("llama-server did not get ready within a minute")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def post(self, path, body):
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=900) as response:
            return json.load(response)

    def complete(self, prompt, tokens):
        return self.post(
            "/completion",
            {
                "prompt": prompt,
                "n_predict": tokens,
                "temperature": 0,
                "ignore_eos": True,
                "cache_prompt": True,
                "return_tokens": True,
            },
        )

    def memory_mb(self):
        """Returns the most memory that the process has held, where the system tells."""
        try:
            with open(f"/proc/{self.process.pid}/status") as f:
                return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmHWM"))
        except OSError:
            return None


def measure(arguments, placement, length, tokens):
    """Returns one row: medians over the strides of one fresh server."""
    rng = random.Random(length)
    context = take(tokens["context"], length, rng)
    milliseconds, prefilled, prefill_ms, decode_ms = [], [], [], []
    room = length + arguments.evidence + arguments.stride * (arguments.strides + 2)
    with Server(arguments, room) as server:
        for stride in range(arguments.strides + 1):
            evidence = take(tokens["evidence"], arguments.evidence, rng)
            start = time.perf_counter()
            reply = server.complete(ORDER[placement](context, evidence), arguments.stride)
            elapsed = time.perf_counter() - start
            if len(reply["tokens"]) != arguments.stride:
                sys.exit(f"the server sampled {len(reply['tokens'])} tokens instead of {arguments.stride}")
            context = context + reply["tokens"]
            if stride:  # the first encodes the context
                milliseconds.append(elapsed * 1000 / arguments.stride)
                timings = reply["timings"]
                prefilled.append(timings["prompt_n"])
                prefill_ms.append(timings["prompt_ms"])
                decode_ms.append(timings["predicted_ms"])
        memory = server.memory_mb()
    return {
        "placement": placement,
        "context": length,
        "ms_per_token": round(statistics.median(milliseconds), 2),
        "ms_per_token_min": round(min(milliseconds), 2),
        "ms_per_token_max": round(max(milliseconds), 2),
        "prefill_ms": round(statistics.median(prefill_ms), 1),
        "decode_ms": round(statistics.median(decode_ms), 1),
        "tokens_prefilled": statistics.median(prefilled),
        "memory_mb": memory and round(memory),
    }


def take(lists, length, rng):
    """Returns length tokens: random ids, or those of lists picked at random and joined."""
    if not lists:
        return [rng.randrange(1000, 40000) for _ in range(length)]
    out = []
    while len(out) < length:
        out += rng.choice(lists)
    return out[:length]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, help="llama-server")
    parser.add_argument("--model", required=True)
    parser.add_argument("--contexts", default="1024,4096")
    parser.add_argument("--placements", default="append,prepend")
    parser.add_argument("--strides", type=int, default=7, help="counted strides a row")
    parser.add_argument("--stride", type=int, default=16, help="tokens sampled a stride")
    parser.add_argument("--evidence", type=int, default=130, help="evidence tokens a stride")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--flash-attention", choices=["on", "off"], default="on")
    parser.add_argument("--no-repack", action="store_true")
    parser.add_argument("--tokens", help='JSON file {"context": [[ids], ...], "evidence": [[ids], ...]}; random ids without')
    parser.add_argument("--json", action="store_true", help="print a list of objects instead of a table")
    arguments = parser.parse_args()
    tokens = {"context": [], "evidence": []}
    if arguments.tokens:
        with open(arguments.tokens) as f:
            tokens = json.load(f)
    rows = [
        measure(arguments, placement, int(length), tokens)
        for length in arguments.contexts.split(",")
        for placement in arguments.placements.split(",")
    ]
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    print("placement  context  ms/token  (min … max)  prefilled  prefill ms  decode ms  memory MB")
    for r in rows:
        print(
            f"{r['placement']:9} {r['context']:8} {r['ms_per_token']:9.2f}  "
            f"({r['ms_per_token_min']:.2f} … {r['ms_per_token_max']:.2f}) {r['tokens_prefilled']:9.0f} "
            f"{r['prefill_ms']:11.1f} {r['decode_ms']:10.1f} {r['memory_mb'] or 0:10}"
        )


if __name__ == "__main__":
    main()
