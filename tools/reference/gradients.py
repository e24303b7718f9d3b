"""Gradients by PyTorch and PEFT, for the tests of the backward pass.

    python gradients.py blocks OUT.safetensors   # each block's backward
    python gradients.py model OUT.safetensors    # a small model with an adapter and marks

Weights and inputs are noise that Go makes too, so the files hold results only.
"""

import sys
import zlib

import numpy as np
import torch
from safetensors.torch import save_file

from placements import flatten


def noise(name, *shape, scale=1.0, mean=0.0):
    """Numbers of mean ± scale, by SplitMix64 over the name's checksum and the index."""
    z = np.arange(1, np.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(zlib.crc32(name.encode()) << 32)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    unit = (z >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)
    return torch.from_numpy(unit.reshape(shape) * np.float32(scale) + np.float32(mean))


def ids(name, n, vocabulary):
    """n token ids by the same noise."""
    return ((noise(name, n).numpy() + np.float32(1)) * np.float32(vocabulary / 2)).astype(np.int64).tolist()


def leaf(*args, **kwargs):
    return noise(*args, **kwargs).requires_grad_()


# ---- blocks ----


def rotated(x, angles):
    """Turns neighbouring pairs of x [rows, heads, width] by angles [rows, width/2]."""
    cos, sin = torch.cos(angles)[:, None], torch.sin(angles)[:, None]
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


def attention(q, k, v, sees):
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = torch.einsum("qhd,khd->hqk", q, k) / q.shape[-1] ** 0.5
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(~sees, -torch.inf).softmax(-1), v)


# first row, rows, ranges of rows that they see besides the earlier ones of their own
SEGMENTS = [(0, 37, []), (37, 21, [(0, 30)]), (58, 5, [(0, 29), (37, 58)]), (63, 12, [(0, 1)]), (75, 1, [])]
ROWS, HEADS, KV_HEADS, WIDTH = 76, 6, 2, 8


def mask():
    sees = torch.zeros(ROWS, ROWS, dtype=torch.bool)
    for first, count, ranges in SEGMENTS:
        for row in range(first, first + count):
            for a, b in [*ranges, (first, row + 1)]:
                sees[row, a:b] = True
    return sees


def blocks():
    out = {}

    def backward(name, result, **leaves):
        result.backward(noise(name + ".dy", *result.shape))
        for key, value in leaves.items():
            out[f"{name}.{key}"] = value.grad

    x, w = leaf("norm.x", 9, 40), noise("norm.w", 40, mean=1, scale=0.2)
    backward("norm", torch.nn.functional.rms_norm(x, (40,), w, 1e-5), x=x)
    gate, up = leaf("swiglu.gate", 5, 50, scale=8), leaf("swiglu.up", 5, 50)
    backward("swiglu", torch.nn.functional.silu(gate) * up, gate=gate, up=up)
    x, w, b = leaf("layernorm.x", 9, 40), noise("layernorm.w", 40, mean=1, scale=0.2), noise("layernorm.b", 40)
    backward("layernorm", torch.nn.functional.layer_norm(x, (40,), w, b, 1e-5), x=x)
    for name, f in [("gelu", lambda g: torch.nn.functional.gelu(g, approximate="tanh")), ("relu", torch.nn.functional.relu)]:
        gate, up = leaf(f"{name}.gate", 5, 50, scale=4), leaf(f"{name}.up", 5, 50)
        backward(name, f(gate) * up, gate=gate, up=up)
        gate = leaf(f"{name}.alone.gate", 5, 50, scale=4)
        backward(f"{name}.alone", f(gate), gate=gate)
    x = leaf("softcap.x", 5, 50, scale=8)
    backward("softcap", 3 * torch.tanh(x / 3), x=x)
    x = leaf("rotate.x", 7, 3, 16)
    backward("rotate", rotated(x, noise("rotate.angles", 7, 8, scale=9)), x=x)
    x, w = leaf("linear.x", 11, 72), noise("linear.w", 1030, 72)
    backward("linear", x @ w.T, x=x)
    q, k, v = (leaf(f"attention.{n}", ROWS, h, WIDTH, scale=2) for n, h in [("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)])
    backward("attention", attention(q, k, v, mask()), q=q, k=k, v=v)
    logits = leaf("loss.logits", 6, 100, scale=5)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(ids("loss.targets", 6, 100)), reduction="sum")
    (loss * 0.25).backward()
    out["loss.logits"], out["loss.value"] = logits.grad, loss.detach()[None]
    return out


# ---- a small model ----

HIDDEN, FF, LAYERS, VOCABULARY, RANK, SCALE, TARGET = 32, 48, 2, 64, 3, 0.25, 5
Q_HEADS, MODEL_KV_HEADS, HEAD = 4, 2, 8
TARGETS = {
    "q_proj": ("self_attn", Q_HEADS * HEAD, HIDDEN),
    "k_proj": ("self_attn", MODEL_KV_HEADS * HEAD, HIDDEN),
    "v_proj": ("self_attn", MODEL_KV_HEADS * HEAD, HIDDEN),
    "o_proj": ("self_attn", HIDDEN, Q_HEADS * HEAD),
    "gate_proj": ("mlp", FF, HIDDEN),
    "up_proj": ("mlp", FF, HIDDEN),
    "down_proj": ("mlp", HIDDEN, FF),
}
HEADS_OF = {"q_proj": Q_HEADS, "k_proj": MODEL_KV_HEADS}  # whose rows GGUF orders otherwise


def half_order(rows, name):
    """From GGUF's order of rows, a pair's beside each other, to transformers'."""
    if name not in HEADS_OF:
        return rows
    return rows.reshape(HEADS_OF[name], HEAD // 2, 2, -1).transpose(1, 2).reshape(rows.shape)


def pair_order(rows, name):
    """The reverse of half_order."""
    if name not in HEADS_OF:
        return rows
    return rows.reshape(HEADS_OF[name], 2, HEAD // 2, -1).transpose(1, 2).reshape(rows.shape)


def tuned_model():
    """Returns the model with its adapter: noise by the name of each tensor."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY + 2, hidden_size=HIDDEN, intermediate_size=FF, num_hidden_layers=LAYERS,
            num_attention_heads=Q_HEADS, num_key_value_heads=MODEL_KV_HEADS, rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            tie_word_embeddings=False, attn_implementation="eager",
        )
    )
    model = get_peft_model(
        model,
        LoraConfig(
            r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, target_modules=list(TARGETS),
            trainable_token_indices={"embed_tokens": [VOCABULARY, VOCABULARY + 1]},
        ),
    )
    base = model.base_model.model
    with torch.no_grad():
        marks = noise("marks", 2, HIDDEN)
        embedding = base.model.embed_tokens
        embedding.original_module.weight.copy_(torch.cat([noise("embedding", VOCABULARY, HIDDEN), marks]))
        embedding.token_adapter.trainable_tokens_delta["default"].copy_(marks)
        base.lm_head.weight[:VOCABULARY] = noise("head", VOCABULARY, HIDDEN, scale=0.5)
        base.model.norm.weight.copy_(noise("norm", HIDDEN, mean=1, scale=0.2))
        for i, layer in enumerate(base.model.layers):
            layer.input_layernorm.weight.copy_(noise(f"{i}.attn_norm", HIDDEN, mean=1, scale=0.2))
            layer.post_attention_layernorm.weight.copy_(noise(f"{i}.ff_norm", HIDDEN, mean=1, scale=0.2))
            for name, (part, rows, columns) in TARGETS.items():
                linear = getattr(getattr(layer, part), name)
                linear.base_layer.weight.copy_(half_order(noise(f"{i}.{name}", rows, columns, scale=0.5), name))
                linear.lora_A["default"].weight.copy_(noise(f"{i}.{name}.A", RANK, columns, scale=0.3))
                linear.lora_B["default"].weight.copy_(half_order(noise(f"{i}.{name}.B", rows, RANK, scale=0.3), name))
    return model


class FromRow:
    """Lets the adapter apply from a row of the sequence on: activated mode."""

    def __init__(self, model):
        self.row = 0
        for module in model.modules():
            if hasattr(module, "lora_A") and "default" in module.lora_A:
                module.forward = self.forward_of(module)

    def forward_of(self, module):
        def forward(x):
            a, b, scale = module.lora_A["default"], module.lora_B["default"], module.scaling["default"]
            applies = (torch.arange(x.shape[1]) >= self.row)[:, None]
            return module.base_layer(x) + applies * (b(a(x)) * scale)

        return forward


def window():
    """A window with strides of two passages, one, the first's passage again, and none."""
    text = ids("window", 60, VOCABULARY)
    a, b, c = (ids(f"passage {n}", n, VOCABULARY) for n in (19, 7, 11))
    return text, [(9, [a, b]), (23, [c]), (38, [a, c]), (50, [])]


# name, placement, echo, passages, with marks
ROWS_OF_TABLE = [
    ("none", "none", 0, 1, False),
    ("prepend", "prepend", 0, 1, True),
    ("append", "append", 0, 1, True),
    ("append echo", "append", 4, 1, True),
    ("virtual", "virtual", 1, 1, True),
    ("virtual 2", "virtual", 1, 2, False),
]


def strides(placement, echo, k, marks):
    """Yields the flat sequence, the target, and how many first rows are the plain context."""
    text, found = window()
    for p, passages in found:
        passages = passages[:k]
        if marks:
            passages = [[VOCABULARY, *t, VOCABULARY + 1] for t in passages]
        flat = flatten(placement, echo, text[:p], passages, text[p : p + TARGET])
        if placement == "none" or not passages:
            plain = len(flat.ids)
        else:
            plain = 0 if placement == "prepend" else p
        yield flat, text[p : p + TARGET], plain


def loss_of(model, flat, target):
    size = len(flat.ids)
    mask = torch.full((size, size), torch.finfo(torch.float32).min)
    for row, seen in zip(mask, flat.sees):
        row[seen] = 0
    logits = model(
        input_ids=torch.tensor([flat.ids]), position_ids=torch.tensor([flat.positions]),
        attention_mask=mask[None, None], use_cache=False,
    ).logits[0, -len(target) :, :VOCABULARY]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(target), reduction="sum")


def small_model():
    out = {}
    model = tuned_model()
    from_row = FromRow(model)
    for name, placement, echo, k, marks in ROWS_OF_TABLE:
        for activated in (False, True):
            if activated and placement == "none":
                continue  # nothing is adapted
            model.zero_grad()
            total = 0.0
            for flat, target, plain in strides(placement, echo, k, marks):
                from_row.row = plain if activated else 0
                loss = loss_of(model, flat, target)
                (SCALE * loss).backward()
                total += loss.item()
            case = name + (" activated" if activated else "")
            grads = []
            base = model.base_model.model.model
            for layer in base.layers:
                for target, (part, _, _) in TARGETS.items():
                    linear = getattr(getattr(layer, part), target)
                    grads.append(linear.lora_A["default"].weight.grad.flatten())
                    grads.append(pair_order(linear.lora_B["default"].weight.grad, target).flatten())
            if marks:
                grads.append(base.embed_tokens.token_adapter.trainable_tokens_delta["default"].grad.flatten())
            out[case] = torch.cat(grads)
            out[case + " loss"] = torch.tensor([total])
    return out


if __name__ == "__main__":
    what, path = sys.argv[1:]
    torch.manual_seed(0)
    save_file({k: v.contiguous() for k, v in {"blocks": blocks, "model": small_model}[what]().items()}, path)
