"""Index and time tantivy (pip install tantivy) as Reference.java does Lucene.

    tantivy_reference.py index DIR   < id<TAB>text lines
    tantivy_reference.py bench DIR K < id<TAB>query lines; a line "go" runs all
"""
import os
import re
import sys
import time

import tantivy


def schema():
    b = tantivy.SchemaBuilder()
    b.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    b.add_text_field("text", stored=False, tokenizer_name="en_stem", index_option="position")
    return b.build()


def main():
    mode, directory = sys.argv[1:3]
    if mode == "index":
        os.makedirs(directory, exist_ok=True)
        index = tantivy.Index(schema(), path=directory)
        start, size = time.time(), 0
        writer = index.writer(heap_size=200_000_000, num_threads=1)
        for line in sys.stdin:
            key, text = line.rstrip("\n").split("\t", 1)
            writer.add_document(tantivy.Document(id=key, text=text))
            size += len(text)
        writer.commit()
        writer.wait_merging_threads()
        spent = time.time() - start
        print(f"{spent:.2f} s, {size / 1e6 / spent:.1f} MB/s")
        return
    index, k, queries = tantivy.Index.open(directory), int(sys.argv[3]), []
    index.reload()
    searcher = index.searcher()
    for line in sys.stdin:
        if line != "go\n":
            queries.append(re.sub(r"[^\w\s]", " ", line.rstrip("\n").split("\t", 1)[1]).lower())
            continue
        times = []
        for q in queries:
            start = time.perf_counter_ns()
            searcher.search(index.parse_query(q, ["text"]), k, count=False)
            times.append(time.perf_counter_ns() - start)
        print(" ".join(map(str, times)), flush=True)


main()
