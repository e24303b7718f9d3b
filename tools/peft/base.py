"""The base model: weights of a GGUF file in f32 or bf16, and its forward over packed branches, for the families llama and gemma3.

Only numpy and torch are needed. Weights are named and ordered as Hugging Face's, so
that adapter factors are PEFT's.
"""

import hashlib
import math

import numpy as np
import torch
import torch.nn.functional as F

from weights import read_gguf

NORMS = ["attn_norm", "ffn_norm"]
GEMMA_NORMS = ["post_attention_norm", "post_ffw_norm", "attn_q_norm", "attn_k_norm"]  # their scales are whole in GGUF files
GLOBAL = 6  # of gemma3's layers each sixth sees all, the others a window


def digest(lines, layers, norms):
    """Returns what the engine calls the weights: a hash over all tensors, as model.Weights.Digest."""
    head = "output.weight" if "output.weight" in lines else "token_embd.weight"
    names = ["token_embd.weight", "output_norm.weight", head]
    for i in range(layers):
        parts = "attn_norm attn_q attn_k attn_v attn_output ffn_norm ffn_gate ffn_up ffn_down".split() + norms[2:]
        names += [f"blk.{i}.{part}.weight" for part in parts]
    return hashlib.sha256("".join(lines[n] for n in names).encode()).hexdigest()


def rotate_half_order(weight, heads):
    """Undoes the row order that GGUF gives llama's q and k: neighbouring rows pair there, rows half a head apart here."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


# The projections of a layer's products: those that share an input are one product.
PRODUCTS = (("q_proj", "k_proj", "v_proj"), ("o_proj",), ("gate_proj", "up_proj"), ("down_proj",))


class Base:
    """Frozen weights on a device and the forward of one micro-batch."""

    def __init__(self, path, device, dtype):
        meta, tensors, lines = read_gguf(path)
        arch = meta["general.architecture"]
        if arch not in ("llama", "gemma3"):
            raise SystemExit(f"{path}: architecture {arch!r}, neither llama nor gemma3")
        gemma = arch == "gemma3"
        self.device, self.dtype = device, dtype

        def field(name, default=None):
            return meta.get(f"{arch}.{name}", default)

        self.layers = field("block_count")
        norms = NORMS + (GEMMA_NORMS if gemma else [])
        self.digest = digest(lines, self.layers, norms)
        self.heads, self.kv_heads = field("attention.head_count"), field("attention.head_count_kv")
        self.eps = field("attention.layer_norm_rms_epsilon")
        self.context = field("context_length")
        self.vocab, self.hidden = tensors["token_embd.weight"].shape
        self.head_dim = field("attention.key_length", self.hidden // self.heads)
        self.scale = math.sqrt(self.hidden) if gemma else 1.0  # of embeddings
        self.activation = (lambda x: F.gelu(x, approximate="tanh")) if gemma else F.silu
        self.window = field("attention.sliding_window") if gemma else None
        self.local = [gemma and (i + 1) % GLOBAL > 0 for i in range(self.layers)]  # which layers have the window
        tokens = meta.get("tokenizer.ggml.tokens", [])
        self.newline = next((tokens.index(t) for t in ("\n", "\u010a", "<0x0A>") if t in tokens), None)  # as such, byte-level, byte fallback

        def put(array, kind=dtype):
            return torch.from_numpy(np.ascontiguousarray(array)).to(device, kind)

        self.embedding = put(tensors["token_embd.weight"], torch.float32)
        self.head = put(tensors.get("output.weight", tensors["token_embd.weight"]))
        self.norm = put(tensors["output_norm.weight"], torch.float32)
        self.blocks = []
        for i in range(self.layers):

            def part(name):
                return tensors[f"blk.{i}.{name}.weight"]

            q, k = part("attn_q"), part("attn_k")
            if not gemma:
                q, k = rotate_half_order(q, self.heads), rotate_half_order(k, self.kv_heads)
            self.blocks.append(
                {name: put(part(name), torch.float32) for name in norms}
                | {
                    "qkv": put(np.concatenate([q, k, part("attn_v")])),
                    "o": put(part("attn_output")),
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
        self.frequencies = self.turning(field("rope.freq_base"))
        self.local_frequencies = self.turning(field("rope.freq_base_swa", 10000.0))

    def turning(self, theta):
        """Returns the frequencies [head_dim / 2] of a rotary base."""
        d = self.head_dim
        return torch.from_numpy((1.0 / theta ** (np.arange(0, d, 2, dtype=np.float64) / d)).astype(np.float32)).to(self.device)

    def rotary(self, positions, frequencies):
        """Returns cos and sin [tokens, 1, head_dim], of angles in f32."""
        angle = positions.float()[:, None] * frequencies
        angle = torch.cat([angle, angle], 1)[:, None]
        return [t.to(self.dtype) if self.dtype == torch.bfloat16 else t for t in (angle.cos(), angle.sin())]

    def forward(self, batch, adapter, training):
        """Returns the log-probabilities [targets] of the batch's target tokens, in its order."""
        w, c = batch.context_ids.shape  # windows and the tokens of their contexts; w may be 0
        b = batch.ids.shape[0]  # branches; may be 0
        split = w * c
        ids = torch.cat([batch.context_ids.flatten(), batch.ids.flatten()])
        x = F.embedding(ids.clamp(max=self.vocab - 1), self.embedding)
        if adapter.marks is not None and b:
            for i, row in enumerate(adapter.marks):
                x = torch.where((ids == self.vocab + i)[:, None], row, x)
        x = x * self.scale
        ahead = torch.arange(c, device=self.device)
        positions = torch.cat([ahead.repeat(w), batch.positions.flatten()])
        turns, sights = [self.rotary(positions, self.frequencies)], [(None, batch.mask)]
        if self.window:
            turns.append(self.rotary(positions, self.local_frequencies))
            sights.append((self.within(ahead[None], ahead[None])[:, None] if c > self.window else None, self.branches_within(batch, ahead)))
        # In activated mode the adapter changes no row of a context.
        adapted = split if adapter.activated else 0
        for i, (block, local) in enumerate(zip(self.blocks, self.local)):
            changes = [adapter.change(i, names, training) for names in PRODUCTS]
            q, k, v = self.before_attention(x, block, changes[0], turns[local], adapted)
            x = self.behind_attention(x, self.attend(q, k, v, batch, sights[local]), block, changes[1:], adapted)
        x = F.rms_norm(x.index_select(0, batch.rows), (self.hidden,), self.norm, self.eps).to(self.dtype)
        return -F.cross_entropy(F.linear(x, self.head).float(), batch.targets, reduction="none")

    def normed(self, x, scale):
        """Returns x normalised in f32, in the type of the matrices."""
        return F.rms_norm(x.float(), (x.shape[-1],), scale, self.eps).to(self.dtype)

    def before_attention(self, x, block, change, turn, adapted):
        """Returns a layer's q, k, v [tokens, heads, head_dim] of the residual stream x, rotated, with keys and values as often as heads share them."""
        heads, kv, d = self.heads, self.kv_heads, self.head_dim
        h = self.normed(x, block["attn_norm"])
        qkv = F.linear(h, block["qkv"])
        qkv = change.add(qkv, h, adapted) if change else qkv
        q, k, v = qkv.view(-1, heads + 2 * kv, d).split([heads, kv, kv], 1)
        if "attn_q_norm" in block:
            q, k = self.normed(q, block["attn_q_norm"]), self.normed(k, block["attn_k_norm"])
        cos, sin = turn
        qk = torch.cat([q, k], 1)
        qk = qk * cos + torch.cat([-qk[..., d // 2 :], qk[..., : d // 2]], -1) * sin
        q, k = qk.split([heads, kv], 1)
        group = heads // kv
        return q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)

    def behind_attention(self, x, a, block, changes, adapted):
        """Returns the residual stream behind a layer, of it and the attention's output a."""
        of_o, of_gate_up, of_down = changes
        o = F.linear(a, block["o"])
        o = of_o.add(o, a, adapted) if of_o else o
        x = x + (self.normed(o, block["post_attention_norm"]) if "post_attention_norm" in block else o)
        h = self.normed(x, block["ffn_norm"])
        both = F.linear(h, block["gate_up"])
        gate, up = (of_gate_up.add(both, h, adapted) if of_gate_up else both).chunk(2, -1)
        h = self.activation(gate) * up
        down = F.linear(h, block["down"])
        down = of_down.add(down, h, adapted) if of_down else down
        return x + (self.normed(down, block["post_ffw_norm"]) if "post_ffw_norm" in block else down)

    def within(self, rows, keys):
        """Returns which keys rows see by causality and the window [sequences, rows, keys], of their positions [sequences, tokens]."""
        far = rows[:, :, None] - keys[:, None]
        return (far >= 0) & (far < self.window)

    def branches_within(self, batch, ahead):
        """Returns the branches' mask of layers with a window: what stands too far in front by its position is not seen."""
        b, n = batch.positions.shape
        keys = torch.cat([ahead.expand(b, -1), batch.positions], 1) if batch.mask is not None else batch.positions
        near = (batch.positions[:, :, None] - keys[:, None] < self.window)[:, None]
        if batch.mask is None:
            return near & near.new_ones(n, n).tril() if n > self.window else None
        return batch.mask & near if batch.mask.dtype == torch.bool else batch.mask.masked_fill(~near, -torch.inf)

    def attend(self, q, k, v, batch, sight):
        """Attention of contexts to themselves, and of branches to a context and themselves. q, k, v are [tokens, heads, d]."""
        (w, c), (b, n) = batch.context_ids.shape, batch.ids.shape
        of_contexts, of_branches = sight
        split = w * c
        outputs = []

        def shape(t, rows, size):
            return t.reshape(rows, size, self.heads, self.head_dim).transpose(1, 2)

        def causal(q, k, v, mask):
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)

        if split:
            cq, ck, cv = (shape(t[:split], w, c) for t in (q, k, v))
            outputs.append(causal(cq, ck, cv, of_contexts).transpose(1, 2).reshape(split, -1))
        if b:
            bq, bk, bv = (shape(t[split:], b, n) for t in (q, k, v))
            if split:

                def behind(context, own):
                    shared = context[:, None].expand(w, b // w, -1, -1, -1).reshape(b, self.heads, c, self.head_dim)
                    return torch.cat([shared, own], 2)

                a = self.attend_branches(bq, behind(ck, bk), behind(cv, bv), of_branches, batch.segments)
            else:
                a = causal(bq, bk, bv, of_branches)
            outputs.append(a.transpose(1, 2).reshape(b * n, -1))
        return torch.cat(outputs)

    def attend_branches(self, q, k, v, mask, segments):
        """Attention of branches q [branches, heads, tokens, d] to k, v [branches, heads, context + tokens, d], by the mask."""
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask if mask.dtype == torch.bool else mask.to(q.dtype))
