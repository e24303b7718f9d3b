#!/usr/bin/env python3
"""Compares what is read of the files of make.py with pdftotext and pypdfium2.

    compare.py FOLDER

For each reader: the share of the words on the page that it found, and the share of
what it found that is on the page.
"""
import collections
import glob
import os
import re
import subprocess
import sys
import tempfile
import unicodedata

import pypdfium2

folder = sys.argv[1]
files = sorted(glob.glob(os.path.join(folder, "*.pdf")))
root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")


def words(text):
    return collections.Counter(re.findall(r"\w+", unicodedata.normalize("NFKC", text).lower()))


def ours():
    with tempfile.TemporaryDirectory() as into:
        program = os.path.join(into, "text")
        subprocess.run(["go", "build", "-o", program, "./tools/pdf/text"], cwd=root, check=True)
        subprocess.run([program, "-into", into, *map(os.path.abspath, files)], stdout=subprocess.DEVNULL, check=True)
        return {f: open(os.path.join(into, os.path.basename(f) + ".txt")).read() for f in files}


def poppler():
    return {f: subprocess.run(["pdftotext", "-enc", "UTF-8", f, "-"], stdout=subprocess.PIPE).stdout.decode() for f in files}


def pdfium():
    texts = {}
    for f in files:
        d = pypdfium2.PdfDocument(f)
        texts[f] = "\n".join(p.get_textpage().get_text_range() for p in d)
    return texts


readers = {"ours": ours(), "pdftotext": poppler(), "pypdfium2": pdfium()}
sums = collections.defaultdict(lambda: {r: [0, 0, 0] for r in readers})
print("%-24s" % "file" + "".join("%22s" % r for r in readers))
for f in files:
    there = words(open(f[:-4] + ".words").read())
    cells = ""
    for r, texts in readers.items():
        got = words(texts[f])
        hit = (there & got).total()
        for group in (os.path.basename(f).split("-")[0], "all words"):
            for i, n in enumerate((hit, there.total(), got.total())):
                sums[group][r][i] += n
        cells += "%13.1f %% %5.1f %%" % (100 * hit / max(1, there.total()), 100 * hit / max(1, got.total()))
    print("%-24s" % os.path.basename(f)[:-4] + cells)
for group, by in sums.items():
    print("%-24s" % group + "".join("%13.2f %% %5.2f %%" % (100 * h / max(1, t), 100 * h / max(1, g)) for h, t, g in by.values()))
