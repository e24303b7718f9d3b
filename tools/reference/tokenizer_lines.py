"""Ids of 20,000 texts by Hugging Face's tokenizers, which internal/model compares ours with.

    python tools/reference/tokenizer_lines.py OUT DATA NAME=TOKENIZER.json[,MODEL.gguf]|MODEL.gguf ...
    FLASHBACK_TOKENIZERS=OUT go test ./internal/model -run TestTokenizersOfAFolder -v

DATA is the folder of text data (its README describes it). Each NAME becomes a
folder of OUT with the tokenizer.json and its tokenizer_config.json, if there is
one, and, where a GGUF is named, a link to that, whose tokenizer must give the
same. Of a GGUF alone the reference is built from its vocabulary, merges or scores, as
the tokenizer.json of its kind does it. texts.jsonl has the texts, NAME.jsonl their ids: plain, with special tokens
as plain text, and special, with those recognised, where that differs.
"""

import json
import pathlib
import random
import shutil
import sys

import zstandard
from tokenizers import AddedToken, Tokenizer

N = 20_000

# A sentence in each of 24 scripts: the first article of the Universal Declaration of Human Rights or a greeting.
SCRIPTS = """
All human beings are born free and equal in dignity and rights.
Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.
Все люди рождаются свободными и равными в своем достоинстве и правах.
Բոլոր մարդիկ ծնվում են ազատ ու հավասար իրենց արժանապատվությամբ ու իրավունքներով։
ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებითა და უფლებებით.
כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.
يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.
सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।
সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে।
ਸਾਰਾ ਮਨੁੱਖੀ ਪਰਿਵਾਰ ਆਪਣੀ ਮਹਿਮਾ, ਸ਼ਾਨ ਅਤੇ ਹੱਕਾਂ ਦੇ ਪੱਖੋਂ ਜਨਮ ਤੋਂ ਹੀ ਆਜ਼ਾਦ ਹੈ।
પ્રતિષ્ઠા અને અધિકારોની દૃષ્ટિએ સર્વ માનવો જન્મથી સ્વતંત્ર અને સમાન હોય છે.
மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்.
ప్రతిపత్తిస్వత్వముల విషయమున మానవులెల్లరును జన్మతః స్వతంత్రులును సమానులును నగుదురు.
ಎಲ್ಲಾ ಮಾನವರೂ ಸ್ವತಂತ್ರರಾಗಿಯೇ ಜನಿಸಿದ್ದಾರೆ.
മനുഷ്യരെല്ലാവരും തുല്യാവകാശങ്ങളോടും അന്തസ്സോടും സ്വാതന്ത്ര്യത്തോടുംകൂടി ജനിച്ചവരാണ്.
සියලු මනුෂ්‍යයෝ නිදහස්ව උපත ලබා ඇත.
มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ
ມະນຸດທຸກຄົນເກີດມາມີກຽດສັກສີ, ສິດທິ, ເສລີພາບແລະຄວາມສະເໝີພາບເທົ່າທຽມກັນ.
လူတိုင်းသည် တူညီ လွတ်လပ်သော ဂုဏ်သိက္ခာဖြင့် လည်းကောင်း၊ မွေးဖွားလာသူများ ဖြစ်သည်။
មនុស្សទាំងអស់កើតមកមានសេរីភាព និងសមភាពក្នុងផ្នែកសេចក្ដីថ្លៃថ្នូរនិងសិទ្ធិ។
人人生而自由，在尊严和权利上一律平等。
すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。
모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.
የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው።
""".strip().split("\n")

HOSTILE = [
    "", " ", "  ", "\n", "\t", "\r\n", "\u00a0", "\u3000", "\u200b", "\ufeffx", "\x00", "a\x00b", "\x7f\x1b[0m",
    "a" * 3000, "ab" * 2000, " " * 3000, "\n" * 3000, "\t \n" * 900, "." * 3000, "\u0301" * 25, "e\u0301" * 500, "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 100,
    "\u2581", "\u2581\u2581 \u2581a\u2581b", " \u2581 ", "a\u2581 b", "<0x41>", "<0xE2><0x96>", "<s>", "</s><s> x", "<unk>", "<pad>a<pad>", "[INST] x [/INST]",
    "<|im_start|>user\nHi<|im_end|>", "<|begin_of_text|><|eot_id|> x <|eot_id|>", "<bos><start_of_turn>user\nHi<end_of_turn>\n", "<|endoftext|> <|endoftext|>",
    "<|im_", "im_end|>", "<|<|im_end|>|>", "'s'T'RE'll 'Ve''d", "it\u017f 'ſ", "1234567890" * 100, "\u0661\u0662\u0663\u0664", "\u00bd\u00b2\u2167\u4e09",
    "\ud7ff\ue000\U0010ffff\U000f0000", "\u1100\u1161\u11a8 \u212b \ufb01 \u00c5 A\u030a", "x\u0338\u0315\u0300\u05ae\u0301", "\u0344\u0f73", "\u2028\u2029\u0085\u180e",
    "ﷺ" * 50, "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ℌ", "ＡＢＣ１２３", "ⅷ ⑳ ㍿", "🏳️‍🌈👩🏽‍🚀🇩🇪", "\u202e abc \u202c", "ᚠᛇᚻ᛫ᛒᛦᚦ", "𓀀𓀁𓂀", "ꦲꦏ꧀ꦱꦫ", "ᠮᠣᠩᠭᠣᠯ", "ܐܪܡܝܐ", "བོད་ཡིག", "ᏣᎳᎩ", "ᐃᓄᒃᑎᑐᑦ",
]

CODE = """\
def f(x):\n    return [i ** 2 for i in range(x) if i % 2 == 0]  # squares
\tfor (int i = 0; i < n; ++i) { a[i] += b[i] * c; } // loop
if err != nil {\n\t\treturn nil, fmt.Errorf("open %s: %w", path, err)\n\t}
<div class="x">\n  <p>text &amp; more</p>\n</div>
SELECT a, COUNT(*) FROM t WHERE b LIKE '%x%' GROUP BY a HAVING COUNT(*) > 1;
\\begin{equation} \\int_0^\\infty e^{-x^2}\\,dx = \\frac{\\sqrt{\\pi}}{2} \\end{equation}
{"key": [1, 2.5e-3, null, true], "nested": {"a": "b\\n"}}
fn main() -> Result<(), Box<dyn Error>> { let v: Vec<_> = (0..10).collect(); Ok(()) }
#!/bin/sh\nset -e\nfor f in *.txt; do sed -i 's/a/b/g' "$f"; done
https://example.org/a_b-c/d.e?f=g&h=%20i#j
camelCaseWord PascalCaseWord snake_case_word kebab-case-word SCREAMING_CASE iPhone15Pro
2024-05-06T07:08:09.123Z +49 (0)89 1234-5678 $1,234.56 3.14159e-10 0xDEADBEEF""".split("\n")


def data_lines(folder):
    """The lines of every set, in turns."""
    sets = []
    for file in sorted(pathlib.Path(folder).glob("*.jsonl.zst")):
        lines = []
        with zstandard.open(file, "rt", encoding="utf-8") as rows:
            for row in rows:
                row = json.loads(row)
                lines += [line for line in (row.get("text") or row.get("passage") or row["question"]).split("\n") if line.strip()]
                if len(lines) > 3000:
                    break
        sets.append(lines)
    for i in range(3000):
        for lines in sets:
            if i < len(lines):
                yield lines[i]


def texts(folder):
    rng = random.Random(17)
    out = HOSTILE + SCRIPTS + [c.encode().decode("unicode_escape") if "\\n" in c or "\\t" in c else c for c in CODE]
    atoms = list("aZ1'st \n\r\t.-_▁<>|/") + ["  ", "\n\n", "'s", "'LL", " 12", "é", "e\u0301", "中", "\u0663", "½", "😀", "\u00a0", "\u3000", "\u0085", " the", "ing", "</s>", "<|im_end|>", "<eos>", "\u0f73", "ß", "Ǆ"]
    out += ["".join(rng.choice(atoms) for _ in range(rng.randint(1, 40))) for _ in range(3000)]
    words = " ".join(SCRIPTS).split(" ") + " ".join(CODE).split(" ")
    out += [rng.choice(["", " ", "\n"]).join(rng.choice(words) for _ in range(rng.randint(2, 30))) for _ in range(2000)]
    out += ["".join(chr(rng.choice([rng.randint(1, 0x2FF), rng.randint(0x300, 0x2FFF), rng.randint(0x3000, 0xD7FF), rng.randint(0xE000, 0x3FFFF)])) for _ in range(rng.randint(1, 30))) for _ in range(1000)]
    for line in data_lines(folder):
        if len(out) >= N:
            break
        out.append(line)
    return out


def from_gguf(path):
    """Hugging Face's tokenizer with the vocabulary of a GGUF."""
    import gguf

    import sentencepiece_lines
    from tokenizer import Vocabulary

    fields = gguf.GGUFReader(path).fields
    get = lambda key: fields["tokenizer.ggml." + key].contents() if "tokenizer.ggml." + key in fields else None
    tokens, types = get("tokens"), get("token_type")
    if get("model") == "llama":
        t = sentencepiece_lines.bpe(tokens, types, get("scores"), get("add_space_prefix") is not False)
        strips = fields["general.architecture"].contents() == "phi3"
        for token, kind in zip(tokens, types):
            if kind == sentencepiece_lines.CONTROL or kind == sentencepiece_lines.UNKNOWN:
                strip = strips and token not in ("<unk>", "<s>", "<|endoftext|>")
                t.add_special_tokens([AddedToken(token, special=True, normalized=False, rstrip=strip)])
            elif kind == sentencepiece_lines.USER_DEFINED:
                t.add_tokens([AddedToken(token, special=False, normalized=False, rstrip=strips and token == "</s>")])
        return t
    pre = get("pre")
    names = {"mpt": "gpt-2", "starcoder": "smollm", "refact": "smollm", "command-r": "smollm", None: "default"}
    return Vocabulary(tokens, types, get("merges")).tokenizer(names.get(pre, pre))


def main():
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    lines = texts(sys.argv[2])
    with open(out / "texts.jsonl", "w") as file:
        for line in lines:
            file.write(json.dumps(line) + "\n")
    for argument in sys.argv[3:]:
        name, files = argument.split("=", 1)
        source, _, model = files.partition(",")
        folder = out / name
        folder.mkdir(exist_ok=True)
        for file in "tokenizer.json", "tokenizer_config.json":
            path = pathlib.Path(source).parent / file
            if path.exists() and not (folder / file).exists():
                shutil.copy(path, folder / file)
        link = out / (name + ".gguf")
        link.unlink(missing_ok=True)
        if model:
            link.symlink_to(pathlib.Path(model).resolve())
        if source.endswith(".gguf"):
            shutil.rmtree(folder)
            link.symlink_to(pathlib.Path(source).resolve())
        special, plain = (from_gguf(source) if source.endswith(".gguf") else Tokenizer.from_file(source) for _ in range(2))
        plain.encode_special_tokens = True
        with open(out / (name + ".jsonl"), "w") as file:
            for line in lines:
                row = {"plain": plain.encode(line, add_special_tokens=False).ids}
                marked = special.encode(line, add_special_tokens=False).ids
                if marked != row["plain"]:
                    row["special"] = marked
                file.write(json.dumps(row, separators=(",", ":")) + "\n")
        print(f"{name}: {len(lines)} texts")


if __name__ == "__main__":
    main()
