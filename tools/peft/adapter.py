"""An adapter in PyTorch: LoRA factors and rows of Marking Tokens, read and written as PEFT's files."""

import json
import math
import os
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

NAMES = {
    "q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "o_proj",
    "gate": "gate_proj", "up": "up_proj", "down": "down_proj",
}  # fmt: skip
MARKS = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"


def tensor_name(layer, projection, factor):
    block = "mlp" if projection in ("gate_proj", "up_proj", "down_proj") else "self_attn"
    return f"base_model.model.model.layers.{layer}.{block}.{projection}.{factor}.weight"


@dataclass
class Change:
    """What an adapter does to projections that share an input."""

    factors: list  # [A, B] of each, or None
    outputs: list  # how many each has
    scale: float
    dropout: float

    def add(self, y, x, first):
        """Returns y + scale · dropout(x)·Aᵀ·Bᵀ, the projections' outputs side by side; rows before `first` stay."""
        h = F.dropout(x[first:], self.dropout) if self.dropout else x[first:]  # one mask for projections with one input
        low = F.linear(h, torch.cat([pair[0] for pair in self.factors if pair]).to(h.dtype))
        deltas, at = [], 0
        for pair, outputs in zip(self.factors, self.outputs):
            if pair is None:
                deltas.append(low.new_zeros(low.shape[0], outputs))
            else:
                rank = pair[0].shape[0]
                deltas.append(F.linear(low[:, at : at + rank], (pair[1] * self.scale).to(h.dtype)))
                at += rank
        delta = torch.cat(deltas, 1) if len(deltas) > 1 else deltas[0]
        return torch.cat([y[:first], y[first:] + delta]) if first else y + delta


class Adapter:
    """Factors A [rank, in] and B [out, rank] in f32 by layer and projection."""

    def __init__(self, base, targets, rank, alpha, rslora, dropout, marks, activated, seed, marks_start="newline", marks_noise=0.1):
        self.base, self.rank, self.alpha, self.rslora = base, rank, alpha, rslora
        self.targets = [NAMES[t] for t in targets]
        self.dropout, self.activated = dropout, activated
        self.scale = alpha / math.sqrt(rank) if rslora else alpha / rank
        random = torch.Generator().manual_seed(seed)
        self.factors = {}
        for layer in range(base.layers):
            for name in self.targets:
                inputs, outputs = base.shapes[name]
                bound = 1 / math.sqrt(inputs)  # PEFT's: kaiming_uniform with a = √5
                a = (torch.rand(rank, inputs, generator=random) * 2 - 1) * bound
                self.factors[layer, name] = [self.parameter(a), self.parameter(torch.zeros(outputs, rank))]
        self.marks = None
        if marks:
            # What sets the two apart is small beside the spread of the rows.
            rows = base.embedding.float().cpu()
            noise = torch.randn(2, base.hidden, generator=random) * rows.std(0) * marks_noise
            self.marks = self.parameter(self.first_marks(rows, marks_start) + noise)

    def first_marks(self, rows, start):
        """Returns the embeddings [2, hidden], or one for both, that marks start near."""
        if start == "newline" and self.base.newline is not None:
            return rows[self.base.newline]
        if start in ("newline", "mean"):
            return rows.mean(0)
        return rows[[int(token) for token in start.split(",")]]

    def parameter(self, tensor):
        return tensor.float().contiguous().to(self.base.device).requires_grad_()

    def weights(self):
        return [t for pair in self.factors.values() for t in pair]

    def parameters(self):
        return self.weights() if self.marks is None else [*self.weights(), self.marks]

    def change(self, layer, names, training):
        """Returns how a product of a layer is changed, the projections' outputs side by side: see Change."""
        present = [self.factors.get((layer, name)) for name in names]
        if not any(present):
            return None
        outputs = [self.base.shapes[name][1] for name in names]
        return Change(present, outputs, self.scale, self.dropout if training else 0.0)

    def tensors(self):
        """Returns every tensor under PEFT's name."""
        named = {}
        for (layer, name), (a, b) in self.factors.items():
            named[tensor_name(layer, name, "lora_A")] = a
            named[tensor_name(layer, name, "lora_B")] = b
        if self.marks is not None:
            named[MARKS] = self.marks
        return named

    @torch.no_grad()
    def load(self, folder):
        """Takes the tensors of an adapter of the same shape."""
        found, own = load_file(os.path.join(folder, "adapter_model.safetensors")), self.tensors()
        if found.keys() != own.keys():
            raise SystemExit(f"{folder}: its tensors are not this adapter's: {sorted(found.keys() ^ own.keys())[:3]} …")
        for name, tensor in own.items():
            if found[name].shape != tensor.shape:
                raise SystemExit(f"{folder}: {name} is {list(found[name].shape)}, not {list(tensor.shape)}")
            tensor.copy_(found[name])

    def save(self, folder, flashback, dtype, base):
        """Writes PEFT's files with factors of that type, for the base of that name, and flashback.json about how the adapter was trained."""
        os.makedirs(folder, exist_ok=True)
        config = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "use_rslora": self.rslora,
            "target_modules": self.targets,
            "bias": "none",
            "fan_in_fan_out": False,
            "inference_mode": True,
            "init_lora_weights": True,
            "modules_to_save": None,
            "rank_pattern": {},
            "alpha_pattern": {},
            "use_dora": False,
            "lora_bias": False,
            "trainable_token_indices": None,
        }
        if self.marks is not None:
            config["trainable_token_indices"] = {"embed_tokens": [self.base.vocab, self.base.vocab + 1]}
        for name, content in (("adapter_config.json", config), ("flashback.json", flashback)):
            with open(os.path.join(folder, name), "w") as f:
                json.dump(content, f, indent=2)
                f.write("\n")
        tensors = {name: t.detach().to(dtype).cpu().contiguous() for name, t in self.tensors().items()}
        part = os.path.join(folder, "adapter_model.safetensors.part")
        save_file(tensors, part, metadata={"format": "pt"})
        os.replace(part, os.path.join(folder, "adapter_model.safetensors"))
