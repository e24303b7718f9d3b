"""Scores windows of text under the placements with transformers.

    pip install -r tools/reference/requirements.txt
    python3 tools/reference/placements_eval.py MODEL.gguf < cases.jsonl > scored.jsonl

A line is {"placement": "virtual", "echo": 1, "context": [ids], "evidence":
[[ids], ...], "target": [ids]}, other keys are kept, and gets "logprobs", one a
target token. Last, the perplexity of each placement goes to standard error.
"""

import argparse
import collections
import json
import math
import sys

from gguf_llama import load_model
from placements import flatten, target_logits


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    model = load_model(parser.parse_args().model)
    by_placement = collections.defaultdict(list)
    for line in sys.stdin:
        case = json.loads(line)
        target = case["target"]
        flat = flatten(case["placement"], case.get("echo", 0), case["context"], case["evidence"], target)
        logits = target_logits(model, flat, len(target)).double()
        case["logprobs"] = logits.log_softmax(1)[range(len(target)), target].tolist()
        print(json.dumps(case), flush=True)
        by_placement[case["placement"], case.get("echo", 0), len(case["evidence"])] += case["logprobs"]
    for (placement, echo, passages), logprobs in by_placement.items():
        perplexity = math.exp(-sum(logprobs) / len(logprobs))
        print(f"{placement} echo {echo} passages {passages}: {perplexity:.4f} over {len(logprobs)} tokens", file=sys.stderr)


if __name__ == "__main__":
    main()
