"""Fixtures for internal/tokenizer, made by Hugging Face's tokenizers and Jinja2.

    python tools/reference/tokenizer.py MODEL.gguf DATA GOROOT internal/tokenizer/testdata

MODEL is SmolLM2-135M-Instruct as GGUF, DATA the folder of text data (its README
describes it), GOROOT a Go installation, whose documentation (BSD licence) is
quoted. Needs the packages of requirements.txt and jinja2 3.1.6 and regex 2026.11.19
The files written:

    classes.json   what the reference takes for letters, numbers, blanks and
                   digits, over all of Unicode
    lines.json     lines with their ids, in a small vocabulary trained on them,
                   by each pre-tokenizer, and in the model's vocabulary
    data.json      hashes of the ids of DATA's text, which is not quoted
    chat.json      chat templates with what they render and its ids

SmolLM2's tokenizer.json holds the vocabulary and merges of the GGUF, the
pre-tokenizer below (Digits, then ByteLevel) and the control tokens as special
added tokens; so does the tokenizer built here.
"""

import base64
import datetime
import hashlib
import io
import json
import pathlib
import random
import struct
import sys

import gguf
import jinja2
import jinja2.ext
import jinja2.sandbox
import regex
import zstandard
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, trainers
from tokenizers import pre_tokenizers as pre

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA.replace(r"\p{N}{1,3}", r"\p{N}")

CAPITAL, SMALL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def gpt4o(ending, digits):
    return (
        rf"[^\r\n\p{{L}}\p{{N}}]?{CAPITAL}*{SMALL}+{ending}|[^\r\n\p{{L}}\p{{N}}]?{CAPITAL}+{SMALL}*{ending}"
        rf"|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


GPT4O = gpt4o(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?", r"\p{N}{1,3}")
TEKKEN = gpt4o("", r"\p{N}")
# What llama.cpp cuts by, one after the other, where a GGUF names no pre-tokenizer.
DEFAULT = [
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
]

# As in the tokenizer.json of GPT-2, SmolLM2, Llama 3, Qwen2, GPT-4o and Mistral NeMo; the last two are not any model's.
PRE_TOKENIZERS = {
    "gpt-2": pre.ByteLevel(add_prefix_space=False, use_regex=True),
    "smollm": pre.Sequence(
        [pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False, use_regex=True)]
    ),
    "llama-bpe": pre.Sequence(
        [pre.Split(Regex(LLAMA), "isolated"), pre.ByteLevel(add_prefix_space=False, use_regex=False)]
    ),
    "qwen2": pre.Sequence(
        [pre.Split(Regex(QWEN2), "isolated"), pre.ByteLevel(add_prefix_space=False, use_regex=False)]
    ),
    "gpt-4o": pre.Sequence(
        [pre.Split(Regex(GPT4O), "isolated"), pre.ByteLevel(add_prefix_space=False, use_regex=False)]
    ),
    "tekken": pre.Sequence(
        [pre.Split(Regex(TEKKEN), "isolated"), pre.ByteLevel(add_prefix_space=False, use_regex=False)]
    ),
    "default": pre.Sequence(
        [pre.Split(Regex(x), "isolated") for x in DEFAULT] + [pre.ByteLevel(add_prefix_space=False, use_regex=False)]
    ),
    "none": pre.ByteLevel(add_prefix_space=False, use_regex=False),
}

CONTROL, USER_DEFINED = 3, 4


class Vocabulary:
    """What a GGUF stores: tokens, their types, merges ("left right")."""

    def __init__(self, tokens, types, merges):
        self.tokens, self.types, self.merges = tokens, types, merges

    def tokenizer(self, name):
        """The reference tokenizer with the pre-tokenizer of that name."""
        t = Tokenizer(self.model(name))
        if name == "qwen2":
            t.normalizer = normalizers.NFC()
        t.pre_tokenizer = PRE_TOKENIZERS[name]
        t.decoder = decoders.ByteLevel()
        t.add_special_tokens(self.added(CONTROL))
        t.add_tokens(self.added(USER_DEFINED))
        return t

    def model(self, name):
        ids = {token: i for i, token in enumerate(self.tokens)}
        merges = [tuple(m.split(" ")) for m in self.merges]
        return models.BPE(ids, merges, ignore_merges=name in ("llama-bpe", "tekken"))

    def added(self, kind):
        control = kind == CONTROL
        return [
            AddedToken(t, special=control, normalized=False)
            for t, k in zip(self.tokens, self.types)
            if k == kind
        ]


def byte_alphabet():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(0x100 + i) for i, b in enumerate(rest)}


ALPHABET = byte_alphabet()


def isolate(expression, text):
    """The matches in text and what is between them, in order."""
    at = 0
    for match in regex.finditer(expression, text):
        if match.end() > match.start():
            yield from (p for p in (text[at : match.start()], match.group()) if p)
            at = match.end()
    if at < len(text):
        yield text[at:]


def encode_bytes(model, name, data):
    """The ids of bytes that may be no UTF-8, which Python's str, and so the
    tokenizers library, cannot hold: its BPE model, on pieces cut by its
    expression with each invalid byte as a character that is neither letter,
    number nor blank (a lone surrogate)."""
    text = data.decode("utf-8", "surrogateescape")
    expressions = {"smollm": [r"\p{N}", GPT2], "llama-bpe": [LLAMA], "qwen2": [QWEN2], "gpt-4o": [GPT4O], "tekken": [TEKKEN], "default": DEFAULT, "none": []}
    parts = [text]
    for expression in expressions.get(name, [GPT2]):
        parts = [piece for part in parts for piece in isolate(expression, part)]
    ids = []
    for part in parts:
        ids += [t.id for t in model.tokenize("".join(ALPHABET[b] for b in part.encode("utf-8", "surrogateescape")))]
    return ids


def load_gguf(path):
    fields = gguf.GGUFReader(path).fields
    vocabulary = Vocabulary(
        *(fields["tokenizer.ggml." + key].contents() for key in ("tokens", "token_type", "merges"))
    )
    return vocabulary, fields["tokenizer.chat_template"].contents()


def train_small(lines):
    """A vocabulary of 700 tokens trained on lines. It lacks the bytes that the
    lines do not hold, as SmolLM2's does."""
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_end|>!"]
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = PRE_TOKENIZERS["gpt-2"]
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=698, special_tokens=control, show_progress=False))
    model = json.loads(t.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    types = [CONTROL] * len(control) + [1] * (len(tokens) - len(control))
    tokens += ["<tool>", "    \t"]
    types += [USER_DEFINED] * 2
    return Vocabulary(tokens, types, [" ".join(m) for m in model["merges"]])


def write_json(path, value, entries):
    """Writes JSON with one line for each entry of the lists named."""
    out = io.StringIO()
    out.write("{\n")
    for i, (key, v) in enumerate(value.items()):
        out.write(",\n" if i else "")
        if key in entries:
            rows = ",\n".join(json.dumps(x, ensure_ascii=True, separators=(",", ":")) for x in v)
            out.write(f"{json.dumps(key)}: [\n{rows}\n]")
        else:
            out.write(f"{json.dumps(key)}: {json.dumps(v, ensure_ascii=True, separators=(',', ':'))}")
    out.write("\n}\n")
    path.write_text(out.getvalue())
    print(f"{path}: {path.stat().st_size} bytes")


# ---- classes.json


def ranges(points):
    out = []
    for c in points:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def write_classes(path):
    byte_level, digits = PRE_TOKENIZERS["gpt-2"], pre.Digits(individual_digits=True)
    found = {"letters": [], "numbers": [], "blanks": [], "digits": []}
    for c in range(0x110000):
        if 0xD800 <= c < 0xE000:
            continue
        if len(digits.pre_tokenize_str("a" + chr(c))) == 2:
            found["digits"].append(c)
        # A character joins the piece of its own class.
        for first, key in ("a", "letters"), ("1", "numbers"), ("!", None), ("", "blanks"):
            if len(byte_level.pre_tokenize_str(first + chr(c))) == 1:
                if key:
                    found[key].append(c)
                break
    write_json(path, {k: ranges(v) for k, v in found.items()}, ())


# ---- lines.json

OURS = [
    "",
    " ",
    "  ",
    "\n",
    "\n\n\n",
    " \n",
    "\n ",
    "\r\n\r\n",
    "\t\t\tindented",
    "a",
    " a",
    "  a",
    "a  ",
    "a \n b",
    "a\r\n  b\r\n\r\n\tc",
    "Hello, world!",
    "Hello,world!  Two blanks.   Three.",
    "I'm sure they'll say it's fine; don't you think we've seen he'd've gone? You're right.",
    "IT'S I'LL THEY'RE 'Tis 'twas ''s 's's'll'x",
    "it'\u017f and 'sx 'REx 'rx",
    "rock'n'roll 'quoted' ''double'' '",
    "1 12 123 1234 12345 3.14159 1,000,000 0x1F 1e-9 v1.2.3",
    "a1b22c333d4444e",
    " 1  2   3    4",
    "\u0661\u0662\u0663 \u0967\u0968\u0969 \u00bd\u00b2\u00b3 \u2167 \u2460\u2461 \u3007\u4e00\u4e8c",
    "x\u00b2+y\u00b2=z\u00b2",
    "def f(x):\n    return x ** 2  # square\n\n\nclass A(B):\n\tpass\n",
    "for (int i = 0; i < n; ++i) { a[i] += b[i] * c; } // loop",
    "if err != nil {\n\t\treturn nil, fmt.Errorf(\"open %s: %w\", path, err)\n\t}",
    "<div class=\"x\">\n  <p>text &amp; more</p>\n</div>",
    "SELECT * FROM t WHERE a >= 10 AND b LIKE '%x%';",
    "\\begin{equation} \\int_0^\\infty e^{-x^2}\\,dx = \\frac{\\sqrt{\\pi}}{2} \\end{equation}",
    "https://example.org/path?q=1&r=two#frag user@example.org",
    "----- ===== ***** ..... !!!! ???? _____ #####",
    "snake_case camelCase PascalCase kebab-case SCREAMING_SNAKE",
    "Caf\u00e9 na\u00efve r\u00e9sum\u00e9 fa\u00e7ade \u00c5ngstr\u00f6m Stra\u00dfe \u0130stanbul",
    "Cafe\u0301 e\u0301 A\u030angstro\u0308m \u1100\u1161\u11a8 \u212b \ufb01",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0413\u0434\u0435 12 \u043a\u043d\u0438\u0433?",
    "\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5 \u03ba\u03cc\u03c3\u03bc\u03b5",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u8fd9\u662f\u4e00\u4e2a\u6d4b\u8bd5\u3002",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3068\u30ab\u30bf\u30ab\u30ca\u30fc\u3001\uff11\uff12\uff13\u3002",
    "\ud55c\uad6d\uc5b4 \ud14d\uc2a4\ud2b8\uc785\ub2c8\ub2e4.",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645\u060c \u0643\u064a\u0641 \u062d\u0627\u0644\u0643\u061f \u0661\u0662\u0663",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01",
    "emoji: \U0001f600\U0001f44d\U0001f3fd \U0001f1e9\U0001f1ea \u2764\ufe0f \U0001f468\u200d\U0001f469\u200d\U0001f467 end",
    "math: \u2200x\u2208\u211d \u2203y \u2260 \u221e \U0001d49c\U0001d49d \u2264 \u2265",
    "blanks:\u00a0\u00a0nbsp\u2003em\u2009thin\u3000wide\u200bzero\u2028line\u2029par\u0085nel\u180e",
    "\ufeffbyte order mark \ufffd replaced \u00ad soft",
    "new letters \u1c89\ua7cb\U00010d4a\U00013460 digits \U00010d40\U00011de0\U00016ff5x \U0001ccf1 7",
    "control \x00\x01\x04\x07\x1b[0m\x7f bytes",
    "\U00040000 \U00080000 \U000c0000 \U0010ffff planes",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "a<|im_end|>!b<|im_end|> c<|im_end|",
    "<|endoftext|><|endoftext|> <|im_start|><|im_en<|im_end|>d|>",
    "call <tool>name</tool> or    \tindent<tool>",
    "x" * 200,
    "ab" * 300,
    " " * 300,
    " " * 37 + "x" + " " * 41 + "\n" + " " * 5,
    "\n" * 120 + "\t" * 50 + "end",
    "=" * 79 + "\n" + "-" * 79,
    "lorem ipsum " * 20,
    "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbaaaaaaaaaaaaaa",
]

BROKEN = [
    b"\xff",
    b"\xff\xfe\xfd",
    b"caf\xe9 na\xefve",
    b"cut \xe2\x82",
    b"cut \xf0\x9f\x98 then \xf0\x9f\x98\x80",
    b"surrogate \xed\xa0\x80 overlong \xc0\xaf \xe0\x80\xaf",
    b"past the end \xf4\x90\x80\x80 \xf5\x80",
    b"\x80\x80\x80 \x80a\x80 1\x802",
    b" \xff  \xff\n\xff\r\n",
    b"'\xffs don'\xfft",
    bytes(range(256)),
    bytes(range(255, -1, -1)),
]


def go_lines(goroot):
    """Lines and paragraphs of the Go standard library's documentation."""
    out = []
    for name in "fmt", "net/http", "text/template", "regexp/syntax", "encoding/json":
        for file in "doc.go", "encode.go":
            path = pathlib.Path(goroot, "src", *name.split("/"), file)
            if not path.exists():
                continue
            text = path.read_text()
            text = text[text.index("\n/*" if "\n/*" in text else "\n// Package") :].split("\npackage")[0]
            lines = [line for line in text.split("\n") if line.strip()]
            out += lines[:40]
            out.append("\n".join(lines[40:60]) + "\n\n" + "\n".join(lines[60:80]))
    return out


def random_lines(n):
    """Random runs of characters that the pre-tokenizers treat differently."""
    rng = random.Random(20240506)
    atoms = list("aZ1'st \n\r\t.-_") + ["  ", "\n\n", "'s", "'LL", " 12", "\u00e9", "e\u0301", "\u4e2d", "\u0663", "\u00bd"]
    atoms += ["\U0001f600", "\u00a0", "\u3000", "\u0085", " the", "ing", " of", "<tool>", "<|im_end|>"]
    return ["".join(rng.choice(atoms) for _ in range(rng.randint(1, 40))) for _ in range(n)]


def write_lines(path, model, goroot):
    texts = OURS + go_lines(goroot) + random_lines(150)
    small = train_small([t for t in texts if "\x00" not in t])
    plain, special = {}, {}
    for name in PRE_TOKENIZERS:
        special[name] = small.tokenizer(name)
        plain[name] = small.tokenizer(name)
        plain[name].encode_special_tokens = True
    smollm = model.tokenizer("smollm")
    smollm.encode_special_tokens = True

    lines = []
    for text in texts:
        line = {"text": text}
        for name, t in plain.items():
            line[name] = t.encode(text).ids
        marked = special["smollm"].encode(text).ids
        if marked != line["smollm"]:
            line["special"] = marked
        line["model"] = smollm.encode(text).ids
        lines.append(line)
    for data in BROKEN:
        line = {"bytes": base64.b64encode(data).decode()}
        for name in PRE_TOKENIZERS:
            line[name] = encode_bytes(small.model(name), name, data)
        line["model"] = encode_bytes(model.model("smollm"), "smollm", data)
        lines.append(line)
    value = {"tokens": small.tokens, "types": small.types, "merges": small.merges, "lines": lines}
    write_json(path, value, ("lines",))
    return small


# ---- data.json

LINES, DOCUMENTS = 800, 25


def texts_of(path):
    with zstandard.open(path, "rt", encoding="utf-8") as file:
        for row in file:
            row = json.loads(row)
            yield row.get("text") or row.get("passage") or row["question"]


def hash_ids(ids):
    return hashlib.sha256(struct.pack(f"<{len(ids)}I", *ids)).digest()[:8]


def write_data(path, model, data):
    """Of each file the first lines that are not blank, one by one, and the first
    documents whole: eight bytes each of SHA-256 over the ids as little-endian
    32-bit numbers."""
    t = model.tokenizer("smollm")
    t.encode_special_tokens = True
    value, count = {}, 0
    for file in sorted(pathlib.Path(data).glob("*.jsonl.zst")):
        lines, documents = [], []
        for text in texts_of(file):
            if len(documents) < DOCUMENTS:
                documents.append(text)
            lines += [line for line in text.split("\n") if line.strip()]
            if len(lines) >= LINES and len(documents) == DOCUMENTS:
                break
        lines = lines[:LINES]
        count += len(lines) + len(documents)
        pack = lambda texts: base64.b64encode(b"".join(hash_ids(t.encode(x).ids) for x in texts)).decode()
        value[file.name] = {"lines": pack(lines), "documents": pack(documents)}
    write_json(path, value, ())
    print(f"{count} texts")


# ---- chat.json

# In the manner of the templates of Llama 3, Qwen2.5, Mistral, Gemma, Phi-3 and Zephyr, cut down to what they do.
TEMPLATES = {
    "llama": """{{- bos_token }}
{%- if custom_tools is defined %}{% set tools = custom_tools %}{% endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|im_start|>system\\n\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|im_end|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|im_start|>' + message['role'] + '\\n\\n'+ message['content'] | trim + '<|im_end|>' }}
    {%- elif message.role == "tool" %}
        {{- "<|im_start|>ipython\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable and message.content is not string %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|im_end|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n\\n' }}
{%- endif %}
""",
    "qwen": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}{{ tools | tojson }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and not(message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- set reasoning = '' %}
        {%- if '</think>' in message.content %}
            {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
            {%- set reasoning = message.content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or (not loop.last and reasoning)) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "mistral": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set users = loop_messages | selectattr("role", "equalto", "user") | list %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message["role"] == "user") != (loop.index0 % 2 == 0) %}
        {{- raise_exception("roles must alternate user/assistant/user/assistant/...") }}
    {%- endif %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- else %}
        {{- raise_exception("only user and assistant roles, not " ~ message.role) }}
    {%- endif %}
{%- endfor %}
{{- users | length }}""",
    "gemma": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<|im_start|>' + role + '\n' + message['content'] | trim + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<|im_start|>model\n'}}{% endif %}""",
    "lines": """{% for message in messages %}
    {% if message['role'] == 'user' %}
<|im_start|>user
{{ message['content'] }}
<|im_end|>
    {% elif message['role'] == 'assistant' -%}
        <|im_start|>assistant
        {%+ if loop.last %}(last){% endif %}
{{ message['content'] + eos_token }}
    {% else %}
        {# nothing for others #}
    {% endif %}
{% endfor %}

{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}
""",
}

TALKS = [
    [("user", "Hello!")],
    [("system", "You are terse."), ("user", " What is 2+2? "), ("assistant", "\n4\n"), ("user", "And 12*12?\n")],
    [("user", "Write `fmt.Println(\"caf\u00e9\")`.\n\n\tNow."), ("assistant", "It's:\n```go\nfmt.Println(\"caf\u00e9\")\n```"), ("user", "\u8c22\u8c22 \U0001f600")],
    [("user", ""), ("assistant", ""), ("user", "   ")],
    [("user", "think"), ("assistant", "<think>\nhm\n</think>\n\nyes <tool>x</tool>"), ("user", "<tool>1</tool>")],
    [("user", "a"), ("user", "b")],
    [("tool", "{\"x\": 1}"), ("assistant", "x < 1 | y <"), ("developer", "<")],
    [("system", "s <b>"), ("assistant", "a"), ("user", "u")],
]

# Constructs and their values, errors included.
SNIPPETS = r"""
{{ 1 + 2 * 3 - 4 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 2.5 * 2 }} {{ -(1 + 1) }} {{ +3 }}
{{ 1.0 }} {{ 0.1 + 0.2 }} {{ 10.5 // 3 }} {{ 7.5 % 2 }} {{ -7.5 % 2 }}
{{ true }} {{ False }} {{ none }} {{ None }} {{ undefined_name }} {{ true + 1 }}
{{ 'a' + "b" ~ 1 ~ none ~ true }} {{ 'ab' * 3 }} {{ 'x' 'y' }} {{ 'it\'s' }} {{ "\n\t\\" }} {{ '\u00e9\x41' }}
{{ [1, 'a', none, true, 1.5] }} {{ (1, ) | list }} {{ {'a': 1, 'b': [2]} }} {{ [] }} {{ ["it's", 'q"', 'both\'"'] }}
{{ [1, 2] + [3] }} {{ [1, 2, 3][1:] }} {{ [1, 2, 3][::-1] }} {{ [1, 2, 3][-2:] }} {{ [1, 2, 3][:-1] }} {{ [1,2,3,4,5][::2] }} {{ [1,2,3,4,5][4:0:-2] }} {{ [1,2][5:] }}
{{ 'h\u00e9llo'[1] }} {{ 'hello'[-1] }} {{ 'h\u00e9llo'[1:3] }} {{ 'hello'[::-1] }} {{ ''[0] is defined }} {{ 'abc'[10:20] }}
{{ 1 < 2 }} {{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 'a' < 'b' }} {{ 1 == 1.0 }} {{ 1 == '1' }} {{ none == false }} {{ [1] == [1] }} {{ true == 1 }} {{ {'a': 1} == {'a': 1} }} {{ 1 != 2 }}
{{ 'a' in 'abc' }} {{ 'z' not in 'abc' }} {{ 1 in [1, 2] }} {{ 'role' in messages[0] }} {{ 'x' not in messages[0] }}
{{ not true }} {{ not '' and 'x' }} {{ '' or 'y' }} {{ 'a' and 'b' }} {{ 0 or none }} {{ not 1 == 2 }}
{{ 'yes' if true else 'no' }} {{ 'yes' if false }} {{ 'a' if false else 'b' if false else 'c' }} {{ ('x' if none else 'y') ~ 'z' }}
{{ messages is defined }} {{ nope is defined }} {{ nope is not defined }} {{ nope is undefined }} {{ messages[0].nope is defined }} {{ not nope is defined }}
{{ none is none }} {{ 1 is not none }} {{ 'a' is string }} {{ 1 is string }} {{ 1 is number }} {{ 1.5 is float }} {{ 1 is integer }} {{ true is boolean }} {{ {} is mapping }} {{ [] is mapping }} {{ [] is sequence }} {{ 'a' is iterable }} {{ 1 is iterable }}
{{ true is true }} {{ 1 is true }} {{ false is false }} {{ 'a' is equalto 'a' }} {{ 'a' is eq('b') }} {{ 3 is odd }} {{ 3 is even }} {{ 1 is in [1] }} {{ 1 is ne 2 }}
{{ '  x ' | trim }}| {{ 'xxaxx' | trim('x') }} {{ 'AbC' | lower }} {{ 'AbC' | upper }} {{ 'hELLO wORLD' | capitalize }} {{ 5 | string + 'a' }} {{ 'h\u00e9' | length }} {{ [1, 2] | count }} {{ {'a': 1} | length }}
{{ 'abc' | list }} {{ 'abc' | first }} {{ [1, 2] | last }} {{ [] | first is defined }} {{ nope | default('d') }} {{ '' | default('d') }} {{ '' | default('d', true) }} {{ none | d('x') }} {{ nope | length }}
{{ [1, 'a', none] | join(', ') }} {{ 'abc' | join('-') }} {{ 'aXbX' | replace('X', 'yy') }} {{ 'aaa'.replace('a', '') }} {{ ['a', 'b'] | join }} {{ 'abc' | replace('', '-') }}
{{ {'b': 1, 'a': [none, true, 1.5, 'x']} | tojson }} {{ 'q" \\ / < > & \' \u00e9 \x01 \n' | tojson }} {{ messages | tojson }} {{ [] | tojson }} {{ {} | tojson }} {{ 1 | tojson }}
{{ '  a '.strip() }}| {{ '  a '.lstrip() }}| {{ '  a '.rstrip() }}| {{ 'xxa'.lstrip('x') }} {{ 'a--'.rstrip('-') }} {{ 'Ab'.lower() }} {{ 'Ab'.upper() }} {{ 'ab'.capitalize() }}
{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ ''.split(',') }} {{ ''.split() }} {{ ' a  b  c '.split(none, 1) }} {{ 'abc'.startswith('ab') }} {{ 'abc'.endswith('x') }} {{ ', '.join(['a', 'b']) }}
{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}{{ {'a': 1}.get('a') }} {{ {'a': 1}.get('b') }} {{ {'a': 1}.get('b', 2) }} {{ {'a': 1}.keys() | list }} {{ {'a': 1}.values() | list }}{% for k, v in {'a': 1} | items %}{{ k }}{{ v }}{% endfor %}
{% for x in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}
{% for x in [] %}x{% else %}empty{% endfor %} {% for x in [1, 2, 3, 4] if x is even %}{{ x }}{{ loop.index }}{% endfor %} {% for x in nope %}x{% endfor %}
{% for x in 'h\u00e9' %}{{ x }},{% endfor %} {% for k in {'a': 1} %}{{ k }}{% endfor %} {% for i in range(3) %}{{ i }}{% endfor %} {% for i in range(5, 1, -2) %}{{ i }}{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }} {% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }} {{ ns.m is defined }}
{% if true %}{% set y = 2 %}{% endif %}{{ y }} {% set z %}a{{ y }}b{% endset %}{{ z }} {{ z | length }}
{% if 0 %}a{% elif '' %}b{% elif [] %}c{% else %}d{% endif %} {% if {} %}a{% endif %} {% if messages %}m{% endif %}
{% for m in messages | selectattr('role', 'equalto', 'user') %}{{ m.content }};{% endfor %} {{ messages | rejectattr('role', 'eq', 'user') | list | length }} {{ messages | selectattr('content') | list | length }}
a {%- if true %} b {% endif -%} c {{- ' d ' -}} e {#- f -#} g
{{ messages[-1]['content'] }} {{ messages[0]['nope'] }} {{ messages[99] is defined }} {{ bos_token }}{{ eos_token }}
{{ {'a': {'b': [1, {'c': 'deep'}]}}.a.b[1].c }} {{ {'a}}': '{{'} }} {{ '%}' }} { { } } {
{% generation %}x{% endgeneration %}
{% macro f(a, b='x') %}[{{ a }}{{ b }}]{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ f(b=3, a=4) }}{{ f() }}{{ f(1)|upper }}
{% macro f(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, 3, k=4) }}{{ f(1) }}
{% macro f(a) %}x{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}x{% endmacro %}{{ f(1, c=2) }}
{% macro f(n) %}{{ n }}{% if n > 0 %},{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(4) }}
{% set x = 1 %}{% macro f() %}{{ x }}{% set x = 5 %}{{ x }}{% endmacro %}{% set x = 2 %}{{ f() }}{{ x }}
{% macro wrap(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call wrap('b') %}in{{ 1 + 1 }}{% endcall %}
{% macro each(xs) %}{% for x in xs %}{{ caller(x, loop.index) }}{% endfor %}{% endmacro %}{% call(v, i) each(['p', 'q']) %}{{ i }}={{ v }};{% endcall %}
{% if tools %}{% macro g() %}{{ 1 }}{% endmacro %}{% endif %}{{ g is defined }}
{% if false %}{{ 'a' | nofilter }}{{ 'a' is notest }}{{ 'a'.nomethod() }}{{ nofunction() }}{% endif %}ok
{{ [1, 2, 3, 4] | select('odd') | list }} {{ [1, 2, 3] | reject('odd') | list }} {{ [0, 1, '', 'a'] | select | list }} {{ [0, 1] | reject | list }} {{ ['a', 'b'] | reject('equalto', 'a') | join(', ') }} {{ [1, 2, 3] | select('gt', 1) | list }} {{ [1, 2] | select('in', [2, 3]) | list }}
{{ messages | map(attribute='role') | join(',') }} {{ ['a', 'b'] | map('upper') | list }} {{ [' a '] | map('trim') | list }} {{ messages | map(attribute='nope', default='d') | list | first }} {{ ['ab', 'cb'] | map('replace', 'b', 'x') | join }} {{ [{'a': {'b': 1}}] | map(attribute='a.b') | list }}
{{ '3' | int + 1 }} {{ '3.7' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ 2.9 | int }} {{ '0x1f' | int(base=16) }} {{ none | int }} {{ true | int }} {{ '2.5' | float }} {{ 'x' | float }} {{ 3 | float }} {{ 'x' | float(1.5) }}
{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ 2.1 | round(method='ceil') }} {{ 2.9 | round(0, 'floor') }} {{ 42.55 | round(1) }} {{ 2.5 | round | int }} {{ 1234 | round(-2) }}
{{ -3 | abs }} {{ -2.5 | abs }} {{ 3 | abs }} {{ [3, 1, 2] | max }} {{ [3, 1, 2] | min }} {{ ['b', 'A', 'c'] | min }} {{ ['b', 'A'] | max }} {{ [] | max is defined }} {{ [{'a': 1}, {'a': 5}] | max(attribute='a') }}
{{ 'hello wORLD foo-bar (baz) it\'s' | title }} {{ "hello wORLD it's 3rd" .title() }} {{ '%s is %d' | format('a', 3) }} {{ '%05.2f|%-5s|%5s|%x|%%' | format(3.14159, 'ab', 'cd', 255) }} {{ '%(a)s-%(b)d' | format(a='x', b=2) }} {{ '%s and %s' % ('a', 'b') }} {{ '%s' % 'x' }} {{ '%r' % 'q' }} {{ '%+d % d' % (3, 4) }}
{{ '{} and {}'.format('a', 2) }} {{ '{1}{0}'.format('a', 'b') }} {{ '{x}-{y}'.format(x=1, y='z') }} {{ '{:>5}|{:<5}|{:^5}|{:05d}|{:.2f}|{{}}'.format('a', 'b', 'c', 42, 3.14159) }} {{ '{0[k]}{0.k}'.format({'k': 1}) if false else 'n' }}
{{ 'abcb'.find('b') }} {{ 'abcb'.rfind('b') }} {{ 'abc'.find('z') }} {{ 'abcb'.find('b', 2) }} {{ 'h\u00e9b'.find('b') }} {{ 'abc'.index('c') }} {{ 'banana'.count('an') }} {{ 'a\nb\r\nc\n'.splitlines() }} {{ 'a\nb'.splitlines(true) }} {{ 'a-b-c'.rsplit('-', 1) }} {{ ' a b  c '.rsplit(none, 1) }} {{ 'a-b-c'.rsplit('-') }}
{{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ 'abc'.removeprefix('x') }} {{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ 'abc'.partition('x') }} {{ 'aXbX'.replace('X', 'y', 1) }} {{ 'aaa' | replace('a', 'b', 2) }} {{ 'Ab'.swapcase() }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith(('x', 'c')) }}
{{ '12'.isdigit() }} {{ '1a'.isdigit() }} {{ ''.isdigit() }} {{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ 'AB'.isupper() }} {{ 'ab'.islower() }} {{ 'ab'.ljust(4) }}| {{ 'ab'.rjust(4, '*') }} {{ 'ab'.center(5, '-') }} {{ 'abc'.center(6, '-') }} {{ '-7'.zfill(4) }} {{ '7'.zfill(3) }} {{ 'ab' | center(6) }}|
{% for x in [1, 2, 3, 4] %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %} {% for x in [1, 2] %}{% for y in [1, 2] %}{% if y == 2 %}{% break %}{% endif %}{{ x }}{{ y }};{% endfor %}{% endfor %} {% for x in [1] %}{% break %}{% else %}e{% endfor %}
{% break %}
{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set (c, d) = [3, 4] %}{{ c }}{{ d }} {% set e = 1, 2 %}{{ e }} {% set f, (g, h) = 1, (2, 3) %}{{ f }}{{ g }}{{ h }} {% for i, (j, k) in [(1, (2, 3))] %}{{ i }}{{ j }}{{ k }}{% endfor %} {% for x in 1, 2 %}{{ x }}{% endfor %} {{ 1, 2 }} {{ (1,) }} {{ () }}
{% set a, b = [1] %}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }} {% set a = 5 %}{% with b = a, a = 6 %}{{ a }}{{ b }}{% endwith %}{{ a }} {% with %}x{% endwith %}
{% raw %}{{ x }}{% if %}{# #}{% endraw %} {%- raw -%}  y  {%- endraw -%}  z
{% filter upper %}ab{{ 'c' }}{% endfilter %} {% set x | trim | upper %}  a {% endset %}{{ x }} {% filter replace('a', 'b') | upper %}aXa{% endfilter %}
{{ {'a': [1, {'b': none}], 'c': {}, 'd': []} | tojson(indent=4) }}
{{ {'b': 1, 'a': '\u00e9"\\'} | tojson(sort_keys=true) }} {{ [1, 2] | tojson(separators=(',', ':')) }} {{ {'a': 1} | tojson(separators=(',', ':')) }} {{ '\u00e9\u4e2d\U0001f600' | tojson(ensure_ascii=true) }} {{ messages | tojson(indent=2) }} {{ (1, 'a') | tojson }} {{ {1: 2, none: 3} | tojson }} {{ 1e16 | tojson }} {{ 0.1 | tojson }}
{{ strftime_now('%d %b %Y') }} {{ strftime_now('%Y-%m-%d %H:%M:%S') }} {{ strftime_now('%B %A %a %j %y %I %p %%') }} {{ strftime_now('%-d %-m') }}
{{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }} {{ -2 ** 2 }} {{ 1_000 }} {{ 0x1f }} {{ 0b101 }} {{ 1e3 }} {{ 1.5e-5 }} {{ 1000000.0 }} {{ 1e22 }} {{ 123456789.125 }} {{ 1e16 }} {{ 0.0001 }} {{ 0.00001 }}
{{ [1, 2] * 2 }} {{ 3 * 'ab' if false else 'n' }} {{ (1, 2) + (3,) }} {{ [3, 1, 2] | sort }} {{ ['b', 'A', 'c'] | sort }} {{ ['b', 'A'] | sort(case_sensitive=true) }} {{ [1, 3, 2] | sort(reverse=true) }} {{ [{'a': 2}, {'a': 1}] | sort(attribute='a') }} {{ [1, 2, 1] | unique | list }} {{ ['a', 'A'] | unique | list }} {{ [1, 2] | sum }} {{ [{'a': 1}, {'a': 2}] | sum(attribute='a') }} {{ [1, 2] | sum(start=10) }}
{{ [1, 2, 3] | reverse | list }} {{ 'abc' | reverse }} {{ {'b': 1, 'a': 2} | dictsort }} {{ {'b': 1, 'a': 2} | dictsort(by='value') }} {{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 0) | list }} {{ [1, 2, 3, 4, 5] | slice(2) | list }} {{ {'a': 1}.items() | list }} {{ {'a': 1} | items | list }} {{ [(1, 2)] | list }} {{ ['a', 'b'] | first }} {{ messages | map(attribute='role') | unique | list }}
{{ 'a\nb\n\nc' | indent }}| {{ 'a\nb' | indent(2, true) }}| {{ 'a\n\nb' | indent(2, blank=true) }}| {{ 'x y  z' | wordcount }} {{ '<a href="x">&\'' | e }} {{ {'k': 1} | attr('nope') is defined }} {{ [[1, 2], [3]] | map('length') | list }} {{ [{'a': 1}, {'a': 2}] | join(',', attribute='a') }}
{{ 3 is divisibleby(3) }} {{ 3 is gt 2 }} {{ 3 is lessthan(2) }} {{ 1 is sameas 1 }} {{ 'a' is lower }} {{ 'A' is upper }} {{ 'upper' is filter }} {{ 'nofilter' is filter }} {{ 'odd' is test }} {{ range is callable }} {{ nope is iterable }} {{ nope is sequence }} {{ none is iterable }} {{ 1 is le 1 }} {{ 1 is ge 2 }} {{ (1,) is sequence }}
{{ dict(a=1, b='x') }} {{ namespace(a=1).a }} {% set ns = namespace({'x': 1}, y=2) %}{{ ns.x }}{{ ns.y }} {{ {'a': 1}['a'] }} {{ {1: 'x'}[1] }} {{ {'items': 3}['items'] }} {{ [1, 2, 3].index(2) }} {{ [1, 1].count(1) }} {{ [1, 2][0] }} {{ 'abc'.0 if false else 'n' }} {{ [5, 6].1 }}
{% for x in [1, [2, [3]]] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}.{{ loop.depth }}{% endif %}{% endfor %} {% for x in [1, 1, 2] %}{{ loop.changed(x) }}{{ loop.cycle('a', 'b') }}{% endfor %}
{{ 'a' if true }} {{ 'a' if false else 'b' if true }} {{ 1 if 2 if 0 else 3 }} {{ not [] is defined }} {{ 1 == 1 and 2 > 1 or false }} {{ [1, 2] < [1, 3] }} {{ 'b' > 'a' > '' }} {{ (1, 2) == (1, 2) }} {{ [1] == (1,) }} {{ none == none }} {{ nope == none }} {{ nope == nope2 }}
{{ 'a' ~ 1.0 ~ [1] ~ none }} {{ '\x41\101\u0042\n'|length if false else 'n' }} {{ "\t|\a|\b" }} {{ 'tab\tq' }} {{ "a\\nb" }} {{ '\d' }}
{% include 'x' %}
{% if false %}{% include 'x' %}{% endif %}ok
{% include %}
{% for x in [1, 2] %}{% set x = x * 2 %}{{ x }}{% endfor %} {% set ns = namespace(l=[]) %}{% for x in [1, 2] %}{% set ns.l = ns.l + [x] %}{% endfor %}{{ ns.l }} {% set ns.l, y = 3, 4 %}{{ ns.l }}{{ y }}
{{ [1, 2, 3].append(4) }}
{{ {'a': 1}.update({'b': 2}) }}
{{ messages[0].content.split(' ')[-1] }} {{ messages[1:][0].role }} {{ messages[::-1][0].content | trim }} {{ (messages | last).role }} {{ messages | length - 1 }} {{ loop is defined }}
{{ messages.nope.deeper }}
{{ nope.deeper }}
{{ nope['x'] }}
{{ raise_exception('no') }}
{{ 1 / 0 }}
{{ 'a' + 1 }}
{{ 1 < 'a' }}
{{ 'abc' | nofilter }}
{{ 'abc' is notest }}
{{ 1() }}
{{ nope() }}
{{ none.x.y }}
{{ [1, 2 }}
{{ 'open
{{ 1
{% if true %}
{% endif %}
{% for x in 1 %}{% endfor %}
{% for a, b in [[1]] %}{% endfor %}
{% unknown %}
{# open
{% set q.x = 1 %}
"""

BLANKS = [
    "a\n  {% if true %}\n  b\n  {% endif %}\n  c\n",
    "  {% if true %}  x  {% endif %}  \ny\n\n",
    "{% if true %}\n\n x{% endif %}\n{{ 'a' }}\n{{ 'b' }}",
    "{# c #}\n  {# d #}\nx {# e #}\ny",
    "a\r\nb\r{% if true %}\r\nc{% endif %}\r\n",
    "\t{%+ if true %}\n x {%- endif +%}\n y",
    "{% for i in [1,2] -%}\n  {{ i }}\n{%- endfor %}\n",
    " {{- 'a' }} \n {{ 'b' -}} \n c",
    "a {%- if true -%}\n   {% if true %}\nb{% endif %}{% endif %}",
    "{{ 'x' }}   {% if true %}\n{% endif %}|",
]


def jinja_environment():
    """As transformers sets it up for chat templates, on a day in 2024."""

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    class Generation(jinja2.ext.Extension):
        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.Scope(body, lineno=line)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = datetime.datetime(2024, 7, 6, 8, 9, 5, tzinfo=datetime.timezone.utc).strftime
    return environment


def render(environment, source, variables):
    """The rendered text, or None for an error."""
    try:
        return environment.from_string(source).render(**variables)
    except Exception:
        return None


def write_chat(path, model, template, small):
    environment = jinja_environment()
    small, model = small.tokenizer("smollm"), model.tokenizer("smollm")
    conversation = [{"role": role, "content": content} for role, content in TALKS[1]]
    variables = {"messages": conversation, "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>", "tools": None}
    snippets = [
        {"source": source, "text": render(environment, source, variables)}
        for source in SNIPPETS.strip().split("\n") + BLANKS
    ]
    cases = []
    for name, source in ({"smollm2": template} | TEMPLATES).items():
        for talk in TALKS:
            conversation = [{"role": role, "content": content} for role, content in talk]
            for prompt in False, True:
                text = render(environment, source, {
                    "messages": conversation, "add_generation_prompt": prompt, "tools": None, "documents": None,
                    "bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
                })
                case = {"template": name, "messages": conversation, "prompt": prompt, "text": text}
                if text is not None:
                    case["small"] = small.encode(text).ids
                    case["model"] = model.encode(text).ids
                cases.append(case)
    templates = {"smollm2": template} | TEMPLATES
    write_json(path, {"variables": variables, "snippets": snippets, "templates": templates, "cases": cases}, ("snippets", "cases"))


def main():
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    model, template = load_gguf(sys.argv[1])
    out = pathlib.Path(sys.argv[4])
    write_classes(out / "classes.json")
    small = write_lines(out / "lines.json", model, sys.argv[3])
    write_data(out / "data.json", model, sys.argv[2])
    write_chat(out / "chat.json", model, template, small)


if __name__ == "__main__":
    main()
