"""Makes the fixtures that compare adapters with PEFT, on a tiny random model.

    python adapter.py internal/engine/testdata/adapter

`theirs` is written by PEFT. `ours` must have been written by FlashBack
(go test ./internal/engine -run TestAdaptersOfPEFT -update); PEFT loads it. Of both
the logits over the base vocabulary of one text with both marks in it are kept.
Needs torch, transformers, safetensors and peft (0.21).
"""

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

VOCABULARY = 40
TEXT = [3, 17, 5, 29, 40, 8, 11, 2, 41, 33, 7, 21]


def base():
    """The same random model each time, its embedding grown by two rows."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=True,
        initializer_range=0.3, attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).eval()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    model.resize_token_embeddings(VOCABULARY + 2, mean_resizing=False)
    return model, weights


def logits(model):
    with torch.no_grad():
        return model(torch.tensor([TEXT])).logits[0, :, :VOCABULARY].float().tolist()


out = Path(sys.argv[1])
model, weights = base()
save_file(weights, out / "base.safetensors")
tuned = get_peft_model(model, LoraConfig(
    r=4, lora_alpha=6, use_rslora=True, task_type="CAUSAL_LM",
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    rank_pattern={"layers.1.self_attn.q_proj": 2, "down_proj": 3}, alpha_pattern={"k_proj": 9},
    trainable_token_indices={"embed_tokens": [VOCABULARY, VOCABULARY + 1]},
)).eval()
torch.manual_seed(2)
with torch.no_grad():
    for name, parameter in tuned.named_parameters():
        if "lora_" in name or "trainable_tokens" in name:
            parameter.copy_(torch.randn_like(parameter) * 0.2)
tuned.save_pretrained(out / "theirs")
(out / "theirs" / "README.md").unlink()
result = {"tokens": TEXT, "theirs": logits(tuned)}
if (out / "ours").exists():
    result["ours"] = logits(PeftModel.from_pretrained(base()[0], out / "ours").eval())
result["base"] = logits(base()[0])
(out / "logits.json").write_text(json.dumps(result) + "\n")
