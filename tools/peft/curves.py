"""Draws held-out losses over steps from the logs of trainings.

    python3 curves.py -o curves.png "no passages=DIR/log.jsonl" "FlashBack=DIR/log.jsonl" …

matplotlib is needed.
"""

import argparse
import json

import matplotlib.pyplot as plt


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-o", "--out", required=True)
    p.add_argument("logs", nargs="+", metavar="NAME=LOG")
    a = p.parse_args()
    figure, axes = plt.subplots(figsize=(7, 4), dpi=110)
    for log in a.logs:
        name, path = log.split("=", 1)
        with open(path) as f:
            lines = [json.loads(line) for line in f]
        last = max(line["step"] for line in lines if "loss" in line) + 1
        points = [(line.get("step", last), line["validation"]) for line in lines if "validation" in line]
        axes.plot(*zip(*points), marker=".", label=name)
    axes.set_xlabel("steps")
    axes.set_ylabel("held-out loss, nats a token")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(a.out)


if __name__ == "__main__":
    main()
