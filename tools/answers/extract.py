"""Makes questions that a sentence of a text answers, by rules alone.

    python3 extract.py --texts wiki.index.jsonl.zst --passages qa_passages.jsonl.zst --split DIR -o DIR

Texts whose title is that of a passage which may not be trained on are left out. A sentence gives a question where one of the
patterns below fits: "X was founded in 1953 …" asks when X was founded, "X was designed by Y" who designed X, "X is a Y" what
X is, and so on. The passage is the sentence with those around it. Some questions are typed as into a search box: without
capitals and without a question mark.
"""

import argparse
import collections
import json
import os
import re

from split import drawn, read, write

MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
DATE = rf"(?:(?:early |mid-|late )?(?:\d{{1,2}} {MONTH} \d{{4}}|{MONTH} \d{{1,2}}, \d{{4}}|{MONTH} \d{{4}}|\d{{4}}s?|the \d{{1,2}}(?:st|nd|rd|th) century))"
NAME = r"(?:[A-Z][\w'’.-]+(?: (?:of|the|de|van|von|and|in|for) (?=[A-Z])| )?){1,6}(?<! )"
SUBJECT = r"(?P<s>(?:The |An? )?[A-Z\"“][^,;:()]{1,70}?)"
DONE = r"(?P<v>(?:\w+ly )?\w+(?:ed|wn|ilt|ung|ade|ught|orn|und|ent|eld|old|itten|osen|iven|aken))"
NUMBER = r"(?P<a>(?:about |around |over |more than |nearly |approximately )?(?:\d[\d,.]*|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)(?: (?:million|billion|thousand))?)"
PERSON = re.compile(
    r"\b(actor|actress|singer|politician|player|footballer|writer|author|composer|painter|artist|lawyer|poet|scientist|"
    r"engineer|musician|director|king|queen|bishop|officer|journalist|professor|coach|historian|businessman|architect|general)\b"
)
PRONOUNS = {"It", "He", "She", "They", "This", "The company", "The film", "The album", "The band", "The song", "The game", "The book", "The station"}
VAGUE = set("It He She They This These There In On At For After As When While His Her Its Their That By From With To".split())
DATED = re.compile(r"\d|century")

# Kind, pattern, question. {b} is a form of be, {s} the subject, {v} the verb, {r} the rest; (?P<a>) is the answer.
RULES = [
    ("when", rf"^{SUBJECT} (?P<b>was|were) {DONE}(?P<r>(?: [\w'’-]+){{0,7}}?) (?:in|on) (?P<a>{DATE})\b", "When {b} {s} {v}{r}?"),
    ("when", rf"^(?:In|On) (?P<a>{DATE}),? {SUBJECT} (?P<b>was|were) {DONE}(?P<r>[^,;:()]{{0,60}}?)[.,;]", "When {b} {s} {v}{r}?"),
    ("year", rf"^(?:In|On) (?P<a>{DATE}),? {SUBJECT} (?P<v>\w+ed)(?P<r> [^,;:()]{{5,70}}?)[.,;]", "When did {s} {base}{r}?"),
    ("year", rf"^{SUBJECT} (?P<v>\w+ed)(?P<r>(?: [\w'’-]+){{1,8}}?) (?:in|on) (?P<a>{DATE})\b", "When did {s} {base}{r}?"),
    ("whom", rf"^{SUBJECT} (?P<b>was|were) (?P<v>\w+ed|written|built|won|made|led|found|held|given)(?P<r>(?: [\w'’-]+){{0,4}}?) by (?P<a>(?:the )?{NAME})(?=[ ,.;])", "Who {v} {s}{r}?"),
    ("where", rf"^{SUBJECT} (?P<b>is|was|are|were) (?P<v>located|situated|based|born|held|found|headquartered|buried|filmed)(?P<r>(?: [\w'’-]+){{0,3}}?) (?:in|at|near|on) (?P<a>(?:the )?{NAME}(?:, {NAME})?)(?=[ ,.;])", "Where {b} {s} {v}{r}?"),
    ("many", rf"^{SUBJECT} (?P<b>has|have|had) {NUMBER} (?P<r>[a-z]+s(?: [a-z]+)?)\b", "How many {r} {does} {s} have?"),
    ("what", rf"^{SUBJECT} (?P<b>is|was|are|were) (?P<a>(?:an?|the|one of the) [^,;:()]{{8,70}}?)(?=[,.;]| that | which | who | where )", "{what} {b} {s}?"),
    ("subject", rf"^{SUBJECT} (?P<b>is|was|were|has|had|became|won|wrote|plays|played|directed|founded|developed|released|designed|discovered|invented) (?P<r>[^,;:()]{{15,80}}?)(?=[,.;])", "{whowhat} {b} {r}?"),
]
RULES = [(kind, re.compile(pattern), question) for kind, pattern, question in RULES]
WORDS = 110  # of a passage, about
EACH = 8  # questions of a text at most


def base(verb):
    """Returns the infinitive of a regular past tense, mostly."""
    stem = verb[:-2]
    if stem.endswith("i"):
        return stem[:-1] + "y"
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] in "bdgmnprt":
        return stem[:-1]
    if re.search(r"([cgsuvz]|[^aeiou]l|[^aeiou][aiou][bdkmpt]|[^aeo][aiu]r|[aiou]n[cg]|(?<![aeio])at|[^aeiou]it|[^f]in)$", stem) and not re.search(
        r"(ss|visit|limit|edit|exit|obtain|join|gain|explain|remain|sign|train|ow|ain)$", stem
    ):
        return stem + "e"
    return stem


def sentences(text):
    """Cuts a paragraph into sentences, not behind initials and common abbreviations."""
    parts = re.split(r"(?<=[.!?][\"”)]) (?=[A-Z])|(?<=[a-z0-9)][.!?]) (?=[A-Z\"“])", text)
    joined = []
    for part in parts:
        if joined and re.search(r"\b(?:[A-Z]|Mr|Mrs|Dr|St|Jr|Sr|No|vs|c|ca|Inc|Co|Ltd|Gen|Col|Lt|Sgt|Mt|U\.S)\.$", joined[-1]):
            joined[-1] += " " + part
        else:
            joined.append(part)
    return joined


def around(parts, at):
    """Returns a passage of whole sentences with that one, from a place that its number draws."""
    first, last, words = at, at, len(parts[at].split())
    before = drawn(parts[at])[1] % 4
    while words < WORDS:
        if before > 0 and first > 0 or last + 1 >= len(parts):
            if first == 0:
                break
            first, before = first - 1, before - 1
            words += len(parts[first].split())
        else:
            last += 1
            words += len(parts[last].split())
    return " ".join(parts[first : last + 1])


def ask(sentence, title, first):
    """Returns kind, question and answer by the rule that fits a sentence, or None."""
    short = re.sub(r" \([^)]*\)", "", title)
    plain = re.sub(r" ?\([^()]*\)", "", sentence)
    order = drawn(sentence)[2]
    rules = RULES[order % 2 * (len(RULES) - 1) :] + RULES if not first else RULES[-2:] + RULES
    for kind, pattern, question in rules:
        m = pattern.match(plain)
        if not m:
            continue
        g = m.groupdict()
        subject, answer = g["s"].strip('"“” '), g.get("a") or g["s"].strip('"“” ')
        if not subject or not answer or re.search(r"\b(?:is|are|was|were|has|had|who|which|that|when)\b", subject) or re.search(MONTH, answer) and kind == "where":
            continue
        if kind == "subject" and re.match(r"(?:been|also)\b", g["r"]) or kind == "what" and re.search(r"\b(?:in|of|at|for|the|to|March)( \d+)?$", answer):
            continue
        if subject in PRONOUNS:
            subject = short
        elif subject.split()[0] in VAGUE:
            continue
        elif subject.startswith("The ") and short.lower() not in plain.lower():
            subject = f"the {subject[4:]} of {short}" if order % 3 else f"the {subject[4:]}"
        elif subject.startswith(("The ", "A ", "An ")):
            subject = subject[0].lower() + subject[1:]
        if kind == "subject":
            if g["s"] in PRONOUNS or g["s"].startswith(("The ", "A ", "An ")) or not re.fullmatch(NAME, answer):
                continue
            if short.lower() not in g["r"].lower() and order % 4:
                continue
        if kind == "what" and (answer.lower() in subject.lower() or len(answer) > 90):
            continue
        if kind in ("when", "year") and not DATED.search(answer):
            continue
        people = PERSON.search(g.get("a") or plain) is not None
        verb = g.get("v") or ""
        text = question.format(
            s=subject, b=g.get("b"), v=verb, r=g.get("r") or "", base=base(verb) if verb else "",
            does="did" if g.get("b") == "had" else "do" if g.get("b") == "have" else "does",
            what="Who" if kind == "what" and people else "What",
            whowhat="Who" if people or g.get("b") in ("wrote", "plays", "played", "directed", "founded", "invented", "discovered") else "What",
        )  # fmt: skip
        if answer not in sentence or answer.lower() in text.lower() or len(text) > 160:
            continue
        if drawn(sentence)[3] % 2:
            text = text.lower().rstrip("?")
        return kind, text, answer
    return None


def questions_of(doc):
    """Returns the questions of a text."""
    found = []
    for n, paragraph in enumerate(doc["text"].split("\n")):
        parts = sentences(paragraph.strip())
        if len(paragraph.split()) < 20:
            continue
        for i, sentence in enumerate(parts):
            asked = ask(sentence, doc["title"], n == 0 and i == 0)
            if asked:
                kind, question, answer = asked
                passage = around(parts, i)
                if 20 <= len(passage.split()) <= 220:
                    name = drawn(passage).hex()[:12]
                    found.append({
                        "id": f"made/{doc['id']}/{len(found)}", "kind": kind, "question": question, "answers": [answer],
                        "passage_id": f"made/{name}", "passage_title": doc["title"], "passage": passage,
                    })  # fmt: skip
    found.sort(key=lambda q: drawn(q["id"]))
    return found[:EACH]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--texts", required=True, help="documents: id, title, text")
    p.add_argument("--passages", required=True, help="all passages, of which only those of DIR/train-passages.jsonl may be trained on")
    p.add_argument("--split", required=True, help="what split.py wrote")
    p.add_argument("--questions", type=int, default=20000, help="at most")
    p.add_argument("-o", "--out", required=True)
    a = p.parse_args()
    with open(os.path.join(a.split, "train-passages.jsonl"), encoding="utf-8") as f:
        ours = {json.loads(line)["title"] for line in f}
    kept_back = {d["title"] for d in read(a.passages)} - ours
    made = [q for doc in read(a.texts) if doc["title"] not in kept_back for q in questions_of(doc)]
    kinds = collections.defaultdict(list)
    for q in sorted(made, key=lambda q: drawn(q["id"])):
        kinds[q.pop("kind")].append(q)
    most = a.questions // 4  # of a kind, so that none drowns the others
    print({kind: len(questions) for kind, questions in kinds.items()})
    chosen = sorted((q for questions in kinds.values() for q in questions[:most]), key=lambda q: drawn(q["id"]))[: a.questions]
    passages = {q["passage_id"]: {"id": q["passage_id"], "title": q["passage_title"], "text": q["passage"]} for q in chosen}
    write(a.out, "made", chosen)
    write(a.out, "made-passages", [passages[name] for name in sorted(passages)])


if __name__ == "__main__":
    main()
