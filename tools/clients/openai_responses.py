"""Two questions with sources through openai-python's Responses API: plain, as events, and by its stream helper.

    python tools/clients/openai_responses.py MODEL INDEX      # OPENAI_BASE_URL and OPENAI_API_KEY say where
"""

import sys
import urllib.request

import openai

MODEL, INDEX = sys.argv[1:]
QUESTIONS = ["Where does the spare key of the boathouse hang?", "Who may lend it?"]
SEARCH = {"type": "file_search", "vector_store_ids": [INDEX], "max_num_results": 2}
ASKED = {"model": MODEL, "tools": [SEARCH], "max_output_tokens": 48, "store": False, "extra_body": {"flashback": {"stride": 8}}}


def passage(url):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {client.api_key}"})
    return urllib.request.urlopen(request).read().decode()


def seen(how, turn, response):
    """Prints a turn, and ends the program where something of it is missing."""
    text, usage = response.output_text, response.usage
    searched = [item for item in response.output if item.type == "file_search_call"]
    cited = [a for item in response.output if item.type == "message" for part in item.content for a in part.annotations]
    print(f"{how}, turn {turn}: {text.strip()!r}")
    for c in {(c.filename, c.url): c for c in cited}.values():
        print(f"    [{c.start_index}:{c.end_index}] {c.filename}: {c.title} {c.url}")
    print(f"    {usage.input_tokens} tokens of the input, {usage.input_tokens_details.cached_tokens} of them reused")
    assert text.strip() and response.status == "completed", response
    assert len(searched) == 1 and searched[0].queries, "it is not told what was looked up"
    assert cited and all(c.type == "file_citation" for c in cited), "no sources"
    assert all(0 <= c.start_index < c.end_index == c.index <= len(text) for c in cited), cited
    assert turn == 1 or usage.input_tokens_details.cached_tokens > 0, "nothing of the first turn was reused"
    if turn == 1:
        assert "boathouse" in "".join(passage(c.url) for c in cited), "the passages do not say where the key is"


def plain(conversation):
    return client.responses.create(input=conversation, include=["file_search_call.results"], **ASKED)


def events(conversation):
    """Puts the answer together from the events, whose numbers count."""
    text, cited, last = "", [], None
    for n, event in enumerate(client.responses.create(input=conversation, stream=True, **ASKED)):
        assert event.sequence_number == n, event
        last = event
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type == "response.output_text.annotation.added":
            cited.append(event.annotation)
    assert last.type == "response.completed" and text == last.response.output_text, last
    assert len(cited) == len(last.response.output[-1].content[0].annotations), cited
    return last.response


def helper(conversation):
    with client.responses.stream(input=conversation, **ASKED) as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        response = stream.get_final_response()
    assert text == response.output_text
    return response


def converse(how):
    """The items of an answer are sent back as they came."""
    conversation, texts = [], []
    for turn, question in enumerate(QUESTIONS, 1):
        conversation.append({"role": "user", "content": question})
        response = how(conversation)
        seen(how.__name__, turn, response)
        conversation += [item.model_dump(exclude={"parsed"}) for item in response.output]
        texts.append(response.output_text)
    return texts


client = openai.OpenAI()
texts = [converse(plain), converse(events), converse(helper)]
assert texts[0] == texts[1] == texts[2], "the three ways do not write the same"
for wrong in {"store": True}, {"previous_response_id": "resp_1"}, {"tools": [{"type": "web_search"}]}:
    try:
        client.responses.create(**{**ASKED, "input": "x", **wrong})
        sys.exit(f"{wrong} was taken")
    except openai.BadRequestError as e:
        print(f"{next(iter(wrong))}: {e.status_code} {e.code} {e.body['message']}")
print("ok: openai", openai.__version__)
