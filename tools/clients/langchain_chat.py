"""Two questions with sources through langchain-openai.

    python tools/clients/langchain_chat.py MODEL      # OPENAI_BASE_URL and OPENAI_API_KEY say where
"""

import importlib.metadata
import sys

from langchain_openai import ChatOpenAI

QUESTIONS = ["Where does the spare key of the boathouse hang?", "Who may lend it?"]


def ask(llm, how):
    messages = []
    for turn, question in enumerate(QUESTIONS, 1):
        messages.append(("human", question))
        if how == "stream":
            answer = None
            for chunk in llm.stream(messages):
                answer = chunk if answer is None else answer + chunk
        else:
            answer = llm.invoke(messages)
        print(f"{how}, turn {turn}: {answer.content.strip()!r}")
        reused = answer.usage_metadata["input_token_details"]["cache_read"]
        print(f"    {answer.usage_metadata['input_tokens']} tokens of the prompt, {reused} of them reused")
        assert "\n\nSources:\n[1] " in answer.content and "/passages/" in answer.content, "no sources"
        assert turn == 1 or reused > 0, "nothing of the first turn was reused"
        messages.append(("ai", answer.content))
    return [content for _, content in messages]


# ChatOpenAI passes no annotations of chats on: the sources stand behind the answer.
llm = ChatOpenAI(model=sys.argv[1], max_tokens=48, stream_usage=True, extra_body={"flashback": {"cite": "footer"}})
assert ask(llm, "invoke") == ask(llm, "stream"), "the two ways do not write the same"
print("ok: langchain-openai", importlib.metadata.version("langchain-openai"))
