"""The base model: weights of a llama GGUF file in f32, and its forward over packed branches.

Only numpy and torch are needed. Weights are named and ordered as Hugging Face's, so
that adapter factors are PEFT's.
"""

import hashlib
import struct

import numpy as np
import torch
import torch.nn.functional as F

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
STORED = {0: ("F32", 1, 4), 1: ("F16", 1, 2), 3: ("Q4_1", 32, 20), 8: ("Q8_0", 32, 34)}  # name, weights and bytes a block


def read_gguf(path):
    """Returns the metadata, the tensors [rows, columns] as float32, and of each a line for the digest."""
    data = np.memmap(path, np.uint8, "r")
    at = 0

    def take(code):
        nonlocal at
        (value,) = struct.unpack_from("<" + code, data, at)
        at += struct.calcsize("<" + code)
        return value

    def string():
        nonlocal at
        size = take("Q")
        at += size
        return bytes(data[at - size : at]).decode("utf-8", "replace")

    def value(kind):
        if kind == STRING:
            return string()
        if kind == ARRAY:
            item, count = take("I"), take("Q")
            return [value(item) for _ in range(count)]
        return take(SCALARS[kind])

    if take("4s") != b"GGUF" or take("I") not in (2, 3):
        raise SystemExit(f"{path}: not a GGUF file of version 2 or 3")
    tensors, fields = take("Q"), take("Q")
    meta = {}
    for _ in range(fields):
        key = string()
        meta[key] = value(take("I"))
    infos = []
    for _ in range(tensors):
        name = string()
        shape = [take("Q") for _ in range(take("I"))]
        infos.append((name, shape, take("I"), take("Q")))
    align = meta.get("general.alignment", 32)
    start = -(-at // align) * align
    weights, lines = {}, {}
    for name, shape, kind, offset in infos:
        weights[name] = dequantise(data, start + offset, kind, shape, name)
        word, per_block, size = STORED[kind]
        stored = data[start + offset : start + offset + int(np.prod(shape)) // per_block * size]
        rows = shape[1] if len(shape) > 1 else 1
        lines[name] = f"{name} {word} [{rows}, {shape[0]}] {hashlib.sha256(stored).hexdigest()}\n"
    return meta, weights, lines


def digest(lines, layers):
    """Returns what the engine calls the weights: a hash over all tensors, as model.Weights.Digest."""
    head = "output.weight" if "output.weight" in lines else "token_embd.weight"
    names = ["token_embd.weight", "output_norm.weight", head]
    for i in range(layers):
        parts = "attn_norm attn_q attn_k attn_v attn_output ffn_norm ffn_gate ffn_up ffn_down".split()
        names += [f"blk.{i}.{part}.weight" for part in parts]
    return hashlib.sha256("".join(lines[n] for n in names).encode()).hexdigest()


def dequantise(data, at, kind, shape, name):
    """Expands F32, F16, Q4_1 and Q8_0 tensors as ggml does."""
    count = int(np.prod(shape))
    rows = tuple(reversed(shape))

    def blocks(size):
        return np.asarray(data[at : at + count // 32 * size]).reshape(-1, size)

    def half(raw):
        return raw.copy().view(np.float16).astype(np.float32)

    if kind == 0:
        return np.asarray(data[at : at + 4 * count]).view(np.float32).reshape(rows).copy()
    if kind == 1:
        return np.asarray(data[at : at + 2 * count]).view(np.float16).astype(np.float32).reshape(rows)
    if kind == 3:  # Q4_1: scale, minimum, 16 bytes of which the low halves come first
        b = blocks(20)
        quants = np.concatenate([b[:, 4:] & 15, b[:, 4:] >> 4], axis=1).astype(np.float32)
        return (quants * half(b[:, :2]) + half(b[:, 2:4])).reshape(rows)
    if kind == 8:  # Q8_0: scale, 32 signed bytes
        b = blocks(34)
        return (b[:, 2:].copy().view(np.int8).astype(np.float32) * half(b[:, :2])).reshape(rows)
    raise SystemExit(f"tensor {name}: storage type {kind} is not F32, F16, Q4_1 or Q8_0")


def rotate_half_order(weight, heads):
    """Undoes the row order that GGUF gives q and k: neighbouring rows pair there, rows half a head apart here."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


# The projections of a layer's products: those that share an input are one product.
PRODUCTS = (("q_proj", "k_proj", "v_proj"), ("o_proj",), ("gate_proj", "up_proj"), ("down_proj",))


def before_attention(x, block, change, cos, sin, adapted, form):
    """Returns a layer's q, k, v [tokens, heads, head_dim] of the residual stream x, rotated, with keys and values as often as heads share them."""
    heads, kv, d, eps = form
    h = F.rms_norm(x, (x.shape[1],), block["attn_norm"], eps).to(block["qkv"].dtype)
    qkv = F.linear(h, block["qkv"])
    qkv = change.add(qkv, h, adapted) if change else qkv
    q, k, v = qkv.view(-1, heads + 2 * kv, d).split([heads, kv, kv], 1)
    qk = torch.cat([q, k], 1)
    qk = qk * cos + torch.cat([-qk[..., d // 2 :], qk[..., : d // 2]], -1) * sin
    q, k = qk.split([heads, kv], 1)
    group = heads // kv
    return q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)


def behind_attention(x, a, block, changes, adapted, form):
    """Returns the residual stream behind a layer, of it and the attention's output a."""
    of_o, of_gate_up, of_down = changes
    o = F.linear(a, block["o"])
    x = x + (of_o.add(o, a, adapted) if of_o else o)
    h = F.rms_norm(x, (x.shape[1],), block["ffn_norm"], form[3]).to(block["o"].dtype)
    both = F.linear(h, block["gate_up"])
    gate, up = (of_gate_up.add(both, h, adapted) if of_gate_up else both).chunk(2, -1)
    h = F.silu(gate) * up
    down = F.linear(h, block["down"])
    return x + (of_down.add(down, h, adapted) if of_down else down)


class Base:
    """Frozen weights on a device and the forward of one micro-batch."""

    def __init__(self, path, device, dtype):
        meta, tensors, lines = read_gguf(path)
        arch = meta["general.architecture"]
        if arch != "llama":
            raise SystemExit(f"{path}: architecture {arch!r}, not llama")
        self.device, self.dtype = device, dtype
        self.layers = meta["llama.block_count"]
        self.digest = digest(lines, self.layers)
        self.heads, self.kv_heads = meta["llama.attention.head_count"], meta["llama.attention.head_count_kv"]
        self.eps, self.theta = meta["llama.attention.layer_norm_rms_epsilon"], meta["llama.rope.freq_base"]
        self.context = meta["llama.context_length"]
        self.vocab, self.hidden = tensors["token_embd.weight"].shape
        self.head_dim = self.hidden // self.heads
        tokens = meta.get("tokenizer.ggml.tokens", [])
        self.newline = next((tokens.index(t) for t in ("\u010a", "<0x0A>") if t in tokens), None)  # byte-level, byte fallback

        def put(array, kind=dtype):
            return torch.from_numpy(np.ascontiguousarray(array)).to(device, kind)

        self.embedding = put(tensors["token_embd.weight"], torch.float32)
        self.head = put(tensors.get("output.weight", tensors["token_embd.weight"]))
        self.norm = put(tensors["output_norm.weight"], torch.float32)
        self.blocks = []
        for i in range(self.layers):

            def part(name):
                return tensors[f"blk.{i}.{name}.weight"]

            q, k = rotate_half_order(part("attn_q"), self.heads), rotate_half_order(part("attn_k"), self.kv_heads)
            self.blocks.append(
                {
                    "attn_norm": put(part("attn_norm"), torch.float32),
                    "qkv": put(np.concatenate([q, k, part("attn_v")])),
                    "o": put(part("attn_output")),
                    "ffn_norm": put(part("ffn_norm"), torch.float32),
                    "gate_up": put(np.concatenate([part("ffn_gate"), part("ffn_up")])),
                    "down": put(part("ffn_down")),
                }
            )
        kv = self.kv_heads * self.head_dim
        ffn = self.blocks[0]["down"].shape[1]
        # projection -> (inputs, outputs)
        self.shapes = {
            "q_proj": (self.hidden, self.heads * self.head_dim),
            "k_proj": (self.hidden, kv),
            "v_proj": (self.hidden, kv),
            "o_proj": (self.heads * self.head_dim, self.hidden),
            "gate_proj": (self.hidden, ffn),
            "up_proj": (self.hidden, ffn),
            "down_proj": (ffn, self.hidden),
        }
        self.frequencies = torch.from_numpy(
            (1.0 / self.theta ** (np.arange(0, self.head_dim, 2, dtype=np.float64) / self.head_dim)).astype(np.float32)
        ).to(device)

    def rotary(self, positions):
        """Returns cos and sin [tokens, 1, head_dim] in f32."""
        angle = positions.float()[:, None] * self.frequencies
        angle = torch.cat([angle, angle], 1)[:, None]
        return angle.cos(), angle.sin()

    def forward(self, batch, adapter, training):
        """Returns the log-probabilities [targets] of the batch's target tokens, in its order."""
        w, c = batch.context_ids.shape  # windows and the tokens of their contexts; w may be 0
        b, n = batch.ids.shape  # branches and the tokens of the longest; b may be 0
        split = w * c
        ids = torch.cat([batch.context_ids.flatten(), batch.ids.flatten()])
        x = F.embedding(ids.clamp(max=self.vocab - 1), self.embedding)
        if adapter.marks is not None and b:
            for i, row in enumerate(adapter.marks):
                x = torch.where((ids == self.vocab + i)[:, None], row, x)
        positions = torch.cat([torch.arange(c, device=self.device).repeat(w), batch.positions.flatten()])
        cos, sin = (t.to(self.dtype) if self.dtype == torch.bfloat16 else t for t in self.rotary(positions))
        # In activated mode the adapter changes no row of a context.
        adapted = split if adapter.activated else 0
        form = self.heads, self.kv_heads, self.head_dim, self.eps
        for i, block in enumerate(self.blocks):
            changes = [adapter.change(i, names, training) for names in PRODUCTS]
            q, k, v = before_attention(x, block, changes[0], cos, sin, adapted, form)
            x = behind_attention(x, self.attend(q, k, v, batch, w, c, b, n), block, changes[1:], adapted, form)
        x = F.rms_norm(x.index_select(0, batch.rows), (self.hidden,), self.norm, self.eps).to(self.dtype)
        return -F.cross_entropy(F.linear(x, self.head).float(), batch.targets, reduction="none")

    def attend(self, q, k, v, batch, w, c, b, n):
        """Attention of contexts to themselves, and of branches to a context and themselves. q, k, v are [tokens, heads, d]."""
        split = w * c
        outputs = []

        def shape(t, rows, size):
            return t.reshape(rows, size, self.heads, self.head_dim).transpose(1, 2)

        if split:
            cq, ck, cv = (shape(t[:split], w, c) for t in (q, k, v))
            outputs.append(F.scaled_dot_product_attention(cq, ck, cv, is_causal=True).transpose(1, 2).reshape(split, -1))
        if b:
            bq, bk, bv = (shape(t[split:], b, n) for t in (q, k, v))
            if split:

                def behind(context, own):
                    shared = context[:, None].expand(w, b // w, -1, -1, -1).reshape(b, self.heads, c, self.head_dim)
                    return torch.cat([shared, own], 2)

                a = self.attend_branches(bq, behind(ck, bk), behind(cv, bv), batch)
            else:
                a = F.scaled_dot_product_attention(bq, bk, bv, is_causal=True)
            outputs.append(a.transpose(1, 2).reshape(b * n, -1))
        return torch.cat(outputs)

    def attend_branches(self, q, k, v, batch):
        """Attention of branches q [branches, heads, tokens, d] to k, v [branches, heads, context + tokens, d], by the mask."""
        mask = batch.mask if batch.mask.dtype == torch.bool else batch.mask.to(q.dtype)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
