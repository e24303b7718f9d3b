"""Tries on a running server what users of other servers complain of; docs/complaints.md says where and what came out.

    python tools/clients/complaints.py URL MODEL INDEX      # a server of its own, with --library, --ollama and the notes as INDEX
"""

import http.client
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

URL, MODEL, INDEX = sys.argv[1:]


def ask(path, body=None, method=None, raw=None, kind="application/json"):
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, {"Content-Type": kind}, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read())


def chat(messages, index=INDEX, **more):
    status, answer = ask("/v1/chat/completions", {"model": f"{MODEL}@{index}" if index else MODEL, "messages": messages, **more})
    assert status == 200, answer
    return answer


def user(text):
    return {"role": "user", "content": text}


def prefix():
    """Each turn's passages void what was cached of the conversation."""
    messages = []
    for question in ["Where does the spare key of the boathouse hang?", "Who may lend it?", "Where does the key of the fuel store lie?", "What else is in the safe?"]:
        messages.append(user(question))
        answer = chat(messages, max_tokens=40)
        usage = answer["usage"]
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        print(f"    turn {len(messages) // 2 + 1}: {usage['prompt_tokens']} tokens of the conversation, {cached} of them kept, {answer['flashback']['counts'].get('evidence', 0)} of passages beside it")
        if len(messages) > 1:
            assert cached >= before // 32 * 32, "kept is less than whole pages of the conversation so far"
        messages.append({"role": "assistant", "content": answer["choices"][0]["message"]["content"]})
        before = usage["prompt_tokens"]


def truncation():
    """A conversation that does not fit is cut without a word."""
    long = [user("The password is ANANAS-7734. " + "Nothing more is known. " * 4000 + "What is the password?")]
    for path, body in {"/v1/chat/completions": {"model": MODEL, "messages": long}, "/v1/responses": {"model": MODEL, "input": long[0]["content"]},
                       "/api/chat": {"model": MODEL, "messages": long, "stream": False}}.items():
        status, answer = ask(path, body)
        error = answer["error"]
        print(f"    {path}: {status} {error if isinstance(error, str) else error['code'] + ': ' + error['message']}")
        assert status == 400


def disconnect():
    """A client that goes away is written for until the end."""
    host = urllib.parse.urlsplit(URL)
    connection = http.client.HTTPConnection(host.hostname, host.port)
    connection.request("POST", "/v1/chat/completions", json.dumps({"model": MODEL, "messages": [user("Count.")], "max_tokens": 4000, "ignore_eos": True, "stream": True}), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read(2000)
    assert len(ask("/slots")[1]) == 1
    began = time.time()
    answer.close()
    connection.close()
    while ask("/slots")[1]:
        assert time.time() - began < 10, "it is still written for"
        time.sleep(0.005)
    print(f"    of 4,000 tokens asked for, nothing runs {1000 * (time.time() - began):.0f} ms after the client has closed")


def characters():
    """What ends within a character has replacement characters, in a stream or not."""
    prompt, lengths, within = "\U0001f600\U0001f680" * 6, range(1, 13), 0
    for n in lengths:
        body = {"model": MODEL, "prompt": prompt, "max_tokens": n, "temperature": 0}
        whole = ask("/v1/completions", body)[1]["choices"][0]["text"]
        request = urllib.request.Request(URL + "/v1/completions", json.dumps({**body, "stream": True}).encode(), {"Content-Type": "application/json"})
        parts = [json.loads(line[6:])["choices"] for line in urllib.request.urlopen(request).read().decode().split("\n") if line.startswith("data: {")]
        streamed = "".join(p[0]["text"] for p in parts if p)
        tokens = len(ask("/tokenize", {"content": prompt + whole})[1]["tokens"]) - len(ask("/tokenize", {"content": prompt})[1]["tokens"])
        within += tokens < n
        assert whole == streamed and "\ufffd" not in whole, (n, whole, streamed)
    print(f"    {len(lengths)} lengths, {within} of which end within a character: no replacement character, whole and streamed alike; the last is {whole!r}")
    assert within, "none of the lengths ends within a character"


def deletion():
    """What was taken out of a collection is still found."""
    boundary = "xxBOUNDARYxx"
    form = (f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n--{boundary}\r\n'
            f'Content-Disposition: form-data; name="file"; filename="marker.md"\r\n\r\n# Marker\n\nThe marker of the north pier is ZEBRA-12345.\r\n--{boundary}--\r\n').encode()
    _, file = ask("/v1/files", raw=form, kind=f"multipart/form-data; boundary={boundary}")
    ask(f"/v1/vector_stores/{INDEX}/files", {"file_id": file["id"]})
    while (state := ask(f"/v1/vector_stores/{INDEX}/files/{file['id']}")[1])["status"] == "in_progress":
        time.sleep(0.05)
    assert state["status"] == "completed", state

    def found():
        hits = ask(f"/v1/vector_stores/{INDEX}/search", {"query": "marker of the north pier"})[1]["data"]
        return [h["url"] for h in hits if "ZEBRA" in h["content"][0]["text"]]

    messages = [user("What is the marker of the north pier?")]
    with_it = chat(messages, max_tokens=30)["choices"][0]["message"]["content"]
    url = found()[0]
    print(f"    with the document: {with_it.strip()!r}")
    assert "ZEBRA" in with_it
    assert ask(f"/v1/vector_stores/{INDEX}/files/{file['id']}", method="DELETE")[0] == 200
    without = chat(messages, max_tokens=30)
    text = without["choices"][0]["message"]["content"]
    status = ask(urllib.parse.urlsplit(url).path)[0]
    print(f"    taken out: {text.strip()!r}, found {len(found())} times, its passage is {status}")
    assert not found() and "ZEBRA" not in text and "ZEBRA" not in json.dumps(without) and status == 404
    ask(f"/v1/files/{file['id']}", method="DELETE")


def sources():
    """Whatever document of a collection an answer is from, the first one is cited."""
    for question, document in {"Where does the spare key of the boathouse hang?": "keys.md", "Which boat is green?": "boats.md", "What does a day with Tern cost?": "prices.md"}.items():
        message = chat([user(question)], max_tokens=40, flashback={"influence": True})["choices"][0]["message"]
        cited = [(a["url_citation"], ask(urllib.parse.urlsplit(a["url_citation"]["url"]).path)[1]["source"]) for a in message["annotations"]]
        print(f"    {question} {message['content'].strip()!r}: {', '.join(dict.fromkeys(source for _, source in cited))}")
        assert cited and cited[0][1].endswith(document), cited
        assert all(0 <= c["start_index"] < c["end_index"] <= len(message["content"]) for c, _ in cited), cited


for complaint in [prefix, truncation, disconnect, characters, deletion, sources]:
    print(complaint.__doc__)
    complaint()
print("ok: complaints")
