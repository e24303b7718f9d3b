"""Trains an adapter on a GPU from the examples that `flashback prepare --export` wrote.

    python3 train.py --model MODEL.gguf --data train.jsonl.xz --placement virtual -o DIR
    python3 train.py --model MODEL.gguf --data train.jsonl.xz --placement append --marks --echo 16 -o DIR
    python3 train.py --model MODEL.gguf --check cases.jsonl

The base model's weights are those of the GGUF file, expanded. Each window's context
is encoded once for all of its strides. On a GPU the matrices are bf16, and the
residual stream, the norms, the loss, the factors and the optimiser f32; on a
CPU all is f32. One dropout mask serves projections that share an input.
"""

import argparse
import json
import math
import os
import re
import signal
import sys
import time

import torch

from adapter import NAMES, Adapter
from base import Base
from captured import Captured
from packing import PLACEMENTS, TURN, Layout, pack, read
from questions import Questions, shown

PAPER = {"r": 16, "alpha": 32.0, "dropout": 0.05, "lr": 1e-4, "warmup": 0.1, "batch": 16, "targets": "q,v"}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True, help="the base model, a GGUF file of the family llama or gemma3")
    p.add_argument("--base", default="HuggingFaceTB/SmolLM2-135M-Instruct", help="the base model's name on the hub, for PEFT's file")
    p.add_argument("--data", help="examples: .jsonl, .jsonl.gz, .jsonl.xz or .jsonl.zst; of questions several with their shares: FILE=0.6,FILE=0.4")
    p.add_argument("-o", "--out", help="directory for the adapter and log.jsonl")
    p.add_argument("--validation", help="examples that are scored at the end, and every --every steps")
    p.add_argument("--every", type=int, default=0)
    p.add_argument("--check", metavar="CASES", help="compare with the scores that `flashback eval perplexity --export` wrote, and end")
    p.add_argument("--placement", choices=PLACEMENTS, default="append")
    p.add_argument("--echo", help="context tokens that append (default 0) or virtual (default 1) repeats; of questions also: turn")
    p.add_argument("--k", type=int, default=1, help="passages, side by side, for virtual; of questions also one behind the other, for prepend")
    p.add_argument("--apart", type=int, default=0, help="positions by which each of virtual's passages ends further in front than the one before it")
    p.add_argument("--unanswerable", type=float, default=0.0, help="share of questions that are shown no passage with their answer")
    p.add_argument("--marks", action="store_true", help="bound passages by two trained tokens")
    p.add_argument("--marks-start", default="newline", help="the embedding that marks start near: newline, mean, or two tokens' ID,ID")
    p.add_argument("--marks-noise", type=float, default=0.1, help="noise on the marks' start, as a share of the embeddings' spread")
    p.add_argument("--marks-lr", type=float, default=1.0, help="learning rate of the marks, in that of the factors")
    p.add_argument("--score-bias", type=float, default=0.0, help="nats by which virtual weighs passages: each by its score as a share of the best's; the engine does not weigh")
    p.add_argument("--activated", action="store_true", help="adapt evidence and what follows it only")
    p.add_argument("--random-passages", action="store_true", help="give each stride the passages of another window")
    p.add_argument("--recipe", choices=["paper"], help="the paper's settings; flags still change them")
    p.add_argument("--r", type=int, default=16)
    p.add_argument("--alpha", type=float, default=32.0)
    p.add_argument("--rslora", action="store_true")
    p.add_argument("--dropout", type=float, default=0.05)
    p.add_argument("--targets", default="q,k,v,o", help="of " + ",".join(NAMES))
    p.add_argument("--lr", type=float, default=5e-4)
    p.add_argument("--schedule", choices=["cosine", "linear"], default="cosine")
    p.add_argument("--warmup", type=float, default=0.1, help="share of the steps")
    p.add_argument("--batch", type=int, default=4, help="windows a step")
    p.add_argument("--micro", type=int, default=4, help="windows a forward")
    p.add_argument("--steps", type=int, default=1000)
    p.add_argument("--clip", type=float, default=1.0)
    p.add_argument("--weight-decay", type=float, default=0.0)
    p.add_argument("--seed", type=int, default=1, help="of the factors' initial values and of dropout")
    p.add_argument("--init", metavar="DIR", help="start from this adapter's factors")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--limit", type=int, help="read only so many windows")
    p.add_argument("--minutes", type=float, default=10.0, help="minutes from one checkpoint to the next; the same command goes on from the last")
    p.add_argument("--no-graphs", dest="graphs", action="store_false", help="launch each kernel from Python")
    p.add_argument("--f16", action="store_true", help="store the factors in f16")
    if p.parse_known_args()[0].recipe:
        p.set_defaults(**PAPER)
    a = p.parse_args()
    if a.check is None and not (a.data and a.out):
        p.error("name --data and -o, or --check")
    least = 1 if a.placement == "virtual" else 0  # virtual's last context token is read again, since it predicts
    a.echo = TURN if a.echo == "turn" else int(a.echo or least)
    if a.echo not in (TURN, *range(least, 1 << 20)) or a.echo and a.placement not in ("append", "virtual"):
        p.error(f"--echo {a.echo} is not for {a.placement}: append takes any, virtual at least 1")
    if a.k > 1 and a.placement not in ("virtual", "prepend"):
        p.error("only virtual takes several passages, and prepend those of questions")
    if a.apart and (a.placement != "virtual" or a.apart < 0):
        p.error("--apart is for virtual, and not negative")
    if a.activated and a.placement not in ("append", "virtual"):
        p.error("--activated is for append and virtual")
    if a.marks and a.placement == "none":
        p.error("there is nothing to mark without passages")
    if a.score_bias and a.placement != "virtual":
        p.error("--score-bias is for virtual")
    if a.marks_start not in ("newline", "mean") and not re.fullmatch(r"\d+,\d+", a.marks_start):
        p.error(f"--marks-start {a.marks_start} is neither newline, mean nor two token IDs")
    return a


def share(a, step):
    """Which part of the learning rate a step takes, counted from 0: transformers' schedules."""
    warmup = math.ceil(a.warmup * a.steps)
    if step < warmup:
        return step / warmup
    done = (step - warmup) / max(1, a.steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * done)) if a.schedule == "cosine" else 1 - done


class Checkpoint:
    """What a training needs to go on as if nothing had stopped it, in the adapter's directory."""

    def __init__(self, folder, recipe, adapter, optimiser, minutes):
        self.path = os.path.join(folder, "checkpoint.pt")
        self.recipe, self.adapter, self.optimiser, self.seconds = recipe, adapter, optimiser, 60 * minutes
        self.last, self.stop = time.time(), False
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stop", True))

    def resume(self):
        """Returns the step to go on with, the seconds spent so far and the length of the log by then."""
        if not os.path.exists(self.path):
            return 0, 0.0, 0
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        if state["recipe"] != self.recipe:
            raise SystemExit(f"{self.path} is of another recipe: {state['recipe']}; remove it or name another directory")
        with torch.no_grad():
            for own, kept in zip(self.adapter.parameters(), state["weights"]):
                own.copy_(kept)
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state(state["random_gpu"])
        return state["step"], state["seconds"], state["log"]

    def due(self):
        return self.stop or time.time() - self.last > self.seconds

    def write(self, step, seconds, log):
        state = {
            "recipe": self.recipe,
            "step": step,
            "seconds": seconds,
            "log": log,
            "weights": [t.detach() for t in self.adapter.parameters()],
            "optimiser": self.optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "random_gpu": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        }
        torch.save(state, self.path + ".part")
        os.replace(self.path + ".part", self.path)
        self.last = time.time()
        if self.stop:
            raise SystemExit(f"stopped at step {step}; the same command goes on from there")

    def remove(self):
        if os.path.exists(self.path):
            os.remove(self.path)


def micro_batches(windows, size):
    """Cuts windows into runs of at most size that have equally many strides."""
    run = []
    for w in windows:
        if run and (len(run) == size or len(run[0]["strides"]) != len(w["strides"])):
            yield run
            run = []
        run.append(w)
    if run:
        yield run


def scramble(windows):
    """Gives each stride the passages of the stride of the window half the file away."""
    moved = [w["strides"] for w in windows[len(windows) // 2 :] + windows[: len(windows) // 2]]
    return [
        {**w, "strides": [{**s, "passages": m[i % len(m)]["passages"]} for i, s in enumerate(w["strides"])]}
        for w, m in zip(windows, moved)
    ]


@torch.no_grad()
def validate(base, adapter, windows, layout):
    """Returns the mean loss a target token, and that of each window."""
    losses = []
    for m in micro_batches(windows, 4 if layout.target else 16):
        batch = pack(m, layout, base.device)
        losses.append(-base.forward(batch, adapter, False)[batch.weights > 0])
    losses = torch.cat(losses)
    each = losses.split([sum(len(layout.targets(w["tokens"], s)) for s in w["strides"]) for w in windows])
    return losses.mean().item(), [round(part.mean().item(), 5) for part in each]


def read_sets(data):
    """Returns a header, the sets of windows of FILE or FILE=SHARE,FILE=SHARE, and their shares."""
    sets, shares = [], []
    for part in data.split(","):
        path, _, share = part.partition("=")
        header, windows = read(path)
        sets.append(windows)
        shares.append(float(share or 1))
    return header, sets, [share / sum(shares) for share in shares]


def fused_attention():
    # cuDNN's attention plans anew for each shape, and shapes vary here.
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.backends.cuda.matmul.allow_tf32 = False


def main():
    a = arguments()
    fused_attention()
    on_gpu = torch.device(a.device).type == "cuda"
    base = Base(a.model, a.device, torch.bfloat16 if on_gpu and not a.check else torch.float32)
    targets = a.targets.split(",")
    adapter = Adapter(base, targets, a.r, a.alpha, a.rslora, a.dropout, a.marks, a.activated, a.seed, a.marks_start, a.marks_noise)
    if a.init:
        adapter.load(a.init)
    if a.check:
        from check import check

        return check(a, base, adapter)
    torch.manual_seed(a.seed)
    header, sets, shares = read_sets(a.data)
    if header["vocab"] != base.vocab:
        raise SystemExit(f"{a.data}: of a vocabulary of {header['vocab']} tokens, the model has {base.vocab}")
    sets = [windows[: a.limit] for windows in sets]
    held = read(a.validation)[1] if a.validation else []
    marks = (base.vocab, base.vocab + 1) if a.marks else ()
    layout = Layout(a.placement, a.echo, a.k, marks, header.get("stride", 0), a.score_bias, header.get("separator", ()), a.apart)
    if layout.target and (a.echo == TURN or len(sets) > 1 or a.k > 1 and a.placement == "prepend"):
        raise SystemExit(f"{a.data}: an echo of the turn, several files and several prepended passages are for questions")
    if layout.target:
        windows = scramble(sets[0]) if a.random_passages else sets[0]

        def step_of(step):
            return [windows[(step * a.batch + i) % len(windows)] for i in range(a.batch)]

    else:
        step_of = Questions(sets, shares, layout, a.batch, a.seed, header["nothing"], a.unanswerable).step
        held = shown(held, a.k)
    groups = [{"params": adapter.weights(), "share": 1.0}]
    if a.marks:
        groups.append({"params": [adapter.marks], "share": a.marks_lr})
    optimiser = torch.optim.AdamW(groups, lr=a.lr, weight_decay=a.weight_decay, fused=on_gpu)
    os.makedirs(a.out, exist_ok=True)
    finished = os.path.join(a.out, "adapter_model.safetensors")
    if os.path.exists(finished):
        os.remove(finished)
    recipe = {
        name: getattr(a, name)
        for name in "r alpha rslora dropout targets lr schedule warmup batch steps clip weight_decay seed".split()
    }
    layout_of = {"placement": a.placement, "echo": a.echo, "k": a.k, "marks": a.marks, "data": os.path.basename(a.data)}
    if a.apart:
        layout_of["apart"] = a.apart
    if a.unanswerable:
        recipe["unanswerable"] = a.unanswerable
    checkpoint = Checkpoint(a.out, recipe | layout_of, adapter, optimiser, a.minutes)
    first, before, length = checkpoint.resume()
    log, losses = open(os.path.join(a.out, "log.jsonl"), "a"), []
    log.truncate(length)
    start = time.time() - before
    captured = Captured(base, adapter) if on_gpu and a.graphs else None

    def note(**line):
        print(json.dumps(line), file=log)

    def flush():
        for step, lr, loss in losses:
            value = loss.item()
            if not math.isfinite(value):
                raise SystemExit(f"the loss of step {step} is {value}")
            note(step=step, loss=value, lr=lr)
        losses.clear()
        log.flush()

    for step in range(first, a.steps):
        chosen = step_of(step)
        count = sum(len(layout.targets(w["tokens"], s)) for w in chosen for s in w["strides"])
        lr = a.lr * share(a, step)
        for group in optimiser.param_groups:
            group["lr"] = lr * group["share"]
        optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for micro in micro_batches(chosen, a.micro):
            batch = pack(micro, layout, a.device, count)
            if captured:
                total = total + captured.backward(batch)
                continue
            loss = -base.forward(batch, adapter, True) @ batch.weights
            loss.backward()
            total = total + loss.detach()
        torch.nn.utils.clip_grad_norm_(adapter.parameters(), a.clip)
        optimiser.step()
        losses.append((step, lr, total))
        if (step + 1) % 50 == 0:
            flush()
            print(f"{a.out}: step {step + 1} loss {total.item():.4f}, {time.time() - start:.0f} s", file=sys.stderr, flush=True)
        if held and a.every and (step + 1) % a.every == 0 and step + 1 < a.steps:
            note(step=step + 1, validation=validate(base, adapter, held, layout)[0])
        if checkpoint.due() and step + 1 < a.steps:
            flush()
            checkpoint.write(step + 1, time.time() - start, log.tell())
    flush()
    summary = {"seconds": round(time.time() - start, 1)}
    if on_gpu:
        summary |= {"device": torch.cuda.get_device_name(), "peak_memory": torch.cuda.max_memory_allocated()}
    if held:
        summary["validation"], windows_losses = validate(base, adapter, held, layout)
        note(validation_windows=windows_losses)
    note(**summary)
    log.close()
    adapter.save(
        a.out,
        {
            "base": base.digest,
            "vocabulary": base.vocab,
            "placement": a.placement,
            "echo": "turn" if a.echo == TURN else a.echo,
            "passages": 0 if a.placement == "none" else a.k,
            "marks": {"left": marks[0], "right": marks[1]} if marks else None,
            "activated": a.activated,
            "recipe": recipe,
        }
        | ({"apart": a.apart} if a.apart else {}),
        torch.float16 if a.f16 else torch.float32,
        a.base,
    )
    checkpoint.remove()
    print(f"{a.out}: {json.dumps(summary)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
