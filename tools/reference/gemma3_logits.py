"""Writes what transformers makes of a gemma3 GGUF file, for the engine's test.

    python3 tools/reference/gemma3_logits.py MODEL.gguf internal/engine/testdata/gemma3-270m.safetensors

The weights are dequantised with the `gguf` package and put into Gemma3ForCausalLM by
hand. The file has the ids of a text, the ids of some logits, and these behind each token.
The text is longer than the window, so that some layers no longer see its beginning.
"""

import sys

import gguf
import torch
import transformers
from safetensors.torch import save_file
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

LENGTH, PROBES = 700, 24
BLOCK = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm", "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}


def load(path):
    reader = gguf.GGUFReader(path)

    def field(key):
        return reader.fields["gemma3." + key].contents()

    state = {}
    for tensor in reader.tensors:
        weight = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
        name = tensor.name.removesuffix(".weight")
        if name not in TOP:
            _, block, part = name.split(".")
            name = f"model.layers.{block}.{BLOCK[part]}"
        else:
            name = TOP[name]
        state[name + ".weight"] = weight - 1 if name.endswith("norm") else weight  # Gemma's norms scale by 1 + weight
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    vocabulary, hidden = state["lm_head.weight"].shape
    config = Gemma3TextConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=field("feed_forward_length"), num_hidden_layers=field("block_count"),
        num_attention_heads=field("attention.head_count"), num_key_value_heads=field("attention.head_count_kv"),
        head_dim=field("attention.key_length"), query_pre_attn_scalar=field("attention.key_length"), sliding_window=field("attention.sliding_window"),
        max_position_embeddings=field("context_length"), rms_norm_eps=field("attention.layer_norm_rms_epsilon"),
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": field("rope.freq_base")},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
        attn_implementation="eager",
    )
    model = Gemma3ForCausalLM(config)
    model.load_state_dict(state, strict=True)
    return model.float().eval()


@torch.inference_mode()
def main():
    path, out = sys.argv[1:]
    torch.set_num_threads(2)
    model = load(path)
    vocabulary = model.config.vocab_size
    ids = torch.randint(1000, 20000, (LENGTH,), generator=torch.Generator().manual_seed(1))
    ids[0] = 2  # its BOS
    probes = torch.linspace(0, vocabulary - 1, PROBES).round().long()
    stream = model.model(ids[None], use_cache=False).last_hidden_state[0]
    logits = stream @ model.lm_head.weight[probes].T  # all of them would take a gigabyte
    save_file({"ids": ids.float(), "probes": probes.float(), "logits": logits.contiguous()}, out,
              {"made_by": f"tools/reference/gemma3_logits.py, transformers {transformers.__version__}"})
    print(f"logits of deviation {logits.std():.2f}")


main()
