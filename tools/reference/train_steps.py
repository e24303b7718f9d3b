"""Writes the losses of 20 steps of PEFT and torch.optim.AdamW on the small model
of gradients.py, with an echo and marks.

    pip install -r tools/reference/requirements.txt
    python3 tools/reference/train_steps.py > internal/train/testdata/steps.json
"""

import json

import torch
from transformers import get_cosine_schedule_with_warmup

from gradients import TARGET, loss_of, strides, tuned_model

STEPS, LR, WARMUP, DECAY, CLIP = 20, 0.01, 2, 0.01, 1.0


def main():
    torch.manual_seed(0)
    model = tuned_model()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=LR, weight_decay=DECAY)
    scheduler = get_cosine_schedule_with_warmup(optimiser, WARMUP, STEPS)
    examples = list(strides("append", 4, 1, True))
    losses, norms = [], []
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = sum(loss_of(model, flat, target) for flat, target, _ in examples) / (TARGET * len(examples))
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(trained, CLIP).item())
        optimiser.step()
        scheduler.step()
        losses.append(loss.item())
    print(json.dumps({"losses": losses, "norms": norms}))


if __name__ == "__main__":
    main()
