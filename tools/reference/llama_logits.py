"""Writes what transformers makes of a llama GGUF file, for the engine's tests.

    pip install -r tools/reference/requirements.txt
    python3 tools/reference/llama_logits.py logits     MODEL.gguf internal/engine/testdata
    python3 tools/reference/llama_logits.py placements MODEL.gguf internal/engine/testdata
    python3 tools/reference/llama_logits.py perplexity MODEL.gguf internal/engine/testdata wikitext2.jsonl.zst
    python3 tools/reference/llama_logits.py check      MODEL.gguf

`logits` and `placements` read Go's own documentation with `go doc`. They write
NAME.json and NAME.bin: the first lists the tensors of the second (little-endian,
row-major, at byte offsets). `check` shows that the reference can be trusted.
"""

import argparse
import hashlib
import json
import math
import subprocess
from pathlib import Path

import numpy as np
import torch
import transformers
import zstandard

from gguf_llama import load_model, load_tokenizer
from placements import flatten, target_logits

LOGITS_TOKENS = 2048
PROBES = 64
TARGET = 16
WINDOW = 512
CASES = [  # placement, echo, lengths of the passages
    ("none", 0, []),
    ("prepend", 0, [101]),
    ("append", 0, [64]),
    ("append", 16, [64]),
    ("virtual", 1, [128]),
    ("virtual", 1, [30, 77]),
    ("virtual", 1, [90, 30, 51]),
]
CONTEXTS = {2: "errors", 17: "strings", 40: "time", 200: "net/http", 500: "reflect"}
EVIDENCE = ["bufio", "sort", "io"]


def go(*arguments):
    return subprocess.run(["go", *arguments], check=True, capture_output=True, text=True).stdout


def documentation(tokenizer, package):
    """Returns the tokens of a package's documentation."""
    return tokenizer.encode(go("doc", "-all", package), add_special_tokens=False).ids


def probes(vocabulary):
    """Returns PROBES ids spread evenly over the vocabulary, both ends included."""
    return [round(i * (vocabulary - 1) / (PROBES - 1)) for i in range(PROBES)]


def file_digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def write(directory, name, header, tensors):
    """Writes NAME.json and NAME.bin."""
    raw, table = bytearray(), []
    for key, array in tensors.items():
        array = np.ascontiguousarray(array, dtype={"i": "<i4", "f": "<f4"}[array.dtype.kind])
        table.append({"name": key, "type": array.dtype.name, "shape": array.shape, "offset": len(raw)})
        raw += array.tobytes()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.bin").write_bytes(raw)
    write_json(directory / f"{name}.json", header | {"tensors": table})


def write_json(path, value):
    """Writes an object with one line a key, and one an element of a list of objects."""
    lines = []
    for key, item in value.items():
        if isinstance(item, list) and item and isinstance(item[0], dict):
            text = "[\n" + ",\n".join("    " + json.dumps(element) for element in item) + "\n  ]"
        else:
            text = json.dumps(item)
        lines.append(f"  {json.dumps(key)}: {text}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def about(arguments):
    return {
        "made_by": f"tools/reference/llama_logits.py {arguments.what}",
        "model_sha256": file_digest(arguments.model),
        "transformers": transformers.__version__,
        "torch": torch.__version__.split("+")[0],
    }


@torch.inference_mode()
def logits(arguments):
    """One plain sequence: at every position the probed logits, the argmax, its margin, the logsumexp."""
    model, tokenizer = load_model(arguments.model), load_tokenizer(arguments.model)
    ids = documentation(tokenizer, "fmt")[:LOGITS_TOKENS]
    assert len(ids) == LOGITS_TOKENS
    out = model(torch.tensor([ids]), use_cache=False).logits[0]
    top = out.topk(2).values
    probe = probes(out.shape[1])
    write(
        arguments.directory,
        "logits",
        about(arguments) | {"text": f"the first {LOGITS_TOKENS} tokens of `go doc -all fmt`, {go('version').split()[2]}"},
        {
            "ids": np.array(ids),
            "probes": np.array(probe),
            "argmax": out.argmax(1).int().numpy(),
            "margin": (top[:, 0] - top[:, 1]).numpy(),
            "logsumexp": out.double().logsumexp(1).numpy(),
            "logits": out[:, probe].numpy(),
        },
    )


def cases(tokenizer):
    passages = [documentation(tokenizer, package) for package in EVIDENCE]
    for p, package in CONTEXTS.items():
        text = documentation(tokenizer, package)[p:]  # so that token 0 differs
        for placement, echo, lengths in CASES:
            yield {
                "placement": placement,
                "echo": echo,
                "context": text[:p],
                "evidence": [passage[p : p + n] for passage, n in zip(passages, lengths)],
                "target": text[p : p + TARGET],
            }


def placements(arguments):
    """The placements: log-probabilities of the targets, and the probed logits that predict them."""
    model, tokenizer = load_model(arguments.model), load_tokenizer(arguments.model)
    probe = probes(model.config.vocab_size)
    done, rows = [], []
    for case in cases(tokenizer):
        flat = flatten(case["placement"], case["echo"], case["context"], case["evidence"], case["target"])
        out = target_logits(model, flat, TARGET)
        logprobs = out.double().log_softmax(1)[range(TARGET), case["target"]]
        done.append(case | {"logprobs": [round(v, 6) for v in logprobs.tolist()]})
        rows.append(out[:, probe].numpy())
    write(
        arguments.directory,
        "placements",
        about(arguments) | {"text": f"`go doc -all` of several packages, {go('version').split()[2]}", "cases": done},
        {"probes": np.array(probe), "logits": np.stack(rows)},
    )


@torch.inference_mode()
def perplexity(arguments):
    """WikiText-2: mean negative log-likelihood over windows, in the recipe that the file states."""
    model, tokenizer = load_model(arguments.model), load_tokenizer(arguments.model)
    with zstandard.open(arguments.data, "rt", encoding="utf-8") as f:
        articles = [json.loads(line) for line in f]
    text = "".join(article["text"] for article in articles if article["id"].startswith("wikitext2-test/"))
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    runs, total, scored = [], 0.0, 0
    for size in (4096, 65536):
        for at in range(scored // (WINDOW - 1) * WINDOW, size, WINDOW):
            window = torch.tensor([ids[at : at + WINDOW]])
            logprobs = model(window, use_cache=False).logits[0, :-1].double().log_softmax(1)
            total -= logprobs.gather(1, window[0, 1:, None]).sum().item()
            scored += WINDOW - 1
        runs.append(
            {
                "tokens": size,
                "ids_sha256": hashlib.sha256(np.array(ids[:size], "<i4").tobytes()).hexdigest(),
                "scored": scored,
                "mean_nll": total / scored,
                "perplexity": math.exp(total / scored),
            }
        )
    recipe = [
        "lines of wikitext2.jsonl.zst whose id starts with wikitext2-test/, in file order",
        "their text fields joined with the empty string and tokenised at once, no special tokens",
        f"the first `tokens` ids cut into windows of {WINDOW} that start with an empty KV and no BOS",
        "in each window every token but the first is scored; the mean is over all scored tokens, in f64",
        "ids_sha256 is over the ids as little-endian int32",
    ]
    arguments.directory.mkdir(parents=True, exist_ok=True)
    write_json(
        arguments.directory / "perplexity.json",
        about(arguments) | {"recipe": recipe, "window": WINDOW, "all_tokens": len(ids), "runs": runs},
    )


@torch.inference_mode()
def check(arguments):
    """Compares the reference with itself, where two ways must give the same."""
    model, tokenizer = load_model(arguments.model), load_tokenizer(arguments.model)
    text = documentation(tokenizer, "fmt")

    def show(what, a, b):
        print(f"{what:66} max abs difference {(a.double() - b.double()).abs().max():.1e}", flush=True)

    def plain(ids, keep):
        return model(torch.tensor([ids]), use_cache=False, logits_to_keep=keep).logits[0]

    context, passage, target = text[:200], text[1000:1100], text[200 : 200 + TARGET]
    fed = target[:-1]
    for placement, echo, ids in [
        ("none", 0, context + fed),
        ("prepend", 0, passage + context + fed),
        ("append", 0, context + passage + fed),
        ("append", 16, context + passage + context[-16:] + fed),
    ]:
        out = target_logits(model, flatten(placement, echo, context, [passage], target), TARGET)
        show(f"{placement} echo {echo}: dense mask and one causal sequence", out, plain(ids, TARGET))
    flat = flatten("virtual", 1, context, [passage, text[2000:2030]], target)
    out = target_logits(model, flat, TARGET)
    flat.positions = [position + 1000 for position in flat.positions]
    show("virtual: positions from -n and all shifted by 1000", out, target_logits(model, flat, TARGET))
    flat = flatten("virtual", 1, context[:1] * 2, [passage], target)
    causal = context[:1] + passage + context[:1] + fed
    positions = [0, *range(-len(passage), 0), *range(1, 1 + TARGET)]
    ids = torch.tensor([causal])
    by_hand = model(ids, position_ids=torch.tensor([positions]), attention_mask=causal_mask(ids.shape[1]), use_cache=False)
    show("virtual, p = 2: dense mask and one causal sequence", target_logits(model, flat, TARGET), by_hand.logits[0, -TARGET:])

    ids = text[:WINDOW]
    ours = plain(ids, 0)
    path = Path(arguments.model).resolve()
    loaded = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager"
    )
    show("512 tokens: by hand and transformers' own GGUF loader", ours, loaded(torch.tensor([ids])).logits[0])
    del loaded
    double = load_model(arguments.model, torch.float64)
    show("512 tokens: f32 and f64 (RMSNorm and RoPE stay f32)", ours, double(torch.tensor([ids])).logits[0])


def causal_mask(size):
    return torch.full((size, size), torch.finfo(torch.float32).min).triu(1)[None, None]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    for run in (logits, placements, perplexity, check):
        command = commands.add_parser(run.__name__, help=run.__doc__)
        command.add_argument("model")
        if run is not check:
            command.add_argument("directory", type=Path)
        if run is perplexity:
            command.add_argument("data", help="wikitext2.jsonl.zst")
        command.set_defaults(run=run)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
