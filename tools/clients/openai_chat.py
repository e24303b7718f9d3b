"""Two questions with sources through openai-python: plain, by its stream helper, and asynchronously.

    python tools/clients/openai_chat.py MODEL      # OPENAI_BASE_URL and OPENAI_API_KEY say where
"""

import asyncio
import sys
import urllib.request

import openai

MODEL = sys.argv[1]
QUESTIONS = ["Where does the spare key of the boathouse hang?", "Who may lend it?"]
LIMITS = {"max_tokens": 48, "extra_body": {"flashback": {"stride": 8}}}


def passage(url):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {client.api_key}"})
    return urllib.request.urlopen(request).read().decode()


def seen(how, turn, text, annotations, usage):
    """Prints a turn, and ends the program where something of it is missing."""
    cited = {a.url_citation.url: a.url_citation for a in annotations}
    print(f"{how}, turn {turn}: {text.strip()!r}")
    for url, c in cited.items():
        print(f"    [{c.start_index}:{c.end_index}] {c.title} {url}")
    print(f"    {usage.prompt_tokens} tokens of the prompt, {usage.prompt_tokens_details.cached_tokens} of them reused")
    assert text.strip(), "an empty answer"
    assert cited, "no sources"
    for a in annotations:
        assert 0 <= a.url_citation.start_index < a.url_citation.end_index <= len(text), a
    assert turn == 1 or usage.prompt_tokens_details.cached_tokens > 0, "nothing of the first turn was reused"
    if turn == 1:
        assert "boathouse" in "".join(passage(url) for url in cited), "the passages do not say where the key is"


def plain():
    messages = []
    for turn, question in enumerate(QUESTIONS, 1):
        messages.append({"role": "user", "content": question})
        answer = client.chat.completions.create(model=MODEL, messages=messages, **LIMITS)
        message = answer.choices[0].message
        seen("plain", turn, message.content, message.annotations, answer.usage)
        messages.append({"role": "assistant", "content": message.content})
    return [m["content"] for m in messages]


def helper():
    """The helper puts deltas together by their index and sums numbers."""
    messages = []
    for turn, question in enumerate(QUESTIONS, 1):
        messages.append({"role": "user", "content": question})
        with client.chat.completions.stream(model=MODEL, messages=messages, stream_options={"include_usage": True}, **LIMITS) as stream:
            deltas = "".join(e.delta for e in stream if e.type == "content.delta")
            answer = stream.get_final_completion()
        message = answer.choices[0].message
        assert deltas == message.content
        seen("stream()", turn, message.content, message.annotations, answer.usage)
        messages.append({"role": "assistant", "content": message.content})
    return [m["content"] for m in messages]


async def asynchronous():
    """Chunks as they come."""
    messages = []
    async with openai.AsyncOpenAI() as client:
        for turn, question in enumerate(QUESTIONS, 1):
            messages.append({"role": "user", "content": question})
            text, annotations, usage = "", [], None
            stream = await client.chat.completions.create(model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True}, **LIMITS)
            async for chunk in stream:
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    annotations += [openai.types.chat.chat_completion_message.Annotation.model_validate(a) for a in getattr(choice.delta, "annotations", None) or []]
            seen("async", turn, text, annotations, usage)
            messages.append({"role": "assistant", "content": text})
    return [m["content"] for m in messages]


client = openai.OpenAI()
assert MODEL in [m.id for m in client.models.list()], "the model is not listed"
texts = [plain(), helper(), asyncio.run(asynchronous())]
assert texts[0] == texts[1] == texts[2], "the three ways do not write the same"
try:
    client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x"}], extra_body={"flashback": {"strid": 8}})
    sys.exit("a key that nobody knows was taken")
except openai.BadRequestError as e:
    print(f"a wrong key of the object: {e.status_code} {e.code} {e.body['message']}")
print("ok: openai", openai.__version__)
