"""Times FlashBack and llama.cpp in turns and prints the medians and their ratio.

    python3 tools/llamacpp/compare.py --flashback ./flashback --bin build/bin --files . --rounds 5 -o figures.jsonl

--files has F16.gguf and Q4_0.gguf of the model (README.md beside this file); with --scan all of its files are tried once,
with both -fa, and each row goes on with the best two, which differ from processor to processor. --model is one file for both
programs instead, with both -fa; --rows and --depth choose what is measured, which takes minutes a row for large models. Each program is alone while it runs;
each figure is a line of -o, so that rounds of several calls add up, and `--rounds 0` prints what the file has.
llama.cpp's rows name the storage type and the flag that a measurement was taken with, and its best median counts.
Needs Python alone.
"""

import argparse
import collections
import itertools
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# What is measured, by llama-bench's flags (DEPTH is --depth), with the storage types and -fa that are worth trying.
BENCH = {
    "prefill": (["-p", "512", "-n", "0"], [("F16", "on"), ("F16", "off")]),
    "decode": (["-p", "0", "-n", "64"], [("Q4_0", "off")]),
    "depth": (["-p", "144", "-n", "0", "-d", "DEPTH"], [("F16", "off")]),
    "depth decode": (["-p", "0", "-n", "16", "-d", "DEPTH"], [("Q4_0", "off")]),
}


class Figures:
    def __init__(self, path):
        self.path, self.rows = path, []
        if path and os.path.exists(path):
            with open(path) as lines:
                self.rows = [json.loads(line) for line in lines]

    def add(self, who, what, value, how=""):
        row = {"who": who, "what": what, "how": how, "value": value}
        self.rows.append(row)
        if self.path:
            with open(self.path, "a") as file:
                print(json.dumps(row), file=file)

    def table(self):
        values = collections.defaultdict(lambda: collections.defaultdict(list))
        for r in self.rows:
            values[r["what"], r["who"]][r["how"]].append(r["value"])
        print("| work | ours | llama.cpp | ratio |\n|---|---|---|---|")
        for what, who in sorted(values):
            if who != "ours":
                continue
            loop = what.startswith("loop")  # ms a token: less is better
            theirs = values.get((what, "llama.cpp"), {})
            best = (min if loop else max)(theirs, key=lambda h: statistics.median(theirs[h]), default=None)
            for how, ours in values[what, who].items():
                row = f"| {what} {how} | {spread(ours)} |"
                if best is not None:
                    a, b = statistics.median(ours), statistics.median(theirs[best])
                    row += f" {spread(theirs[best])}, {best} | {b / a if loop else a / b:.2f} |"
                print(row)


def spread(values):
    return f"{statistics.median(values):.1f} ({min(values):.1f}–{max(values):.1f})"


def output(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr[-800:]}")
    return json.loads(done.stdout)


def bench_command(a, name, model, flash):
    flags = [str(a.depth) if f == "DEPTH" else f for f in BENCH[name][0]]
    return [f"{a.bin}/llama-bench", "-m", f"{a.files}/{model}.gguf", "-t", str(a.threads), "-r", "1", "-o", "json", "-fa", flash] + flags


def llama_bench(a, figures, name):
    for model, flash in BENCH[name][1]:
        for row in output(bench_command(a, name, model, flash)):
            what = f"pp{row['n_prompt']}" if row["n_prompt"] else f"tg{row['n_gen']}"
            what += f"@d{row['n_depth']}" if row.get("n_depth") else ""
            figures.add("llama.cpp", what, row["avg_ts"], f"{model}, -fa {flash}")


def flashback(a, figures, *command):
    model = ["--model", a.model] if a.model else []
    for row in output([a.flashback, "bench", *command, *model, "--threads", str(a.threads), "--rounds", "1", "--json"]):
        if "test" in row:
            figures.add("ours", row["test"], row["tokens_per_second"])
        else:
            figures.add("ours", f"loop {row['context']}", row["ms_per_token"], f"{row['placement']} {row['evidence']}".strip())


def scan(a):
    """Leaves the best two storage types and flags in each row of BENCH."""
    types = sorted(f[: -len(".gguf")] for f in os.listdir(a.files) if f.endswith(".gguf"))
    for name, (flags, _) in BENCH.items():
        rates = {}
        for model, flash in itertools.product(types, ("on", "off")):
            done = subprocess.run(bench_command(a, name, model, flash), capture_output=True, text=True)
            if done.returncode == 0:  # some types crash with some instructions
                rates[model, flash] = json.loads(done.stdout)[0]["avg_ts"]
        best = sorted(rates, key=rates.get, reverse=True)
        BENCH[name] = (flags, best[:2])
        print(name + ": " + ", ".join(f"{m} -fa {f} {rates[m, f]:.1f}" for m, f in best), file=sys.stderr)


def llama_loop(a, figures, context):
    for model, flash in BENCH["depth decode"][1]:
        command = [sys.executable, f"{HERE}/loop.py", "--server", f"{a.bin}/llama-server", "--model", f"{a.files}/{model}.gguf", "--json"]
        command += ["--contexts", context, "--placements", "append", "--flash-attention", flash, "--threads", str(a.threads)]
        command += ["--strides", str(a.strides)]
        for row in output(command):
            figures.add("llama.cpp", f"loop {row['context']}", row["ms_per_token"], f"{model} append, -fa {flash}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--flashback", required=True, help="our program")
    p.add_argument("--bin", required=True, help="directory of llama-bench and llama-server")
    p.add_argument("--files", help="directory of F16.gguf and Q4_0.gguf")
    p.add_argument("--model", help="one file for both programs")
    p.add_argument("--rows", default="prefill,decode,depth,loop", help="what to measure, of these")
    p.add_argument("--depth", type=int, default=4096, help="of the depth row")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--scan", action="store_true", help="find llama.cpp's best files and flags first")
    p.add_argument("--contexts", default="1024,4096", help="of the loop")
    p.add_argument("--strides", type=int, default=7, help="llama.cpp's counted strides of the loop")
    p.add_argument("-o", "--out", help="file of figures to add to")
    a = p.parse_args()
    if bool(a.files) == bool(a.model):
        p.error("give --files or --model")
    if a.model:
        a.files, name = os.path.split(os.path.abspath(a.model))
        for row, (flags, _) in BENCH.items():
            BENCH[row] = flags, [(name.removesuffix(".gguf"), flash) for flash in ("on", "off")]
    figures = Figures(a.out)
    if a.scan:
        scan(a)
    for _ in range(a.rounds):
        for row in a.rows.split(","):
            if row == "loop":
                for context in a.contexts.split(","):
                    llama_loop(a, figures, context)
                    flashback(a, figures, "loop", "--contexts", context, "--placements", "virtual,append")
                continue
            llama_bench(a, figures, row)
            if row == "depth":
                llama_bench(a, figures, "depth decode")
            flashback(a, figures, row, *(["--depth", str(a.depth)] if row == "depth" else []))
    figures.table()


if __name__ == "__main__":
    main()
