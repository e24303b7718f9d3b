"""Compares the packed forward with other forwards, all in f32."""

import json
import os
import sys

import torch

from packing import Layout, pack, read

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference"))
TOLERANCE = 1e-3  # of a log-probability


@torch.no_grad()
def check(a, base, adapter):
    """Compares the cases of `flashback eval perplexity --export` with their scores, which the Go engine gave; or, for
    examples, each window's packed strides with transformers' scores of one stride at a time."""
    worst = against_transformers(a, base, adapter) if ".jsonl." in a.check else against_scores(a, base, adapter)
    print(f"the largest difference of a log-probability is {worst:.2g}")
    return 0 if worst <= TOLERANCE else f"more than {TOLERANCE}"


def against_scores(a, base, adapter):
    worst = None
    with open(a.check) as f:
        for line in f:
            case = json.loads(line)
            stride = {"context": len(case["context"]), "passages": [{"tokens": e} for e in case["evidence"] or []]}
            if "turn" in case:  # of a chat: tools/peft/score wrote it
                stride["turn"] = case["turn"]
            window = {"tokens": case["context"] + case["target"], "strides": [stride]}
            marks = (base.vocab, base.vocab + 1) if adapter.marks is not None and "turn" in case else ()  # else they are in the evidence
            layout = Layout(case["placement"], case.get("echo", 0), max(1, len(stride["passages"])), marks, len(case["target"]), 0, case.get("separator", ()))
            got = base.forward(pack([window], layout, base.device), adapter, False).cpu()
            worst = max(worst or 0.0, (got - torch.tensor(case["ours"])).abs().max().item())
    if worst is None:
        raise SystemExit(f"{a.check}: no case")
    return worst


def against_transformers(a, base, adapter):
    from gguf_llama import load_model
    from placements import flatten, target_logits

    if adapter.marks is not None or a.init:
        raise SystemExit("--check of examples is of the base model")
    model, worst = load_model(a.model), 0.0
    header, windows = read(a.check)
    for window in windows[: a.limit or 2]:
        layout = Layout(a.placement, a.echo, a.k, (), header["stride"])
        got = base.forward(pack([window], layout, base.device), adapter, False).view(-1, layout.target)
        for stride, scores in zip(window["strides"], got):
            p = stride["context"]
            target = window["tokens"][p : p + layout.target]
            passages = [] if a.placement == "none" else layout.evidence(stride)
            flat = flatten(a.placement, a.echo, window["tokens"][:p], passages, target)
            want = target_logits(model, flat, len(target)).log_softmax(1)[range(len(target)), target]
            worst = max(worst, (scores.cpu() - want).abs().max().item())
    return worst
