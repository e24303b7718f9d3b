"""A fixture for internal/tokenizer: SentencePiece vocabularies, their tokenizer.json, and lines with their ids.

    python tools/reference/sentencepiece_lines.py internal/tokenizer/testdata/sentencepiece.json

Three small vocabularies are trained on the lines of tokenizer.py and
tokenizer_lines.py: BPE as Llama 2 has it (a blank in front, bytes as fallback),
BPE as Gemma has it (no blank, user-defined runs of line breaks and of blanks), and
unigrams as T5 has them. Each is written as GGUF stores it (tokens, types, scores)
and as Hugging Face's tokenizer.json; the ids are those of its tokenizers library.

Others are only in Hugging Face's form: Metaspace with a blank in front of the first
piece and not cut (Mistral 0.3), of every piece and cut into words, bytes with a
blank in front in normal form KC, each with added tokens that strip blanks, stand for
single words, or are looked for in normalised text (Phi 3's strip the blanks behind
them); and unigrams that are not cut into words and fall back on bytes.
"""

import io
import json
import pathlib
import sys

import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, trainers
from tokenizers import pre_tokenizers as pre

from tokenizer import OURS, write_json
from tokenizer_lines import CODE, HOSTILE, SCRIPTS

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def train(lines, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, character_coverage=0.98, split_by_whitespace=True, max_sentence_length=1 << 20,
        remove_extra_whitespaces=False, num_threads=1, minloglevel=2, **options,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def pieces(processor, user):
    """Tokens, types and scores as a GGUF stores them."""
    tokens, types, scores = [], [], []
    for i in range(processor.get_piece_size()):
        tokens.append(processor.id_to_piece(i))
        scores.append(processor.get_score(i))
        kind = NORMAL
        if processor.is_unknown(i):
            kind = UNKNOWN
        elif processor.is_control(i):
            kind = CONTROL
        elif processor.is_byte(i):
            kind = BYTE
        elif tokens[-1] in user:
            kind = USER_DEFINED
        types.append(kind)
    return tokens, types, scores


USER = ["\n", "\n\n", "\n\n\n", "▁▁", "▁▁▁", "▁▁▁▁", "<tool>"]


def bpe(tokens, types, scores, prefix):
    """As in the tokenizer.json of Llama 2 and Gemma: every pair that makes a token, the token of the highest score first, and
    before them the runs of user-defined blanks and breaks, the longest first."""
    ids = {t: i for i, t in enumerate(tokens)}
    mergeable = {t: s for t, k, s in zip(tokens, types, scores) if k == NORMAL}
    runs = [t for t, k in zip(tokens, types) if k == USER_DEFINED and len(set(t)) == 1]
    parts = set(mergeable) | set(runs)
    made = []
    for token in sorted(runs, key=len, reverse=True) + sorted(mergeable, key=mergeable.get, reverse=True):
        made += [(token[:i], token[i:]) for i in range(len(token) - 1, 0, -1) if token[:i] in parts and token[i:] in parts]
    t = Tokenizer(models.BPE(ids, made, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    blank = normalizers.Replace(" ", "▁")
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), blank]) if prefix else blank
    ends = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    t.decoder = decoders.Sequence(ends + ([decoders.Strip(" ", 1, 0)] if prefix else []))
    return t


def unigram(tokens, types, scores):
    """As in the tokenizer.json of T5, without its table of normalised characters."""
    t = Tokenizer(models.Unigram(list(zip(tokens, scores)), unk_id=tokens.index("<unk>"), byte_fallback=False))
    t.pre_tokenizer = pre.Metaspace(replacement="▁", prepend_scheme="always")
    t.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    return t


def with_flags(t):
    """Added tokens of every kind, two of them special."""
    t.add_special_tokens([AddedToken("<|user|>", rstrip=True, normalized=False), AddedToken("<|mask|>", lstrip=True, normalized=False)])
    t.add_tokens([
        AddedToken("tool", single_word=True, normalized=False), AddedToken("<both>", lstrip=True, rstrip=True, normalized=False),
        AddedToken("\u212b ring", normalized=True), AddedToken("<plain>", normalized=False),
    ])
    return t


def metaspace(tokens, types, scores, scheme, split):
    t = bpe(tokens, types, scores, False)
    t.normalizer = None
    t.pre_tokenizer = pre.Metaspace(replacement="▁", prepend_scheme=scheme, split=split)
    return with_flags(t)


def bytes_kc(lines):
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(left=False, right=True)])
    t.pre_tokenizer = pre.ByteLevel(add_prefix_space=True)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=500, initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False))
    return with_flags(t)


FLAGS = [
    "a <|user|>  b", "<|user|>\n\nHi <|user|>", "x  <|mask|> y<|mask|>", " <|mask|>", "tool tools a tool, tool_ _tool tool9 (tool)", "tooltool",
    "a <both> b<both>c  <both>  <both> d", "\u212b ring \u00c5 ring A\u030a ring", "<plain> <plain>x <plain>  ", "a  <|user|>  <|mask|>  tool  ", "\ufb01ne \u2460 \u00a0x",
    " leading", "  two", "trailing  ", "▁mark", "<|user|>▁mark", "<|user|>x", "<|us", "<|user|",
]


def add(t, tokens, types):
    t.add_special_tokens([AddedToken(x, special=True, normalized=False) for x, k in zip(tokens, types) if k in (CONTROL, UNKNOWN)])
    t.add_tokens([AddedToken(x, special=False, normalized=False) for x, k in zip(tokens, types) if k == USER_DEFINED])
    return t


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    texts = list(dict.fromkeys(t for t in OURS + HOSTILE + SCRIPTS + CODE if len(t) <= 600))
    training = [t for t in texts if "\x00" not in t and t.strip()]
    common = dict(bos_id=1, eos_id=2, unk_id=0, pad_id=-1, normalization_rule_name="identity")
    variants = {
        "llama": (dict(model_type="bpe", vocab_size=1300, byte_fallback=True, **common), True),
        "gemma": (dict(model_type="bpe", vocab_size=1300, byte_fallback=True, user_defined_symbols=USER, **common), False),
        "unigram": (dict(model_type="unigram", vocab_size=700, hard_vocab_limit=False, **common), True),
    }
    value, made = {"vocabularies": {}}, {}
    for name, (options, prefix) in variants.items():
        tokens, types, scores = pieces(train(training, **options), options.get("user_defined_symbols", []))
        t = unigram(tokens, types, scores) if name == "unigram" else bpe(tokens, types, scores, prefix)
        add(t, tokens, types)
        made[name] = t
        if name == "llama":
            made["first"] = metaspace(tokens, types, scores, "first", False)
            made["words"] = metaspace(tokens, types, scores, "always", True)
        value["vocabularies"][name] = {"tokens": tokens, "types": types, "scores": scores, "prefix": prefix, "json": json.loads(t.to_str())}
    made["bytes"] = bytes_kc(training)
    v = value["vocabularies"]["unigram"]
    extra = [(f"<0x{b:02X}>", -20.0 - b / 100) for b in range(256)]
    made["whole"] = Tokenizer(models.Unigram(list(zip(v["tokens"], v["scores"])) + extra, unk_id=v["tokens"].index("<unk>"), byte_fallback=True))
    made["whole"].normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    with_flags(made["whole"])
    for name in "first", "words", "bytes", "whole":
        value["vocabularies"][name] = {"json": json.loads(made[name].to_str())}
    value["lines"] = []
    for text in texts + FLAGS:
        line = {"text": text}
        for name, t in made.items():
            t.encode_special_tokens = True
            line[name] = t.encode(text, add_special_tokens=False).ids
            t.encode_special_tokens = False
            special = t.encode(text, add_special_tokens=False).ids
            if special != line[name]:
                line[name + "_special"] = special
        value["lines"].append(line)
    write_json(pathlib.Path(sys.argv[1]), value, ("lines",))


if __name__ == "__main__":
    main()
