"""Writes the fixture of the optimiser: 20 steps of torch.optim.AdamW on random
tensors, torch.nn.utils.clip_grad_norm_, and transformers' schedules.

    pip install -r tools/reference/requirements.txt
    python3 tools/reference/optimiser.py > internal/train/testdata/optimiser.json
"""

import json

import torch
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

STEPS, LR = 20, 0.01


def adamw(decay):
    torch.manual_seed(1)
    tensors = [torch.nn.Parameter(torch.randn(n)) for n in (12, 5)]
    optimiser = torch.optim.AdamW(tensors, lr=LR, weight_decay=decay)
    case = {"decay": decay, "lr": [], "initial": values(tensors), "gradients": [], "parameters": []}
    for step in range(STEPS):
        lr = LR * (1 + step % 3)
        for group in optimiser.param_groups:
            group["lr"] = lr
        for t in tensors:
            t.grad = torch.randn(t.shape) * 10.0 ** (step % 5 - 3)
        case["lr"].append(lr)
        case["gradients"].append(values(t.grad for t in tensors))
        optimiser.step()
        case["parameters"].append(values(tensors))
    return case


def clipped(limit):
    torch.manual_seed(2)
    tensors = [torch.nn.Parameter(torch.zeros(n)) for n in (7, 4)]
    for t in tensors:
        t.grad = torch.randn(t.shape)
    case = {"limit": limit, "gradients": values(t.grad for t in tensors)}
    case["norm"] = torch.nn.utils.clip_grad_norm_(tensors, limit).item()
    case["clipped"] = values(t.grad for t in tensors)
    return case


def schedule(name, make, warmup, steps):
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimiser, warmup, steps)
    case = {"name": name, "warmup": warmup, "steps": steps, "factors": []}
    for _ in range(steps):
        case["factors"].append(scheduler.get_last_lr()[0])
        optimiser.step()
        scheduler.step()
    return case


def values(tensors):
    return [t.detach().tolist() for t in tensors]


def main():
    print(json.dumps({
        "adamw": [adamw(0.0), adamw(0.1)],
        "clip": [clipped(1.0), clipped(100.0)],
        "schedules": [
            schedule(name, make, warmup, steps)
            for name, make in (("cosine", get_cosine_schedule_with_warmup), ("linear", get_linear_schedule_with_warmup))
            for warmup, steps in ((3, 25), (0, 8), (4, 4))
        ],
    }))


if __name__ == "__main__":
    main()
