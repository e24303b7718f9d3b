"""Answers questions with the passages pasted into the message, by transformers, and compares with the row "pasted".

    flashback eval qa --data eval-squad.jsonl --index qa.index --limit 50 --passage-len 400 --compute exact \\
        --rows pasted -o answers.jsonl
    python3 paste.py --flashback flashback --model smollm2-135m.gguf --data eval-squad.jsonl --index qa.index \\
        --answers answers.jsonl

Of the program only the search is used. Passages, message, model, repetition penalty and choice of tokens are made here
again from the first line of --answers, which says how its answers were made; what is printed is how many answers are
the same, and how many tell a right one.
"""

import argparse
import json
import pathlib
import re
import string
import subprocess
import tempfile

import torch
import transformers


def looked_up(flashback, index, questions, k):
    """Returns the best passages of each question, by its id."""
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as topics:
        for number, q in enumerate(questions):
            topics.write(f"{number}\t{' '.join(q['question'].split())}\n")
        topics.flush()
        run = subprocess.run(
            [flashback, "search", "--index", index, "--topics", topics.name, "--json", "-k", str(k)],
            stdout=subprocess.PIPE, check=True,
        )
    found = {q["id"]: [] for q in questions}
    for line in run.stdout.decode().splitlines():
        p = json.loads(line)
        found[questions[int(p["topic"])]["id"]].append(p)
    return found


def as_read(passage):
    """Returns what a model reads of a passage: its title and headings in front where its index has them."""
    names = [passage.get("title", "")]
    if passage.get("breadcrumb"):
        names.append(passage.get("heading", ""))
    elif not passage.get("first"):
        names = []
    above = " > ".join(name for name in names if name)
    return f"{above}\n{passage['text']}" if above else passage["text"]


def message(tokenizer, passages, question, length):
    texts = []
    for p in passages:
        text = as_read(p)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) > length:
            text = tokenizer.decode(ids[:length], clean_up_tokenization_spaces=False).replace("\ufffd", "")
        texts.append(text)
    return "\n\n".join(texts + [question])


@torch.no_grad()
def answer(model, tokenizer, prompt, tokens, penalty, last, ends):
    """Returns the likeliest tokens one after the other; those among the last ones are held back."""
    text, cache = list(prompt), None
    ids = torch.tensor([text])
    for _ in range(tokens):
        out = model(input_ids=ids, past_key_values=cache, use_cache=True)
        logits, cache = out.logits[0, -1].float(), out.past_key_values
        recent = torch.tensor(sorted(set(text[-last:])))
        logits[recent] = torch.where(logits[recent] > 0, logits[recent] / penalty, logits[recent] * penalty)
        token = int(logits.argmax())
        if token in ends:
            break
        text.append(token)
        ids = torch.tensor([[token]])
    return tokenizer.decode(text[len(prompt):], clean_up_tokenization_spaces=False).strip()


def words(text):
    """Returns the words that SQuAD's script compares."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def tells(text, right):
    """Reports whether the words of a right answer stand in a text, side by side."""
    got = " ".join(["", *words(text), ""])
    return any(words(r) and " ".join(["", *words(r), ""]) in got for r in right)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--flashback", default="flashback")
    p.add_argument("--model", required=True, type=pathlib.Path)
    p.add_argument("--data", required=True)
    p.add_argument("--index", required=True)
    p.add_argument("--answers", required=True)
    a = p.parse_args()
    with open(a.answers, encoding="utf-8") as f:
        how = json.loads(next(f))
        theirs = {r["id"]: r for r in map(json.loads, f) if r["row"] == "pasted"}
    with open(a.data, encoding="utf-8") as f:
        questions = [q for q in map(json.loads, f) if q["id"] in theirs]
    tokenizer = transformers.AutoTokenizer.from_pretrained(a.model.parent, gguf_file=a.model.name)
    model = transformers.AutoModelForCausalLM.from_pretrained(a.model.parent, gguf_file=a.model.name, dtype=torch.float32).eval()
    ends = {tokenizer.eos_token_id}
    found = looked_up(a.flashback, a.index, questions, how["Passages"])
    same = agree = ours = 0
    for q in questions:
        system = [{"role": "system", "content": how["System"]}] if how["System"] else []
        user = {"role": "user", "content": message(tokenizer, found[q["id"]], q["question"], how["PassageLen"])}
        prompt = tokenizer.apply_chat_template([*system, user], add_generation_prompt=True, return_dict=False)
        text = answer(model, tokenizer, prompt, how["Tokens"], how["RepeatPenalty"], 64, ends)
        told = tells(text, q["answers"])
        row = theirs[q["id"]]
        same += text == row["answer"]
        agree += told == row["in_answer"]
        ours += told
        if text != row["answer"]:
            print(f"{q['id']}\n  here:   {text!r}\n  pasted: {row['answer']!r}", flush=True)
        if len(prompt) != row["counts"]["prompt"]:
            print(f"{q['id']}: the prompt has {len(prompt)} tokens here and {row['counts']['prompt']} there")
    print(f"{len(questions)} questions: {same} answers are the same, {agree} verdicts; a right one in {ours} here and in {sum(r['in_answer'] for r in theirs.values())} there")


if __name__ == "__main__":
    main()
