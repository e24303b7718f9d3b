"""Examples as batches: each context once, and a branch of evidence, echo and target for each of its strides.

The layout is the placement table's; tools/reference/placements.py has it stride by stride.
"""

import gzip
import json
import lzma
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

PLACEMENTS = ("none", "prepend", "append", "virtual")
TAIL = 0  # the segment of rows that see all rows of their branch before them
ROUND = 32  # branches are padded to a multiple, so that shapes repeat


def read(path):
    """Returns the header and the windows of a file that `flashback prepare --export` wrote."""
    if path.endswith(".zst"):
        import zstandard

        with open(path, "rb") as f:
            text = zstandard.ZstdDecompressor(max_window_size=1 << 28).stream_reader(f).read()
    else:
        opener = gzip.open if path.endswith(".gz") else lzma.open if path.endswith(".xz") else open
        with opener(path, "rb") as f:
            text = f.read()
    header, *windows = map(json.loads, text.splitlines())
    if header.get("format") != 1:
        raise SystemExit(f"{path}: the first line is no header of examples of format 1")
    return header, windows


@dataclass
class Layout:
    """How strides are laid out."""

    placement: str
    echo: int = 0  # context tokens encoded again in sight of the passages: at least 1 for virtual
    k: int = 1
    marks: tuple = ()
    target: int = 16  # tokens a stride
    score_bias: float = 0  # nats that a passage loses in the tail's attention if its score is 0 and another's is not

    def weights(self, stride):
        """Returns what the tail's attention adds for context and tail (0) and for each passage: nats [1 + passages]."""
        scores = [p.get("score", 1.0) for p in stride["passages"][: self.k]]
        return [0.0] + [self.score_bias * (score / max(scores) - 1) for score in scores]

    def evidence(self, stride):
        """Returns the passages of a stride, between marks."""
        passages = [p["tokens"] for p in stride["passages"][: self.k]]
        if self.marks:
            passages = [[self.marks[0], *p, self.marks[1]] for p in passages]
        return passages

    def branch(self, tokens, stride):
        """Returns ids, positions, segments and how many context tokens each row sees; the last rows predict the target."""
        p = stride["context"]
        context, fed = tokens[:p], tokens[p : p + self.target - 1]
        passages = self.evidence(stride)
        if not passages or p < 2:  # none's stride: the last context token again, in its place
            if self.placement == "prepend":
                return context + fed, list(range(p + len(fed))), [TAIL] * (p + len(fed)), [0] * (p + len(fed))
            tail = context[p - 1 :] + fed
            return tail, list(range(p - 1, p - 1 + len(tail))), [TAIL] * len(tail), [p - 1] * len(tail)
        if self.placement == "prepend":
            ids = passages[0] + context + fed
            return ids, list(range(len(ids))), [TAIL] * len(ids), [0] * len(ids)
        echo = min(self.echo, p - 1)
        if self.placement == "append":
            ids = passages[0] + context[p - echo :] + fed
            return ids, list(range(p, p + len(ids))), [TAIL] * len(ids), [p] * len(ids)
        ids, positions, segments, seen = [], [], [], []
        for j, passage in enumerate(passages, 1):
            ids += passage
            positions += range(-len(passage), 0)
            segments += [j] * len(passage)
            seen += [1] * len(passage)
        tail = context[p - echo :] + fed
        ids += tail
        positions += range(p - echo, p - echo + len(tail))
        return ids, positions, segments + [TAIL] * len(tail), seen + [p - echo] * len(tail)


@dataclass
class Batch:
    context_ids: torch.Tensor  # [windows, context]
    ids: torch.Tensor  # [branches, tokens], a window's branches side by side
    positions: torch.Tensor  # [branches, tokens]
    mask: torch.Tensor | None  # [branches, 1, tokens, context + tokens]: what is seen, or, where passages are weighed, nats to add
    segments: torch.Tensor  # [branches, tokens]: which passage, TAIL for what follows all
    rows: torch.Tensor  # [targets]: which row predicts each
    targets: torch.Tensor  # [targets]


def pack(windows, layout, device):
    """Lays windows out, which have equally many strides."""
    target = layout.target
    pad = 16  # fused attention wants keys in such multiples
    longest = max(len(w["tokens"]) for w in windows)
    c = 0 if layout.placement == "prepend" else -(-longest // pad) * pad
    context = np.zeros((len(windows) if c else 0, c), np.int64)
    rows, targets, branches = [], [], []
    for i, window in enumerate(windows):
        if c:
            context[i, : len(window["tokens"])] = window["tokens"]
        for stride in window["strides"]:
            p = stride["context"]
            targets.append(window["tokens"][p : p + target])
            if layout.placement == "none":
                rows.append(np.arange(i * c + p - 1, i * c + p - 1 + target))
            else:
                branches.append(layout.branch(window["tokens"], stride))

    def put(array):
        t = torch.from_numpy(np.ascontiguousarray(array))
        return t.pin_memory().to(device, non_blocking=True) if torch.device(device).type == "cuda" else t

    n = max((-(-len(b[0]) // ROUND) * ROUND for b in branches), default=0)
    table = np.zeros((4, len(branches), n), np.int64)
    table[3] = 1 if c else 0  # padding sees a token, as a row that sees none has no softmax
    for i, branch in enumerate(branches):
        size = len(branch[0])
        table[:, i, :size] = branch
        first = context.size + i * n + size - target
        rows.append(np.arange(first, first + target))
    ids, positions, segments, seen = put(table)
    mask = None
    if c and n:
        before = torch.ones(n, n, dtype=torch.bool, device=device).tril()
        own = before & ((segments[:, :, None] == segments[:, None, :]) | (segments[:, :, None] == TAIL))
        ahead = torch.arange(c, device=device) < seen[:, :, None]
        mask = torch.cat([ahead, own], 2)[:, None]
        if layout.score_bias:
            weights = [layout.weights(stride) for window in windows for stride in window["strides"]]
            table = np.zeros((len(weights), max(map(len, weights))), np.float32)
            for line, nats in zip(table, weights):
                line[: len(nats)] = nats
            added = put(table).gather(1, segments)[:, None, :] * (segments == TAIL)[:, :, None]  # [branches, tokens, tokens]
            added = F.pad(added, (c, 0))[:, None]
            mask = added.masked_fill(~mask, -torch.inf)
    return Batch(put(context), ids, positions, mask, segments, put(np.concatenate(rows)), put(np.concatenate(targets).astype(np.int64)))
