"""Two questions with sources through the ollama client, plain and as a stream.

    python tools/clients/ollama_chat.py MODEL      # OLLAMA_HOST says where
"""

import importlib.metadata
import sys

import ollama

MODEL = sys.argv[1]
QUESTIONS = ["Where does the spare key of the boathouse hang?", "Who may lend it?"]
OPTIONS = {"num_predict": 48, "temperature": 0, "num_ctx": 4096}


def converse(stream):
    messages = []
    for turn, question in enumerate(QUESTIONS, 1):
        messages.append({"role": "user", "content": question})
        if stream:
            parts = list(ollama.chat(MODEL, messages, stream=True, options=OPTIONS))
            text, last = "".join(p.message.content for p in parts), parts[-1]
            assert len(parts) > 2 and not any(p.done for p in parts[:-1]), parts
        else:
            last = ollama.chat(MODEL, messages, options=OPTIONS)
            text = last.message.content
        print(f"{'stream' if stream else 'plain'}, turn {turn}: {text.strip()!r}")
        print(f"    {last.prompt_eval_count} tokens of the prompt, {last.eval_count} written in {last.total_duration / 1e9:.2f} s")
        assert last.done and last.done_reason == "stop" and last.eval_count > 0, last
        assert "\n\nSources:\n[1] " in text and "/passages/" in text, "no sources"
        messages.append({"role": "assistant", "content": text})
    return [m["content"] for m in messages]


names = [m.model for m in ollama.list().models]
assert MODEL in names, names
shown = ollama.show(MODEL)
print(f"{', '.join(names)}: {shown.modelinfo['general.architecture']}, {', '.join(shown.capabilities)}; loaded: {ollama.ps().models[0].model}")
assert converse(False) == converse(True), "the two ways do not write the same"
base = MODEL.split("@")[0]
print(f"generate: {ollama.generate(base, 'Say hello.', options=OPTIONS).response.strip()!r}")
print(f"raw: {ollama.generate(base, 'The capital of France is', raw=True, options=OPTIONS).response[:40]!r}")
for what, wrong in {"embed": lambda: ollama.embed(base, "x"), "an unknown model": lambda: ollama.chat("absent", [{"role": "user", "content": "x"}])}.items():
    try:
        wrong()
        sys.exit(f"{what}: it was taken")
    except ollama.ResponseError as e:
        print(f"{what}: {e.status_code} {e.error}")
print("ok: ollama", importlib.metadata.version("ollama"))
