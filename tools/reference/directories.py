"""Writes tiny llama checkpoints as transformers saves them, with the logits that it
computes, for the tests of internal/model that open directories:

    pip install -r tools/reference/requirements.txt
    python3 tools/reference/directories.py internal/model/testdata

plain:   f32, one file, a head of its own, neighbouring tokens of a text
llama3:  bf16, three shards and their index, tied, Llama 3's rotary scaling, a chat
         template in a file of its own, two tokens that end a turn
families/NAME: the models of families.py, whose logits are beside their GGUF files; matrices
         in f16, without a tokenizer
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
import families
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TOKENS = 300
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"


def tokenizer(lead):
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate(letters + ["he", "ll", "hell", "hello", "Ġw"])}
    merges = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "w")]
    t = Tokenizer(models.BPE(vocab, merges))
    t.decoder = decoders.ByteLevel()
    if lead:
        t.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(WORDS), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        t.add_special_tokens(["<s>", "<|end|>", "<|user|>", "<|assistant|>"])
        t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", t.token_to_id("<s>"))])
        return PreTrainedTokenizerFast(tokenizer_object=t, bos_token="<s>", eos_token="<|end|>", chat_template=TEMPLATE)
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.add_special_tokens(["<eos>"])
    return PreTrainedTokenizerFast(tokenizer_object=t, eos_token="<eos>")


def write(directory, name, lead, dtype, shard, **settings):
    torch.manual_seed(3)
    tok = tokenizer(lead)
    config = LlamaConfig(
        vocab_size=len(tok), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=8, max_position_embeddings=512, initializer_range=0.25, rms_norm_eps=1e-5,
        eos_token_id=tok.eos_token_id, bos_token_id=tok.bos_token_id, **settings,
    )  # fmt: skip
    path = directory / name
    shutil.rmtree(path, ignore_errors=True)
    LlamaForCausalLM(config).to(dtype).save_pretrained(path, max_shard_size=shard)
    tok.save_pretrained(path)
    if lead:
        file = path / "generation_config.json"
        said = json.loads(file.read_text())
        said["eos_token_id"] = [tok.eos_token_id, tok.convert_tokens_to_ids("<|user|>")]
        file.write_text(json.dumps(said, indent=2) + "\n")
    ids = tok("hello world, hello 12345 years: it's a test. " * 9)["input_ids"][:TOKENS]
    model = LlamaForCausalLM.from_pretrained(path, dtype=torch.float32).eval()  # not .float(): rotary frequencies would be bf16's
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    text = "hello world 1234 don't\n\n  x"
    (path / "expected.json").write_text(
        json.dumps(
            {
                "ids": ids,
                "probes": [[round(v, 6) for v in row] for row in logits[:, ::29].tolist()],
                "text": text,
                "encoded": tok(text)["input_ids"],
                "ends": said["eos_token_id"] if lead else [tok.eos_token_id],
            }
        )
        + "\n"
    )


def write_family(directory, name):
    model = families.build(name)
    path = directory / "families" / name
    shutil.rmtree(path, ignore_errors=True)
    tied = model.config.tie_word_embeddings
    state = {k: v.half() if v.dim() == 2 else v for k, v in model.state_dict().items() if not (tied and k == "lm_head.weight")}
    model.save_pretrained(path, state_dict=state)
    (path / "generation_config.json").unlink()


if __name__ == "__main__":
    out = Path(sys.argv[1])
    write(out, "plain", False, torch.float32, "1GB", tie_word_embeddings=False)
    scaling = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    write(out, "llama3", True, torch.bfloat16, "20KB", tie_word_embeddings=True, rope_theta=500.0, rope_scaling=scaling)
    for name in families.FAMILIES:
        write_family(out, name)
