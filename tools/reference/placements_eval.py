"""Scores windows of text under the placements with transformers, and adapters with PEFT.

    pip install -r tools/reference/requirements.txt
    python3 tools/reference/placements_eval.py MODEL.gguf --adapter NAME=DIR < cases.jsonl > scored.jsonl

A line is {"placement": "virtual", "echo": 1, "context": [ids], "evidence":
[[ids], ...], "target": [ids]}, other keys are kept, and gets "logprobs", one a
target token. A "row" that ends in ":adapter=NAME" is scored with that adapter.
`flashback eval perplexity --export` writes such lines, with our "ours"; then the
two are compared. Last, a line for each row goes to standard error.
"""

import argparse
import collections
import json
import math
import sys
from pathlib import Path

import torch
from gguf_llama import load_model
from placements import flatten, target_logits


def load_adapted(path, folder):
    """Returns the base model with PEFT's adapter, its embedding grown by the rows of the adapter's tokens."""
    from peft import PeftModel

    info = Path(folder) / "flashback.json"
    if info.exists() and json.loads(info.read_text()).get("activated"):
        raise SystemExit(f"{folder}: PEFT cannot apply an adapter to a part of a sequence")
    model = load_model(path)
    config = json.loads((Path(folder) / "adapter_config.json").read_text())
    rows = (config.get("trainable_token_indices") or {}).get("embed_tokens", [])
    size = max([model.config.vocab_size, *(row + 1 for row in rows)])
    model.resize_token_embeddings(size, mean_resizing=False)
    return PeftModel.from_pretrained(model, folder).eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--adapter", action="append", default=[], metavar="NAME=DIR", help="repeatable")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda: f32 there too")
    arguments = parser.parse_args()
    folders = dict(adapter.split("=", 1) for adapter in arguments.adapter)
    torch.backends.cuda.matmul.allow_tf32 = False
    models = {"": load_model(arguments.model).to(arguments.device)}
    vocabulary = models[""].config.vocab_size
    rows = collections.defaultdict(list)
    for line in sys.stdin:
        case = json.loads(line)
        target = case["target"]
        row = case.get("row", f"{case['placement']} echo {case.get('echo', 0)} passages {len(case['evidence'])}")
        name = row.partition(":adapter=")[2]
        if name not in models:
            models[name] = load_adapted(arguments.model, folders[name]).to(arguments.device)
        flat = flatten(case["placement"], case.get("echo", 0), case["context"], case["evidence"], target)
        # The marks are never predicted: probabilities are over the base's vocabulary.
        logits = target_logits(models[name], flat, len(target)).cpu().double()[:, :vocabulary]
        case["logprobs"] = logits.log_softmax(1)[range(len(target)), target].tolist()
        print(json.dumps(case), flush=True)
        rows[row] += zip(case["logprobs"], case.get("ours", case["logprobs"]))
    for row, pairs in rows.items():
        theirs, ours = (math.exp(-sum(values) / len(values)) for values in zip(*pairs))
        worst = max(abs(a - b) for a, b in pairs)
        print(
            f"{row}: {theirs:.6f} over {len(pairs)} tokens; ours {ours:.6f}, {ours / theirs - 1:+.1e} of it; "
            f"log-probabilities differ by at most {worst:.1e}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
