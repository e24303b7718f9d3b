"""Splits questions by article into those that measure and those that train.

    python3 split.py --data DIR -o DIR

DIR of --data has qa_squad2.jsonl.zst and qa_nq.jsonl.zst, a question a line with its passage. What is written is the
same on every machine: no random numbers, only hashes of ids.
"""

import argparse
import hashlib
import io
import json
import os

import zstandard

ARTICLES = {"Warsaw", "European Union law", "Normans", "Harvard University"}  # of SQuAD: to measure only
MEASURED = 500  # questions of Natural Questions to measure with
VALIDATION = 16  # one passage in so many is kept from training, to choose its settings by


def read(path):
    with open(path, "rb") as f:
        return [json.loads(line) for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(f), "utf-8")]


def drawn(name):
    """Returns a number that is as good as drawn."""
    return hashlib.sha256(name.encode()).digest()


def split(squad, nq):
    """Returns the questions by the name of their file, each in a drawn order."""
    squad, nq = (sorted(questions, key=lambda q: drawn(q["id"])) for questions in (squad, nq))
    measured_passages, count = set(), 0
    by_passage = {}
    for q in nq:
        by_passage.setdefault(q["passage_id"], []).append(q)
    for passage in sorted(by_passage, key=drawn):  # whole passages, as long as all their questions fit
        if count + len(by_passage[passage]) <= MEASURED:
            measured_passages.add(passage)
            count += len(by_passage[passage])
    files = {
        "eval-squad": [q for q in squad if q["passage_title"] in ARTICLES],
        "eval-nq": [q for q in nq if q["passage_id"] in measured_passages],
        "train": [],
        "validation": [],
    }
    measured = files["eval-squad"] + files["eval-nq"]
    passages, titles, texts = ({q[key] for q in measured} for key in ("passage_id", "passage_title", "passage"))
    for q in sorted(squad + nq, key=lambda q: drawn(q["id"])):
        if q["passage_id"] in passages or q["passage_title"] in titles or q["passage"] in texts:
            continue
        files["validation" if drawn(q["passage_id"])[-1] % VALIDATION == 0 else "train"].append(q)
    return files


def own_passages(questions):
    """Returns the questions' passages as documents, each once."""
    found = {q["passage_id"]: {"id": q["passage_id"], "title": q["passage_title"], "text": q["passage"]} for q in questions}
    return [found[passage] for passage in sorted(found)]


def write(folder, name, lines):
    with open(os.path.join(folder, name + ".jsonl"), "w", encoding="utf-8") as f:
        for line in lines:
            f.write(json.dumps(line, ensure_ascii=False) + "\n")
    print(f"{name}.jsonl: {len(lines)}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True)
    p.add_argument("-o", "--out", required=True)
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    files = split(*(read(os.path.join(a.data, f"qa_{name}.jsonl.zst")) for name in ("squad2", "nq")))
    for name, questions in files.items():
        write(a.out, name, questions)
    for name in ("train", "validation"):
        write(a.out, name + "-passages", own_passages(files[name]))


if __name__ == "__main__":
    main()
