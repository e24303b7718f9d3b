"""Two questions with citations through langchain-openai and the Responses API.

    python tools/clients/langchain_responses.py MODEL INDEX      # OPENAI_BASE_URL and OPENAI_API_KEY say where
"""

import importlib.metadata
import sys

from langchain_openai import ChatOpenAI

MODEL, INDEX = sys.argv[1:]
QUESTIONS = ["Where does the spare key of the boathouse hang?", "Who may lend it?"]


def ask(llm, how):
    messages, texts = [], []
    for turn, question in enumerate(QUESTIONS, 1):
        messages.append(("human", question))
        if how == "stream":
            answer = None
            for chunk in llm.stream(messages):
                answer = chunk if answer is None else answer + chunk
        else:
            answer = llm.invoke(messages)
        blocks = [b for b in answer.content_blocks if b["type"] == "text"]
        citations = [a for b in blocks for a in b.get("annotations", [])]
        reused = answer.usage_metadata["input_token_details"]["cache_read"]
        print(f"{how}, turn {turn}: {answer.text.strip()!r}")
        for c in {c["extras"]["url"]: c for c in citations}.values():
            print(f"    {c['title']} {c['extras']['url']}")
        print(f"    {answer.usage_metadata['input_tokens']} tokens of the input, {reused} of them reused")
        assert answer.text.strip(), "an empty answer"
        assert citations and all(c["type"] == "citation" and c["title"] for c in citations), "no citations"
        assert turn == 1 or reused > 0, "nothing of the first turn was reused"
        messages.append(answer)
        texts.append(answer.text)
    return texts


llm = ChatOpenAI(model=MODEL, max_tokens=48, use_responses_api=True, model_kwargs={"tools": [{"type": "file_search", "vector_store_ids": [INDEX]}]})
assert ask(llm, "invoke") == ask(llm, "stream"), "the two ways do not write the same"
print("ok: langchain-openai", importlib.metadata.version("langchain-openai"))
