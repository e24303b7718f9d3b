"""Trains the rows of the table, several at once, a directory each.

    python3 train_all.py --model MODEL.gguf --data DIR --out DIR [--domains latex,stackexchange] [--rows none,virtual]
                         [--seeds 1,2] [--concurrency 4] [--gpus 1] [--minutes 9] [--pack DIR] [-- --steps 1000 …]

DIR of --data has latex.train.jsonl.xz and so on (.gz and .zst do too). A row whose adapter is complete is skipped, one
that fails is reported and the others go on. What is not done --minutes after the start is left for the next call.
--pack collects the complete rows in archives of at most 16 MB.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import time

END = "--r 64 --alpha 128 --targets q,k,v,o,gate,up,down --every 500 --f16"

# Rows in the order in which they begin: the longest first, so that none is left alone at the end.
ROWS = {
    "prepend": "--placement prepend",
    "virtual-k4": "--placement virtual --k 4",
    "virtual-k2": "--placement virtual --k 2",
    "flashback": "--placement append --marks",
    "flashback-echo16": "--placement append --marks --echo 16",
    "virtual": "--placement virtual",
    "virtual-marks": "--placement virtual --marks",
    "append": "--placement append",
    "flashback-paper": "--recipe paper --batch 4 --placement append --marks",  # the others' number of targets
    "none": "--placement none",
    # Not among the default rows:
    "flashback-paper16": "--recipe paper --placement append --marks",
    "flashback-random": "--placement append --marks --random-passages",
    "flashback-echo16-activated": "--placement append --marks --echo 16 --activated",
    "flashback-activated": "--placement append --marks --activated",
    "virtual-activated": "--placement virtual --activated",
    "virtual-k2-marks": "--placement virtual --k 2 --marks",
    "flashback-echo64": "--placement append --marks --echo 64",
    "flashback-all": "--placement append --marks --targets q,k,v,o,gate,up,down",
    "flashback-long": "--placement append --marks --steps 4000",
    "virtual-echo16": "--placement virtual --echo 16",
    "virtual-echo16-k2": "--placement virtual --echo 16 --k 2",
    "flashback-all-echo16": "--placement append --marks --echo 16 --targets q,k,v,o,gate,up,down",
    "prepend-all": "--placement prepend --targets q,k,v,o,gate,up,down",
    "virtual-all": "--placement virtual --targets q,k,v,o,gate,up,down",
    "virtual-echo16-all": "--placement virtual --echo 16 --targets q,k,v,o,gate,up,down",
    "none-all": "--placement none --targets q,k,v,o,gate,up,down",
    # To the end of their curves: all modules, rank 64.
    "none-end": "--placement none --steps 10000 " + END,
    "flashback-end": "--placement append --marks --steps 10000 " + END,
    "flashback-echo16-end": "--placement append --marks --echo 16 --steps 10000 " + END,
    "prepend-end": "--placement prepend --steps 3000 " + END,
    "virtual-echo16-end": "--placement virtual --echo 16 --steps 3000 " + END,
}
DEFAULT = list(ROWS)[:10]


def data(folder, domain, part):
    for end in (".xz", ".gz", ".zst", ""):
        path = os.path.join(folder, f"{domain}.{part}.jsonl{end}")
        if os.path.exists(path):
            return path
    raise SystemExit(f"{folder}: there is no {domain}.{part}.jsonl.xz")


def complete(folder):
    return os.path.exists(os.path.join(folder, "adapter_model.safetensors"))


def pack(folders, target, most=15 << 20):
    """Collects folders in archives: factors do not compress, so sizes add up."""
    os.makedirs(target, exist_ok=True)
    archive, size, number = None, most, 0
    for folder in folders:
        bytes_ = sum(e.stat().st_size for e in os.scandir(folder))
        if size + bytes_ > most:
            if archive:
                archive.close()
            archive, size, number = tarfile.open(os.path.join(target, f"adapters{number}.tar.gz"), "w:gz"), 0, number + 1
        archive.add(folder, os.path.basename(folder))
        size += bytes_
    if archive:
        archive.close()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--domains", default="latex,stackexchange")
    p.add_argument("--rows", default=",".join(DEFAULT), help="of " + ",".join(ROWS))
    p.add_argument("--seeds", default="1")
    p.add_argument("--concurrency", type=int, default=4, help="trainings at once on each GPU")
    p.add_argument("--gpus", type=int, default=1)
    p.add_argument("--minutes", type=float, default=1e9, help="begin no training later, and stop those under way: the next call goes on from their checkpoints")
    p.add_argument("--pack", metavar="DIR")
    p.add_argument("more", nargs="*", help="flags for every training, behind --")
    a = p.parse_args()
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "train.py")
    start, waiting, running, failed, folders = time.time(), [], {}, [], []
    for seed in a.seeds.split(","):
        for row in a.rows.split(","):
            for domain in a.domains.split(","):
                folder = os.path.join(a.out, f"{domain}-{row}-s{seed}")
                folders.append(folder)
                flags = ["--data", data(a.data, domain, "train"), "--validation", data(a.data, domain, "validation")]
                flags += [*ROWS[row].split(), "--seed", seed, "--model", a.model, "-o", folder, *a.more]
                if not complete(folder):
                    waiting.append((folder, flags))
    slots = [gpu for _ in range(a.concurrency) for gpu in range(a.gpus)]
    stopped = False
    while waiting or running:
        if not stopped and time.time() - start > 60 * a.minutes:
            stopped = True
            for child in running:
                child.terminate()
        while waiting and slots and time.time() - start < 60 * a.minutes:
            gpu, (folder, flags) = slots.pop(0), waiting.pop(0)
            os.makedirs(folder, exist_ok=True)
            environment = {"CUDA_VISIBLE_DEVICES": str(gpu), "PYTORCH_ALLOC_CONF": "expandable_segments:True", "OMP_NUM_THREADS": "2"}
            with open(os.path.join(folder, "output.txt"), "a") as output:
                child = subprocess.Popen([sys.executable, script, *flags], stderr=output, stdout=output, env={**os.environ, **environment})
            running[child] = folder, gpu
        if not running:
            break
        time.sleep(0.5)
        for child in [c for c in running if c.poll() is not None]:
            folder, gpu = running.pop(child)
            slots.append(gpu)
            with open(os.path.join(folder, "output.txt")) as output:
                last = (output.read().splitlines() or [""])[-1]
            print(f"{time.time() - start:4.0f} s {last}", flush=True)
            if child.returncode and stopped:
                waiting.append((folder, []))
            elif child.returncode:
                failed.append(folder)
    if a.pack:
        pack([f for f in folders if complete(f)], a.pack)
    for folder in failed:
        print(f"failed: {folder}, see its output.txt")
    for folder, _ in waiting:
        print(f"not done: {folder}")
    return 1 if failed or waiting else 0


if __name__ == "__main__":
    sys.exit(main())
