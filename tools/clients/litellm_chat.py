"""Two questions with sources through litellm.

    python tools/clients/litellm_chat.py MODEL      # OPENAI_BASE_URL and OPENAI_API_KEY say where
"""

import importlib.metadata
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it fetches a list of prices
import litellm

litellm.suppress_debug_info = True
QUESTIONS = ["Where does the spare key of the boathouse hang?", "Who may lend it?"]


def ask(how):
    messages = []
    for turn, question in enumerate(QUESTIONS, 1):
        messages.append({"role": "user", "content": question})
        options = {"model": "openai/" + sys.argv[1], "messages": messages, "max_tokens": 48, "extra_body": {"flashback": {"stride": 8}}}
        if how == "stream":
            chunks = list(litellm.completion(**options, stream=True, stream_options={"include_usage": True}))
            answer = litellm.stream_chunk_builder(chunks, messages=messages)
            annotations = [a for c in chunks for choice in c.choices for a in getattr(choice.delta, "annotations", None) or []]
        else:
            answer = litellm.completion(**options)
            annotations = answer.choices[0].message.annotations
        text = answer.choices[0].message.content
        reused = answer.usage.prompt_tokens_details.cached_tokens
        print(f"{how}, turn {turn}: {text.strip()!r}")
        for url, title in {a["url_citation"]["url"]: a["url_citation"]["title"] for a in annotations}.items():
            print(f"    {title} {url}")
        print(f"    {answer.usage.prompt_tokens} tokens of the prompt, {reused} of them reused")
        assert text.strip() and annotations, "no answer, or no sources"
        assert turn == 1 or reused > 0, "nothing of the first turn was reused"
        messages.append({"role": "assistant", "content": text})
    return [m["content"] for m in messages]


assert ask("completion") == ask("stream"), "the two ways do not write the same"
print("ok: litellm", importlib.metadata.version("litellm"))
