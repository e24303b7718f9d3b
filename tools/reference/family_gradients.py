"""Gradients of the tiny models of families.py by PyTorch and PEFT.

    python3 tools/reference/family_gradients.py internal/train/testdata/families [NAME ...]

An adapter of rank 2 on every linear layer of the blocks has noise that Go makes too, by
the names of its modules. NAME.safetensors has the loss of ten tokens behind two places
of a text, and its gradients by PEFT's names, all times SCALE.
"""

import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

from families import FAMILIES, build
from gradients import ids, noise

RANK, SCALE, TARGET, PLACES, LENGTH = 2, 0.25, 5, (60, 110), 120


def targets(arch):
    """The last parts of the names of all linear layers of the blocks."""
    if arch == "gpt2":
        return ["c_attn", "c_proj", "c_fc"]
    if arch == "opt":
        return ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
    if arch == "phi3":
        return ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
    return ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or FAMILIES:
        arch, _, config = FAMILIES[name]
        model = get_peft_model(build(name), LoraConfig(
            r=RANK, lora_alpha=2 * RANK, target_modules=targets(arch), fan_in_fan_out=arch == "gpt2", task_type="CAUSAL_LM"))
        model.eval()
        factors = {n: p for n, p in model.named_parameters() if "lora_" in n}
        with torch.no_grad():
            for key, p in factors.items():
                p.copy_(noise(key.replace(".default", ""), *p.shape, scale=0.3))
        text = ids("family", LENGTH, config.vocab_size)
        logits = model(torch.tensor([text]), use_cache=False).logits[0]
        loss = sum(torch.nn.functional.cross_entropy(logits[p - 1 : p - 1 + TARGET], torch.tensor(text[p : p + TARGET]), reduction="sum") for p in PLACES)
        (loss * SCALE).backward()
        result = {key.replace(".default", ""): p.grad for key, p in factors.items()}
        save_file(result | {"loss": loss.detach()[None], "logits": logits[-1].detach()}, out / f"{name}.safetensors")
        print(f"{name}: loss {loss.item():.3f}, {len(factors)} tensors, {(out / f'{name}.safetensors').stat().st_size >> 10} KiB")


main()
