"""Times PEFT's training steps on a CPU, the peer of the Go trainer's benchmark.

    python3 tools/peft/speed.py --model MODEL.gguf --dtype f32
    FLASHBACK_MODEL=MODEL.gguf go test ./internal/train -run xxx -bench Gradients -benchtime 3x

A step is a batch of strides, each a sequence of its own: context 512, evidence and
marks, 16 targets. Rank 16 on q, k, v and o with two trained rows. The tokens are
random: speed does not depend on them. Needs torch, transformers and peft.
"""

import argparse
import os
import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference"))
from gguf_llama import load_model  # noqa: E402


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--length", type=int, default=660)
    p.add_argument("--targets", type=int, default=16)
    p.add_argument("--steps", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    model = load_model(a.model).to({"f32": torch.float32, "bf16": torch.bfloat16}[a.dtype])
    model.set_attn_implementation("sdpa")
    vocab = model.config.vocab_size
    model.resize_token_embeddings(vocab + 2)
    model = get_peft_model(
        model,
        LoraConfig(
            r=16,
            lora_alpha=32,
            target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
            trainable_token_indices={"embed_tokens": [vocab, vocab + 1]},
        ),
    )
    model.train()
    ids = torch.randint(0, vocab, (a.batch, a.length))
    targets = torch.randint(0, vocab, (a.batch * a.targets,))
    for _ in range(a.steps):
        start = time.time()
        logits = model(input_ids=ids, logits_to_keep=a.targets).logits[..., :vocab].float()
        torch.nn.functional.cross_entropy(logits.reshape(-1, vocab), targets).backward()
        seconds = time.time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{a.dtype}: {ids.numel() / seconds:.0f} tokens/s, {targets.numel() / seconds:.1f} targets/s, peak {peak:.2f} GB", flush=True)


if __name__ == "__main__":
    main()
