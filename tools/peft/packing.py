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
TURN = -1  # an echo of all tokens from a stride's "turn" on, as placement.Turn
TAIL = 0  # the segment of rows that see all rows of their branch before them
ROUND = 32  # branches are padded to a multiple, so that shapes repeat


def read(path):
    """Returns the header and the windows of a file that `flashback prepare --export` wrote, or `flashback prepare questions`,
    each of whose exchanges is a window of one stride, with all tokens behind its context for a target."""
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
    return header, [w if "strides" in w else {"tokens": w["tokens"], "strides": [w]} for w in windows]


@dataclass
class Layout:
    """How strides are laid out."""

    placement: str
    echo: int = 0  # context tokens encoded again in sight of the passages: at least 1 for virtual; or TURN
    k: int = 1
    marks: tuple = ()
    target: int = 16  # tokens a stride; 0: all that the window has behind the context
    score_bias: float = 0  # nats that a passage loses in the tail's attention if its score is 0 and another's is not
    separator: tuple = ()  # stands behind each of several passages that are prepended, one behind the other
    apart: int = 0  # positions by which each of virtual's passages ends further in front than the one before it

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

    def targets(self, tokens, stride):
        """Returns what is predicted."""
        return tokens[stride["context"] :][: self.target or None]

    def echoed(self, stride):
        """Returns how many context tokens are encoded again."""
        p = stride["context"]
        return min(p - stride["turn"] if self.echo == TURN else self.echo, p - 1)

    def kept(self, tokens, stride):
        """Returns how many tokens of the window its context needs: all where strides share it."""
        p = stride["context"]
        if self.target or self.placement == "none":
            return len(tokens)
        return p - self.echoed(stride) if self.placement == "virtual" and stride["passages"] else p

    def branch(self, tokens, stride):
        """Returns ids, positions, segments and how many context tokens each row sees; the last rows predict the target."""
        p = stride["context"]
        context, fed = tokens[:p], self.targets(tokens, stride)[:-1]
        passages = self.evidence(stride)
        if not passages or p < 2:  # none's stride: the last context token again, in its place
            if self.placement == "prepend":
                return context + fed, list(range(p + len(fed))), [TAIL] * (p + len(fed)), [0] * (p + len(fed))
            tail = context[p - 1 :] + fed
            return tail, list(range(p - 1, p - 1 + len(tail))), [TAIL] * len(tail), [p - 1] * len(tail)
        if self.placement == "prepend":
            at = stride.get("turn", 0)  # a chat's stand in the user's message, before the question
            ids = context[:at] + [t for passage in passages for t in (*passage, *self.separator)] + context[at:] + fed
            return ids, list(range(len(ids))), [TAIL] * len(ids), [0] * len(ids)
        echo = self.echoed(stride)
        if self.placement == "append":
            ids = passages[0] + context[p - echo :] + fed
            return ids, list(range(p, p + len(ids))), [TAIL] * len(ids), [p] * len(ids)
        ids, positions, segments, seen = [], [], [], []
        for j, passage in enumerate(passages, 1):
            ids += passage
            end = -(j - 1) * self.apart
            positions += range(end - len(passage), end)
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
    weights: torch.Tensor  # [targets], of the losses: 0 for padding


def pack(windows, layout, device, count=1):
    """Lays windows out, which have equally many strides; each target's loss weighs 1/count."""
    pad = 16  # fused attention wants keys in such multiples
    longest = max(layout.kept(w["tokens"], s) for w in windows for s in w["strides"])
    c = 0 if layout.placement == "prepend" else -(-longest // pad) * pad
    context = np.zeros((len(windows) if c else 0, c), np.int64)
    rows, targets, branches = [], [], []
    for i, window in enumerate(windows):
        if c:
            context[i, : len(window["tokens"])] = window["tokens"][:c]
        for stride in window["strides"]:
            predicted = layout.targets(window["tokens"], stride)
            targets.append(predicted)
            if layout.placement == "none":
                p = stride["context"]
                rows.append(np.arange(i * c + p - 1, i * c + p - 1 + len(predicted)))
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
        first = context.size + i * n + size - len(targets[i])
        rows.append(np.arange(first, first + len(targets[i])))
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
    rows, targets = np.concatenate(rows), np.concatenate(targets).astype(np.int64)
    size = len(targets) if layout.target else -(-len(targets) // 128) * 128  # of any length: padded, so that shapes repeat
    weights = np.zeros(size, np.float32)
    weights[: len(targets)] = 1 / count
    rows, targets = np.resize(rows, size), np.resize(targets, size)
    return Batch(put(context), ids, positions, mask, segments, put(rows), put(targets), put(weights))
