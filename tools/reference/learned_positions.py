"""Trains a small GPT-2 with positions of its own, to measure what a reserve costs.

    pip install -r tools/reference/requirements.txt
    python3 tools/reference/learned_positions.py latex.index.jsonl.zst wiki.index.jsonl.zst ... --minutes 8 -o gpt2-small

A model with learned positions has none below 0, so FlashBack starts the text of virtual
evidence at position 130. What that costs, and how well passages are read there, depends on
how positions were trained: random weights do not show it, and published ones could not be
had. This is GPT-2's architecture and training, small: each row is 1,024 neighbouring tokens
of documents joined by <|endoftext|>, from position 0 on.

FILES are lines of JSON with a "text" (.jsonl, .jsonl.gz, or .jsonl.zst with zstandard). The
tokenizer is a byte-level BPE trained on them. One document in a hundred is held back; the
loss on those is measured ten times, and the best weights are kept. The directory opens with
transformers and FlashBack; matrices are f16, in files of at most 15 MB.
"""

import argparse
import contextlib
import gzip
import io
import json
import math
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

END = "<|endoftext|>"


def texts(paths):
    for path in paths:
        if path.suffix == ".zst":
            import zstandard

            lines = io.TextIOWrapper(zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(path.open("rb")), "utf-8")
        else:
            lines = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")
        with lines:
            for line in lines:
                yield json.loads(line)["text"]


def train_tokenizer(documents, size):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    t.train_from_iterator(documents, trainers.BpeTrainer(vocab_size=size, special_tokens=[END], initial_alphabet=alphabet, show_progress=False))
    return t


def joined(tokenizer, documents):
    """Returns the tokens of all documents, an end behind each."""
    end, ids = tokenizer.token_to_id(END), []
    for first in range(0, len(documents), 256):
        for encoding in tokenizer.encode_batch_fast(documents[first : first + 256], add_special_tokens=False):
            ids += [*encoding.ids, end]
    return torch.tensor(ids, dtype=torch.int32)


def batch(ids, size, positions, generator, device):
    starts = torch.randint(len(ids) - positions, (size,), generator=generator)
    return torch.stack([ids[s : s + positions] for s in starts.tolist()]).long().to(device)


def save(model, tokenizer, folder):
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.half() if v.dim() == 2 else v.float() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    model.save_pretrained(folder, state_dict=state, max_shard_size="15MB")
    (folder / "generation_config.json").unlink(missing_ok=True)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END).save_pretrained(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("-o", "--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--minutes", type=float, default=8, help="of training, the tokenizer not counted")
    parser.add_argument("--steps", type=int, default=1 << 30, help="end after so many")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--positions", type=int, default=1024)
    parser.add_argument("--vocabulary", type=int, default=16384)
    parser.add_argument("--batch", type=int, default=64, help="rows a step")
    parser.add_argument("--lr", type=float, default=1e-3)
    a = parser.parse_args()
    disable_progress_bar()
    torch.manual_seed(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    documents = list(texts(a.files))
    tokenizer = train_tokenizer(documents, a.vocabulary)
    held, ids = (joined(tokenizer, part) for part in (documents[::100], [d for i, d in enumerate(documents) if i % 100]))
    print(f"{len(documents)} documents, {len(ids)} tokens, {len(held)} held back, {tokenizer.get_vocab_size()} in the vocabulary", flush=True)
    if min(len(ids), len(held)) <= a.positions:
        raise SystemExit(f"too little text: a row has {a.positions} tokens")
    end = tokenizer.token_to_id(END)
    model = GPT2LMHeadModel(GPT2Config(
        vocab_size=tokenizer.get_vocab_size(), n_positions=a.positions, n_embd=a.width, n_layer=a.layers, n_head=a.heads,
        bos_token_id=end, eos_token_id=end, attn_implementation="sdpa")).to(device)  # fmt: skip
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} million weights", flush=True)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0}],
        lr=a.lr, betas=(0.9, 0.95), fused=device == "cuda")  # fmt: skip
    half = torch.autocast("cuda", torch.bfloat16) if device == "cuda" else contextlib.nullcontext()

    def loss_of(rows):
        with half:
            logits = model(rows, use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), rows[:, 1:].flatten())

    @torch.no_grad()
    def held_out():
        model.eval()
        g, n = torch.Generator().manual_seed(2), max(1, min(16, len(held) // a.positions // a.batch))
        loss = sum(loss_of(batch(held, a.batch, a.positions, g, device)).item() for _ in range(n)) / n
        model.train()
        return loss

    draw, best, step, measured = torch.Generator().manual_seed(1), math.inf, 0, 0
    begun = time.monotonic()
    model.train()
    while True:
        done = max(step / a.steps, (time.monotonic() - begun) / (60 * a.minutes))
        if done * 10 >= measured + 1 or done >= 1:
            measured = int(done * 10)
            loss = held_out()
            print(f"step {step}, {time.monotonic() - begun:.0f} s: held-out loss {loss:.4f}, perplexity {math.exp(loss):.2f}", flush=True)
            if loss < best:
                best = loss
                save(model, tokenizer, a.out)
        if done >= 1:
            break
        for group in optimiser.param_groups:  # up over the first 200 steps, down to a tenth along a cosine
            group["lr"] = a.lr * min(1, (step + 1) / 200) * (0.55 + 0.45 * math.cos(math.pi * done))
        loss_of(batch(ids, a.batch, a.positions, draw, device)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step += 1
    peak = f", {torch.cuda.max_memory_allocated() / 1e9:.1f} GB at most" if device == "cuda" else ""
    print(f"{a.out}: {step} steps of {a.batch} rows, held-out perplexity {math.exp(best):.2f}{peak}")


if __name__ == "__main__":
    main()
