"""Makes the fixtures that compare the forms in which PEFT saves adapters, on tiny random
models with a tied head and with one of their own.

    python adapter_forms.py internal/engine/testdata/forms

Each form is a directory that PEFT wrote. logits.json has, of one text, the logits over
the base vocabulary of the model that PEFT loads from it, and which base that was.
Needs torch, transformers, safetensors and peft (0.21).
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

VOCABULARY = 40
TEXT = [3, 17, 5, 29, 36, 8, 11, 2, 0, 33, 7, 21]
ATTENTION = ["q_proj", "v_proj"]
MODULES = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]


def base(tied, rows=VOCABULARY):
    """The same random model each time."""
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=tied,
        initializer_range=0.3, attn_implementation="eager",
    )).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.copy_(1 + torch.randn_like(parameter) * 0.2)
    if rows != VOCABULARY:
        model.resize_token_embeddings(rows, mean_resizing=False)
    return model


# name: (tied head, rows of the embedding, what LoraConfig is given, save_pretrained's)
FORMS = {
    "all-linear": (False, VOCABULARY, dict(target_modules="all-linear"), {}),
    "full-names": (False, VOCABULARY, dict(target_modules=[f"model.layers.{i}.{m}" for i in (0, 1) for m in MODULES]), {}),
    "some-layers": (False, VOCABULARY, dict(target_modules=["1.self_attn.q_proj", "0.mlp.down_proj"]), {}),
    "expression": (False, VOCABULARY, dict(target_modules=r".*\.1\.self_attn\.(q|v)_proj"), {}),
    "layers-to-transform": (False, VOCABULARY, dict(target_modules=ATTENTION, layers_to_transform=[1]), {}),
    "exclude-modules": (False, VOCABULARY, dict(target_modules=ATTENTION, exclude_modules=r".*layers\.0\..*"), {}),
    "patterns": (False, VOCABULARY, dict(
        target_modules=ATTENTION, alpha_pattern={"layers.0.self_attn.q_proj": 64, "q_proj": 16, "self_attn.q_proj": 1},
        rank_pattern={"^model.layers.1.*": 3, r"layers\.\d+\.self_attn\.v_proj": 4, "v_proj": 1}), {}),  # PEFT saves them sorted
    "saved-both": (False, VOCABULARY, dict(target_modules=ATTENTION, modules_to_save=["embed_tokens", "lm_head"]), {}),
    "saved-embedding-tied": (True, VOCABULARY, dict(target_modules=ATTENTION, modules_to_save=["embed_tokens"]), {}),
    "saved-head-tied": (True, VOCABULARY, dict(target_modules=ATTENTION, modules_to_save=["lm_head"]), {}),
    "saved-embedding-both": (True, VOCABULARY, dict(target_modules=ATTENTION, modules_to_save=["embed_tokens"], ensure_weight_tying=True), {}),
    "saved-norms": (False, VOCABULARY, dict(target_modules=ATTENTION, modules_to_save=["input_layernorm", "post_attention_layernorm", "model.norm"]), {}),
    "resized": (False, VOCABULARY + 3, dict(target_modules=ATTENTION), dict(save_embedding_layers=True)),
    "resized-tied": (True, VOCABULARY + 3, dict(target_modules=ATTENTION), dict(save_embedding_layers=True)),
    "resized-smaller": (False, VOCABULARY - 3, dict(target_modules=ATTENTION), dict(save_embedding_layers=True)),
    "resized-smaller-tied": (True, VOCABULARY - 3, dict(target_modules=ATTENTION), dict(save_embedding_layers=True)),
    "head-smaller": (False, VOCABULARY - 3, dict(target_modules=ATTENTION + ["lm_head"]), {}),
    "head": (False, VOCABULARY, dict(target_modules=ATTENTION + ["lm_head"]), {}),
    "head-tied": (True, VOCABULARY, dict(target_modules=ATTENTION + ["lm_head"]), {}),
    "embedding": (False, VOCABULARY, dict(target_modules=ATTENTION + ["embed_tokens"]), {}),
    "embedding-tied": (True, VOCABULARY, dict(target_modules=ATTENTION + ["embed_tokens"]), {}),
    "embedding-both": (True, VOCABULARY, dict(target_modules=ATTENTION + ["embed_tokens"], ensure_weight_tying=True), {}),
    "embedding-resized": (False, VOCABULARY + 3, dict(target_modules=ATTENTION + ["embed_tokens"]), {}),
    "tokens-tied": (True, VOCABULARY, dict(target_modules=ATTENTION, trainable_token_indices=[3, 29]), {}),
    "tokens": (False, VOCABULARY, dict(target_modules=ATTENTION, trainable_token_indices={"embed_tokens": [3, 29]}), {}),
}


def logits(model):
    with torch.no_grad():
        return [[round(x, 6) for x in row] for row in model(torch.tensor([TEXT])).logits[0, :, :VOCABULARY].float().tolist()]


out = Path(sys.argv[1])
shutil.rmtree(out, ignore_errors=True)
out.mkdir(parents=True)
result = {"tokens": TEXT, "forms": {}}
for tied in (False, True):
    model = base(tied)
    save_file({n: t.clone() for n, t in model.state_dict().items() if not (tied and n == "lm_head.weight")},
              out / ("tied.safetensors" if tied else "untied.safetensors"))
    result["tied" if tied else "untied"] = logits(model)
for name, (tied, rows, config, save) in FORMS.items():
    tuned = get_peft_model(base(tied, rows), LoraConfig(r=2, lora_alpha=6, task_type="CAUSAL_LM", **config)).eval()
    torch.manual_seed(2)
    resized = rows != VOCABULARY
    with torch.no_grad():
        for parameter_name, parameter in tuned.named_parameters():
            own = any(part in parameter_name for part in ("lora_", "trainable_tokens", "modules_to_save"))
            if own or resized and ("embed_tokens" in parameter_name or "lm_head" in parameter_name):
                parameter.add_(torch.randn_like(parameter) * 0.2)
    tuned.save_pretrained(out / name, **save)
    (out / name / "README.md").unlink(missing_ok=True)
    loaded = PeftModel.from_pretrained(base(tied, rows), out / name).eval()
    result["forms"][name] = {"tied": tied, "logits": logits(loaded)}
    worst = (torch.tensor(result["forms"][name]["logits"]) - torch.tensor(logits(tuned))).abs().max().item()
    print(name, sorted(load_file(out / name / "adapter_model.safetensors")), f"loaded differs by {worst:.2g}")

# As a training loop saves it that keeps the adapter's name in those of the tensors.
raw = {k.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default."): v
       for k, v in load_file(out / "some-layers" / "adapter_model.safetensors").items()}
(out / "default-names").mkdir()
save_file(raw, out / "default-names" / "adapter_model.safetensors")
shutil.copy(out / "some-layers" / "adapter_config.json", out / "default-names")
result["forms"]["default-names"] = result["forms"]["some-layers"]
(out / "logits.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")
