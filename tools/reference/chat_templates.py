"""What transformers renders chat templates to, for internal/tokenizer/jinja.

    python tools/reference/chat_templates.py OUT.json [--free] FILE.jinja|tokenizer_config.json|MODEL.gguf ...

Each file is a template or has one. OUT.json holds the templates, six conversations,
and for each of both, with and without the beginning of an answer behind it, what
transformers' own renderer gives, or null where the template refuses. With --free only
templates that may be passed on are taken (those of models under the Apache and MIT
licences): internal/tokenizer/jinja/testdata/templates.json was made so. Any file that
the script writes is compared by

    FLASHBACK_TEMPLATES=OUT.json go test ./internal/tokenizer/jinja -run TestPublished -v
"""

import datetime
import json
import pathlib
import sys

from transformers.utils import chat_template_utils

FREE = ["Qwen", "SmolLM", "Phi-3.5", "Mistral-Nemo", "granite-granite-3.3", "gpt-oss", "qwen", "smollm", "DeepSeek-R1-Distill-Qwen"]

CONVERSATIONS = [
    [("user", "Hello!")],
    [("system", "You are terse."), ("user", " What is 2+2? ")],
    [("user", "Write `fmt.Println(\"café\")`.\n\n\tNow."), ("assistant", "It's:\n```go\nfmt.Println(\"café\")\n```\n"), ("user", "谢谢 😀")],
    [("system", "Speak <b>Latin</b> & \"quote\"."), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"), ("user", "e\n")],
    [("user", "think"), ("assistant", "<think>\nhm\n</think>\n\nyes"), ("user", "again"), ("assistant", "no")],
    [("system", ""), ("user", "x" * 40 + "\n\n" + "y" * 40), ("assistant", ""), ("user", "{{ not a template }} {% nor this %} <|im_end|>")],
]


class Day(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 6, 8, 9, 5)


def source(path):
    if path.suffix == ".jinja":
        return path.read_text()
    if path.suffix == ".json":
        return json.loads(path.read_text()).get("chat_template")
    import gguf

    field = gguf.GGUFReader(path).fields.get("tokenizer.chat_template")
    return field and field.contents()


def main():
    arguments = sys.argv[1:]
    if len(arguments) < 2:
        raise SystemExit(__doc__)
    out = pathlib.Path(arguments.pop(0))
    free = "--free" in arguments
    chat_template_utils.datetime = Day  # strftime_now
    value = {"conversations": [[{"role": r, "content": c} for r, c in talk] for talk in CONVERSATIONS], "templates": []}
    for argument in arguments:
        path = pathlib.Path(argument)
        if argument == "--free" or free and not any(f in str(path) for f in FREE):
            continue
        name = path.stem if path.suffix == ".jinja" else path.parent.name + "/" + path.name
        template = source(path)
        if not isinstance(template, str):
            continue
        texts = []
        for talk in value["conversations"]:
            for prompt in False, True:
                try:
                    made, _ = chat_template_utils.render_jinja_template(
                        conversations=[talk], tools=None, documents=None, chat_template=template, add_generation_prompt=prompt,
                        bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>",
                    )
                    texts.append(made[0])
                except Exception as e:
                    texts.append(None)
        value["templates"].append({"name": name, "source": template, "texts": texts})
        print(name, sum(t is not None for t in texts))
    out.write_text(json.dumps(value, ensure_ascii=True, indent=0))
    print(f"{out}: {out.stat().st_size} bytes, {len(value['templates'])} templates")


if __name__ == "__main__":
    main()
