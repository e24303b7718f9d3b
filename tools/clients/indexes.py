"""Makes an index of documents through the OpenAI client, asks it, and takes it away again.

    flashback serve --library DIR            # in another terminal
    python tools/clients/indexes.py [URL]

It ends with an error where something is not as the client's types say.
"""

import sys
import time

import openai

FILES = {
    "keys.md": "# Keys\n\nThe spare key of the boathouse hangs behind the blue door. Only Ada may lend it.\n",
    "boats.txt": "Three boats lie in the harbour: Heron, Curlew and Tern. Heron leaks.\n",
    "prices.csv": "id,title,text\n1,Heron,A day with Heron costs 40 crowns.\n2,Tern,A day with Tern costs 55 crowns.\n",
}


def check(what, got, want=True):
    if got != want:
        sys.exit(f"{what}: {got!r}, want {want!r}")
    print(f"{what}: {got!r}")


def refused(what, error, call):
    try:
        call()
    except error as e:
        print(f"{what}: {e.status_code} {e.code}: {e.body['message'][:90]}")
        return
    sys.exit(f"{what}: nothing was wrong")


client = openai.OpenAI(base_url=(sys.argv[1:] or ["http://127.0.0.1:8080"])[0] + "/v1", api_key="none", max_retries=0)
base = client.models.list().data[0].id

before = {f.id for f in client.files.list()}
files = [client.files.create(file=(name, text.encode()), purpose="assistants") for name, text in FILES.items()]
check("files", [f.filename for f in files], list(FILES))
check("retrieved", client.files.retrieve(files[0].id).bytes, len(FILES["keys.md"]))
check("content", client.files.content(files[0].id).read().decode(), FILES["keys.md"])
check("pages of a list", {f.id for f in client.files.list(limit=1)} >= {f.id for f in files})

store = client.vector_stores.create(name="boathouse", file_ids=[files[0].id])
check("made", (store.name, store.status in ("in_progress", "completed")), ("boathouse", True))
for f in files[1:]:
    check(f"attached {f.filename}", client.vector_stores.files.create_and_poll(f.id, vector_store_id=store.id).status, "completed")
check("uploaded", client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("more.md", b"Curlew is green.")).status, "completed")
batch = client.vector_stores.file_batches.upload_and_poll(store.id, files=[("one.md", b"Tern is red."), ("two.md", b" ")])
check("batch", (batch.status, batch.file_counts.completed, batch.file_counts.failed), ("completed", 1, 1))
while (store := client.vector_stores.retrieve(store.id)).status != "completed":
    time.sleep(0.05)
check("counts", (store.file_counts.completed, store.file_counts.total), (5, 6))
check("listed", sorted(f.to_dict()["filename"] for f in client.vector_stores.files.list(store.id, filter="completed")), ["boats.txt", "keys.md", "more.md", "one.md", "prices.csv"])
check("renamed", client.vector_stores.update(store.id, name="harbour").name, "harbour")
check("stores", store.id in [s.id for s in client.vector_stores.list(limit=1)])

found = client.vector_stores.search(store.id, query="Where is the spare key?", max_num_results=2).data
check("found", (found[0].filename, "blue door" in found[0].content[0].text), ("keys.md", True))
passage = client.get(f"/vector_stores/{store.id}/passages/{found[0].to_dict()['passage_id']}", cast_to=object)
check("passage", passage["text"], found[0].content[0].text)

answer = client.chat.completions.create(model=f"{base}@{store.id}", messages=[{"role": "user", "content": "Where does the spare key hang?"}], max_tokens=32)
cited = [a.url_citation.url for a in answer.choices[0].message.annotations]
print("answer:", answer.choices[0].message.content.strip())
check("cited", any(passage["url"] == url for url in cited))

refused("a program", openai.APIStatusError, lambda: client.files.create(file=("a.exe", b"MZ\x00\x00\x01\x00\xff\xff\x00"), purpose="assistants"))
refused("another purpose", openai.BadRequestError, lambda: client.files.create(file=("a.md", b"x"), purpose="fine-tune"))
refused("filters", openai.BadRequestError, lambda: client.vector_stores.search(store.id, query="key", filters={"type": "eq", "key": "a", "value": 1}))
refused("no store", openai.NotFoundError, lambda: client.vector_stores.retrieve("vs_0"))
empty = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("empty.md", b" "))
check("without text", (empty.status, empty.last_error.code), ("failed", "invalid_file"))

check("detached", client.vector_stores.files.delete(files[0].id, vector_store_id=store.id).deleted)
check("found no more", [f.filename for f in client.vector_stores.search(store.id, query="spare key blue door").data], [])
refused("passage of a document that is gone", openai.NotFoundError, lambda: client.get(f"/vector_stores/{store.id}/passages/{passage['id']}", cast_to=object))
check("deleted", client.files.delete(files[1].id).deleted)
check("gone from the store", [f.filename for f in client.vector_stores.search(store.id, query="Heron leaks harbour").data if f.filename == "boats.txt"], [])
check("removed", client.vector_stores.delete(store.id).deleted)
refused("a store that is gone", openai.NotFoundError, lambda: client.vector_stores.search(store.id, query="key"))
for f in client.files.list():
    if f.id not in before:
        client.files.delete(f.id)
print("all is as it should be, with openai", openai.__version__)
