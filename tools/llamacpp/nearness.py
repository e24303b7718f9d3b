"""Says how near llama.cpp's logits and those of fast compute are to exact compute's, on the same file and text.

    pip download --no-deps --no-binary :all: llama-cpp-python==0.3.36     # its bindings are used, and the build of README.md
    export PYTHONPATH=llama_cpp_python-0.3.36 LLAMA_CPP_LIB_PATH=build/bin
    go build -o logits ./tools/llamacpp/logits
    python3 tools/llamacpp/nearness.py --logits ./logits --model MODEL.gguf --data wikitext2.jsonl.zst

Printed are the mean KL divergence from exact compute with a 95 % interval over positions (normal), in how many positions the
likeliest token is the same, and the perplexities. llama.cpp runs with its defaults, keys and values in f16, with flash
attention and without. Needs numpy, and what the bindings import: diskcache, jinja2, typing_extensions.
"""

import argparse
import ctypes
import json
import subprocess

import llama_cpp.llama_cpp as llama
import numpy as np

ROWS = 64  # that are compared at once
EXACT, FAST, FLASH, PLAIN = "exact", "fast", "llama.cpp, -fa on", "llama.cpp, -fa off"


def context(model, size, flash, threads):
    p = llama.llama_context_default_params()
    p.n_ctx = p.n_batch = p.n_ubatch = size
    p.n_threads = p.n_threads_batch = threads
    p.flash_attn_type = 1 if flash else 0
    made = llama.llama_init_from_model(model, p)
    if not made:
        raise SystemExit("llama.cpp made no context")
    return made


def logits(context, window, vocabulary):
    """Returns what predicts each token of the window but the first: [tokens-1, vocabulary]."""
    llama.llama_memory_clear(llama.llama_get_memory(context), True)
    batch = llama.llama_batch_init(len(window), 0, 1)
    batch.n_tokens = len(window)
    for i, token in enumerate(window):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = token, i, 1, 0, 1
    if llama.llama_decode(context, batch):
        raise SystemExit("llama.cpp did not decode")
    rows = np.ctypeslib.as_array(ctypes.cast(llama.llama_get_logits(context), ctypes.POINTER(ctypes.c_float)), (len(window), vocabulary))
    llama.llama_batch_free(batch)
    return rows[:-1]


def log_softmax(rows):
    rows = rows.astype(np.float64)
    rows -= rows.max(1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(1, keepdims=True))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--logits", required=True, help="tools/llamacpp/logits, built")
    p.add_argument("--model", required=True)
    p.add_argument("--data", required=True, help="wikitext2.jsonl.zst")
    p.add_argument("--windows", type=int, default=8)
    p.add_argument("--threads", type=int, default=2, help="of llama.cpp")
    p.add_argument("--kernels", default="", help="our compute path (default: the fastest here)")
    a = p.parse_args()
    ours = subprocess.Popen([a.logits, "-model", a.model, "-windows", str(a.windows), "-kernels", a.kernels, a.data], stdout=subprocess.PIPE)
    header = json.loads(ours.stdout.readline())
    vocabulary, windows = header["vocabulary"], header["windows"]
    size = len(windows[0])
    llama.llama_backend_init()
    parameters = llama.llama_model_default_params()
    model = llama.llama_model_load_from_file(a.model.encode(), parameters)
    theirs = {FLASH: context(model, size, True, a.threads), PLAIN: context(model, size, False, a.threads)}
    names = [EXACT, FAST, *theirs]
    kl, same, loss = ({name: [] for name in names} for _ in range(3))
    for window in windows:
        def take():
            return np.frombuffer(ours.stdout.read(4 * vocabulary * (size - 1)), "<f4").reshape(size - 1, vocabulary)

        rows = {EXACT: take(), FAST: take()}
        for name, c in theirs.items():
            rows[name] = logits(c, window, vocabulary)
        for at in range(0, size - 1, ROWS):
            part = {name: log_softmax(r[at : at + ROWS]) for name, r in rows.items()}
            targets = window[1 + at : 1 + at + ROWS]
            p_exact = np.exp(part[EXACT])
            for name, q in part.items():
                kl[name].append((p_exact * (part[EXACT] - q)).sum(1))
                same[name].append(q.argmax(1) == part[EXACT].argmax(1))
                loss[name].append(-q[np.arange(len(targets)), targets])
    if ours.wait():
        raise SystemExit(f"{a.logits} failed")
    kl, same, loss = ({name: np.concatenate(v) for name, v in of.items()} for of in (kl, same, loss))
    print(f"{len(windows)} windows of {size} tokens, {len(loss[EXACT])} positions\n")
    print("| | KL to exact | 95 % | best token the same | perplexity | of exact's |\n|---|---:|---:|---:|---:|---:|")
    for name in names:
        mean, half = kl[name].mean(), 1.96 * kl[name].std() / np.sqrt(len(kl[name]))
        perplexity = np.exp(loss[name].mean())
        ratio = perplexity / np.exp(loss[EXACT].mean()) - 1
        print(f"| {name} | {mean:.5f} | ± {half:.5f} | {100 * same[name].mean():.1f} % | {perplexity:.3f} | {100 * ratio:+.2f} % |")
    for name in theirs:
        more = kl[FAST] - kl[name]
        print(f"\nfast less {name}: {more.mean():+.6f} ± {1.96 * more.std() / np.sqrt(len(more)):.6f}")


main()
