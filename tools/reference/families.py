"""Makes a tiny random model of every family, with what transformers computes of it.

    pip install -r tools/reference/requirements.txt
    python3 tools/reference/families.py internal/model/modeltest/testdata [NAME ...]

NAME.gguf is the model under the names and keys that llama.cpp's conversion gives it (by
the `gguf` package; OPT, which llama.cpp does not know, under FlashBack's), matrices in
F16. NAME.safetensors has token ids, the ids of some logits, and these [positions, ids];
where positions are learned also the log-probabilities of all ids but the first, in a text
that starts at the position RESERVE.
"""

import math
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers as hf
from safetensors.torch import save_file

VOCABULARY, POSITIONS, PROBES, RESERVE = 300, 300, 32, 130

SMALL = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "initializer_range": 0.3,
    "tie_word_embeddings": False, "attn_implementation": "eager", "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
}


def small(**changes):
    return SMALL | changes


def rope(kind, **more):
    return {"rope_type": kind, "rope_theta": 10000.0, **more}


LONG = {"short_factor": [1 + i / 8 for i in range(6)], "long_factor": [1 + i / 2 for i in range(6)]}
GEMMA = {"head_dim": 16, "num_hidden_layers": 6, "intermediate_size": 64, "sliding_window": 37, "query_pre_attn_scalar": 24, "tie_word_embeddings": True}
PHI3 = {"num_attention_heads": 2, "num_key_value_heads": 1}
OPT = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 512,
    "init_std": 0.3, "word_embed_proj_dim": 32, "attn_implementation": "eager", "dropout": 0.0, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None,
}

# name: architecture in GGUF, class, configuration
FAMILIES = {
    "llama3": ("llama", hf.LlamaForCausalLM, hf.LlamaConfig(**small(rope_parameters=rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=128)))),
    "llama-linear": ("llama", hf.LlamaForCausalLM, hf.LlamaConfig(**small(rope_parameters=rope("linear", factor=2.5)))),
    "llama-yarn": ("llama", hf.LlamaForCausalLM, hf.LlamaConfig(**small(rope_parameters=rope(
        "yarn", factor=4.0, original_max_position_embeddings=128)))),
    "mistral": ("llama", hf.MistralForCausalLM, hf.MistralConfig(**small(sliding_window=53))),
    "smollm3": ("smollm3", hf.SmolLM3ForCausalLM, hf.SmolLM3Config(**small(num_hidden_layers=4, use_sliding_window=False))),
    "qwen2": ("qwen2", hf.Qwen2ForCausalLM, hf.Qwen2Config(**small(use_sliding_window=False))),
    "qwen3": ("qwen3", hf.Qwen3ForCausalLM, hf.Qwen3Config(**small(tie_word_embeddings=True))),
    "gemma2": ("gemma2", hf.Gemma2ForCausalLM, hf.Gemma2Config(**small(
        **GEMMA | {"num_hidden_layers": 2}, attn_logit_softcapping=5.0, final_logit_softcapping=4.0))),
    "gemma3": ("gemma3", hf.Gemma3ForCausalLM, hf.Gemma3TextConfig(**small(**GEMMA))),
    "phi3": ("phi3", hf.Phi3ForCausalLM, hf.Phi3Config(**small(**PHI3, sliding_window=90))),
    "phi3-long": ("phi3", hf.Phi3ForCausalLM, hf.Phi3Config(**small(**PHI3, original_max_position_embeddings=160, rope_parameters=rope(
        "longrope", partial_rotary_factor=0.75, original_max_position_embeddings=160, **LONG)))),
    "gpt2": ("gpt2", hf.GPT2LMHeadModel, hf.GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_inner=64, n_layer=2, n_head=4, n_positions=512, initializer_range=0.3, attn_implementation="eager",
        bos_token_id=None, eos_token_id=None)),
    "opt": ("opt", hf.OPTForCausalLM, hf.OPTConfig(**OPT)),
    "opt-350m": ("opt", hf.OPTForCausalLM, hf.OPTConfig(**OPT | {"hidden_size": 64, "word_embed_proj_dim": 32, "do_layer_norm_before": False})),
}

# FlashBack's names of OPT's tensors.
OPT_NAMES = {
    "model.decoder.embed_tokens": "token_embd", "model.decoder.embed_positions": "position_embd", "model.decoder.project_in": "project_in",
    "model.decoder.project_out": "project_out", "model.decoder.final_layer_norm": "output_norm",
}
OPT_BLOCK = {
    "self_attn_layer_norm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_output", "final_layer_norm": "ffn_norm", "fc1": "ffn_up", "fc2": "ffn_down",
}
for layer in range(2):
    for theirs, ours in OPT_BLOCK.items():
        OPT_NAMES[f"model.decoder.layers.{layer}.{theirs}"] = f"blk.{layer}.{ours}"


def build(name):
    """Returns the model, its matrices rounded to f16 and its vectors drawn."""
    _, kind, config = FAMILIES[name]
    torch.manual_seed(1)
    model = kind(config).eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.dim() == 1:
                p.copy_(torch.randn_like(p) * 0.1 + (1.0 if key.endswith("norm.weight") and "gemma" not in name or "ln_" in key and key.endswith("weight") else 0.0))
            else:
                p.copy_(p.half().float())
    return model


def paired(weight, heads):
    """GGUF's order of rows: neighbours are a pair of the rotation, not rows half a head apart."""
    rows = weight.shape[0]
    return weight.reshape(heads, 2, rows // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def factors(config):
    """Llama 3's factors of the rotary frequencies, as llama.cpp's conversion computes them."""
    p = config.rope_parameters
    low, high = p["original_max_position_embeddings"] / p["low_freq_factor"], p["original_max_position_embeddings"] / p["high_freq_factor"]
    out = []
    for i in range(0, config.head_dim, 2):
        length = 2 * math.pi * p["rope_theta"] ** (i / config.head_dim)
        smooth = (p["original_max_position_embeddings"] / length - p["low_freq_factor"]) / (p["high_freq_factor"] - p["low_freq_factor"])
        out.append(1.0 if length < high else p["factor"] if length > low else 1 / ((1 - smooth) / p["factor"] + smooth))
    return np.array(out, dtype=np.float32)


def metadata(w, arch, config):
    learned = arch in ("gpt2", "opt")
    w.add_block_count(config.num_hidden_layers)
    w.add_context_length(config.max_position_embeddings)
    w.add_embedding_length(config.hidden_size)
    w.add_feed_forward_length(config.n_inner if arch == "gpt2" else config.ffn_dim if arch == "opt" else config.intermediate_size)
    w.add_head_count(config.num_attention_heads)
    if learned:
        w.add_layer_norm_eps(1e-5)
        if arch == "opt":
            w.add_uint32("opt.embedding_length_in", config.word_embed_proj_dim)
            w.add_bool("opt.norm_after", not config.do_layer_norm_before)
        return
    w.add_head_count_kv(config.num_key_value_heads)
    w.add_layer_norm_rms_eps(config.rms_norm_eps)
    w.add_key_length(config.head_dim)
    w.add_value_length(config.head_dim)
    p = config.rope_parameters
    local = p.get("sliding_attention")
    p = p.get("full_attention", p)
    w.add_rope_freq_base(p["rope_theta"])
    if local and local["rope_theta"] != p["rope_theta"]:
        w.add_float32(f"{arch}.rope.freq_base_swa", local["rope_theta"])
    w.add_rope_dimension_count(int(config.head_dim * p.get("partial_rotary_factor", 1.0)))
    if p["rope_type"] in ("linear", "yarn"):
        w.add_rope_scaling_type(gguf.RopeScalingType(p["rope_type"]))
        w.add_rope_scaling_factor(p["factor"])
    if p["rope_type"] in ("yarn", "longrope"):
        w.add_rope_scaling_orig_ctx_len(p["original_max_position_embeddings"])
    if p["rope_type"] == "longrope":
        scale = config.max_position_embeddings / p["original_max_position_embeddings"]
        w.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(p["original_max_position_embeddings"])))
    if getattr(config, "sliding_window", None):
        w.add_sliding_window(config.sliding_window)
    if arch.startswith("gemma"):
        w.add_float32(f"{arch}.attention.scale", config.query_pre_attn_scalar**-0.5)
    if arch == "gemma2":
        w.add_attn_logit_softcapping(config.attn_logit_softcapping)
        w.add_final_logit_softcapping(config.final_logit_softcapping)


def vocabulary(w):
    """Bytes, the end, one pair of bytes, and words that no text becomes."""
    tokens, following = [], 0x100
    for b in range(256):
        plain = 0x20 < b < 0x7F or 0xA0 < b != 0xAD
        tokens.append(chr(b if plain else following))
        following += not plain
    tokens += ["<end>", "ab"] + [f"w{i}" for i in range(258, VOCABULARY)]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    w.add_token_types([3 if i == 256 else 1 for i in range(VOCABULARY)])
    w.add_token_merges(["a b"])
    w.add_eos_token_id(256)


def convert(name, model, path):
    arch, _, config = FAMILIES[name]
    w = gguf.GGUFWriter(path, arch)
    w.add_name(name)
    metadata(w, arch, config)
    vocabulary(w)
    if arch != "opt":
        numbers = {v: k for k, v in gguf.MODEL_ARCH_NAMES.items()}
        names = gguf.get_tensor_name_map(numbers[arch], config.num_hidden_layers)
    tied = config.tie_word_embeddings
    for key, tensor in model.state_dict().items():
        if key == "lm_head.weight" and tied:
            continue
        module, _, kind = key.rpartition(".")
        weight = tensor.numpy()
        if arch == "gpt2" and "c_" in key and weight.ndim == 2:
            weight = weight.T.copy()
        if arch in ("llama", "smollm3") and module.endswith(("q_proj", "k_proj")):
            weight = paired(weight, config.num_attention_heads if module.endswith("q_proj") else config.num_key_value_heads)
        if arch.startswith("gemma") and module.endswith("norm"):
            weight = weight + 1
        ours = OPT_NAMES[module] if arch == "opt" else names.get_name(module)
        assert ours, key
        w.add_tensor(f"{ours}.{kind}", weight.astype(np.float16 if weight.ndim == 2 else np.float32))
    if name == "llama3":
        w.add_tensor("rope_freqs.weight", factors(config))
    if name == "phi3-long":
        w.add_tensor("rope_factors_long.weight", np.array(LONG["long_factor"], dtype=np.float32))
        w.add_tensor("rope_factors_short.weight", np.array(LONG["short_factor"], dtype=np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


@torch.inference_mode()
def main():
    out = Path(sys.argv[1])
    for name in sys.argv[2:] or FAMILIES:
        model = build(name)
        convert(name, model, out / f"{name}.gguf")
        ids = torch.randint(0, VOCABULARY, (POSITIONS,), generator=torch.Generator().manual_seed(2))
        probes = torch.linspace(0, VOCABULARY - 1, PROBES).round().long()
        logits = model(ids[None], use_cache=False).logits[0]
        print(f"{name}: logits of deviation {logits.std():.2f}, {(out / f'{name}.gguf').stat().st_size >> 10} KiB")
        tensors = {"ids": ids.int().float(), "probes": probes.int().float(), "logits": logits[:, probes].contiguous()}
        if FAMILIES[name][0] in ("gpt2", "opt"):
            behind = model(ids[None], position_ids=RESERVE + torch.arange(POSITIONS)[None], use_cache=False).logits[0]
            tensors["behind_reserve"] = behind[:-1].log_softmax(1).gather(1, ids[1:, None])[:, 0].contiguous()
        save_file(tensors, out / f"{name}.safetensors", {"made_by": f"tools/reference/families.py, transformers {hf.__version__}"})


if __name__ == "__main__":
    main()
