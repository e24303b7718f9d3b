"""A llama-architecture GGUF file as a Hugging Face model and tokenizer.

The tensors are dequantised with the `gguf` package and put into a
LlamaForCausalLM by hand, so that nothing of ours stands between the file and
the reference.
"""

import gguf
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

# GGUF's name of a block's tensor -> transformers'.
BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


def load_model(path, dtype=torch.float32):
    """Returns the model of the file in dtype, with eager attention."""
    reader = gguf.GGUFReader(path)

    def field(key):
        return reader.fields[key].contents()

    if field("general.architecture") != "llama":
        raise SystemExit(f"{path}: architecture {field('general.architecture')!r}, not llama")
    heads = field("llama.attention.head_count")
    kv_heads = field("llama.attention.head_count_kv")
    state = {}
    for tensor in reader.tensors:
        name = tensor.name
        weight = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if name in TOP:
            name = TOP[name]
        else:
            _, block, part, _ = name.split(".")
            if part == "attn_q":
                weight = rotate_half_order(weight, heads)
            if part == "attn_k":
                weight = rotate_half_order(weight, kv_heads)
            name = f"model.layers.{block}.{BLOCK[part]}.weight"
        state[name] = torch.from_numpy(weight.copy())
    vocabulary, hidden = state["model.embed_tokens.weight"].shape
    tied = "lm_head.weight" not in state
    if tied:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=field("llama.feed_forward_length"),
        num_hidden_layers=field("llama.block_count"),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=field("llama.context_length"),
        rms_norm_eps=field("llama.attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": field("llama.rope.freq_base")},
        tie_word_embeddings=tied,
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config)
    model.load_state_dict(state, strict=True)
    return model.to(dtype).eval()


def rotate_half_order(weight, heads):
    """Undoes the row order that GGUF gives q and k of llama models.

    GGUF pairs neighbouring rows for RoPE (2i, 2i+1), transformers rows half a
    head apart (i, i+d/2).
    """
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def load_tokenizer(path):
    """Returns the byte-level BPE tokenizer of the file's vocabulary and merges.

    Special tokens are not registered: their spellings in text are plain text.
    """
    reader = gguf.GGUFReader(path)
    pre = reader.fields["tokenizer.ggml.pre"].contents()
    if pre != "smollm":
        raise SystemExit(f"{path}: pre-tokenizer {pre!r}, not smollm")
    vocabulary = {token: i for i, token in enumerate(reader.fields["tokenizer.ggml.tokens"].contents())}
    merges = [tuple(merge.split(" ")) for merge in reader.fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
