"""Measures how virtual's passages are best weighed in the attention of what reads them, without training.

    python3 weigh.py --model MODEL.gguf --data latex.validation.jsonl.gz [--adapter DIR] [--k 4] > weighed.jsonl

The tail's logits of passages are divided by a temperature, the sum of their exponentials is raised to a power (APE's two
settings, arXiv 2502.05431, section 4), and each passage gets nats by its retriever's score (`packing.Layout.score_bias`)
or all the same nats. A line of JSON is printed for each setting: the mean loss a target token, and how it differs from
that of passages unweighed, with a 95 % interval from windows (normal).
"""

import argparse
import json
import math
import os
import sys

import torch

from adapter import NAMES, Adapter
from base import Base
from packing import TAIL, Layout, pack, read
from train import fused_attention, micro_batches

# temperature, power, nats by score, nats for all
PLAIN = (1.0, 1.0, 0.0, 0.0)
GRID = [PLAIN]
GRID += [(t, s, 0.0, 0.0) for t in (0.7, 0.8, 0.9, 1.0, 1.1) for s in (0.7, 0.8, 0.9, 1.0, 1.1) if (t, s) != (1, 1)]
GRID += [(1.0, 1.0, beta, 0.0) for beta in (0.5, 1.0, 2.0, 4.0, 8.0)]
GRID += [(1.0, 1.0, 0.0, nats) for nats in (-1.5, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0)]


class Weighing(Base):
    """A base whose branches weigh passages."""

    temperature = power = 1.0
    nats = 0.0

    def attend_branches(self, q, k, v, mask, segments):
        if (self.temperature, self.power, self.nats) == (1.0, 1.0, 0.0):
            return super().attend_branches(q, k, v, mask, segments)
        scores = (q.float() @ k.float().transpose(2, 3)) / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        ahead = scores.shape[-1] - segments.shape[1]
        passage = torch.nn.functional.pad(segments != TAIL, (ahead, 0))  # [branches, context + tokens]
        reading = (segments == TAIL)[:, None, :, None] & passage[:, None, None, :]
        tempered = scores / self.temperature
        total = tempered.masked_fill(~passage[:, None, None, :], -torch.inf).logsumexp(3, keepdim=True)
        total = torch.where(total.isfinite(), total, 0.0)
        weighed = tempered + (self.power - 1) * total + self.nats
        return (torch.where(reading, weighed, scores).softmax(3).to(v.dtype)) @ v


@torch.no_grad()
def losses(base, adapter, windows, layout):
    """Returns each window's mean loss."""
    means = []
    for m in micro_batches(windows, 4):
        loss = -base.forward(pack(m, layout, base.device), adapter, False)
        means += loss.view(len(m), -1).mean(1).tolist()
    return torch.tensor(means, dtype=torch.float64)


def load(base, folder):
    if not folder:
        return Adapter(base, ["q"], 1, 1.0, False, 0.0, False, False, 0)  # B is 0: the base model itself
    with open(os.path.join(folder, "adapter_config.json")) as f:
        config = json.load(f)
    short = {long: name for name, long in NAMES.items()}
    marks = config["trainable_token_indices"] is not None
    targets = [short[t] for t in config["target_modules"]]
    adapter = Adapter(base, targets, config["r"], config["lora_alpha"], config["use_rslora"], 0.0, marks, False, 0)
    adapter.load(folder)
    return adapter


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--data", required=True, help="examples that `flashback prepare --export` wrote")
    p.add_argument("--adapter", metavar="DIR", help="of virtual; default: none")
    p.add_argument("--k", type=int, default=4)
    p.add_argument("--echo", type=int, default=1)
    p.add_argument("--limit", type=int, help="read only so many windows")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = p.parse_args()
    fused_attention()
    base = Weighing(a.model, a.device, torch.bfloat16 if torch.device(a.device).type == "cuda" else torch.float32)
    adapter = load(base, a.adapter)
    marks = (base.vocab, base.vocab + 1) if adapter.marks is not None else ()
    header, windows = read(a.data)
    windows, plain = windows[: a.limit], None
    for setting in GRID:
        base.temperature, base.power, beta, base.nats = setting
        if a.k == 1 and beta:
            continue
        loss = losses(base, adapter, windows, Layout("virtual", a.echo, a.k, marks, header["stride"], beta))
        plain = loss if plain is None else plain
        more = loss - plain
        line = dict(zip(("temperature", "power", "score_bias", "nats"), setting), k=a.k, echo=a.echo, adapter=a.adapter)
        line |= {"windows": len(loss), "loss": loss.mean().item(), "more": more.mean().item()}
        line["interval"] = 1.96 * (more.std() / math.sqrt(len(more))).item() if len(more) > 1 else None
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
