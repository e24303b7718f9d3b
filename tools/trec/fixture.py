"""Makes the fixture of internal/retrieve/trec: random judgements and a run with
many equal scores, and what ir_measures (pip install ir_measures) says of them.
Run it from the project's root."""
import random

import ir_measures
from ir_measures import AP, RR, R, nDCG

random.seed(5)
here = "internal/retrieve/trec/testdata/"
with open(here + "qrels.txt", "w") as qrels, open(here + "run.txt", "w") as run:
    for topic in range(40):
        names = [f"d{i}" for i in range(60)]
        for name in random.sample(names, 12):
            print(f"t{topic} 0 {name} {random.choice([-1, 0, 0, 1, 1, 2, 3])}", file=qrels)
        if topic % 13 == 5:
            continue  # a topic that nothing was found for
        for rank, name in enumerate(random.sample(names, random.randint(1, 40)), 1):
            print(f"t{topic} Q0 {name} {rank} {random.choice([1, 2, 3, 2.5, 7.0000001, 7])} random", file=run)
measures = [nDCG @ 10, RR @ 10, AP, R @ 1, R @ 5, R @ 20]
values = ir_measures.calc_aggregate(measures, list(ir_measures.read_trec_qrels(here + "qrels.txt")), list(ir_measures.read_trec_run(here + "run.txt")))
with open(here + "measures.txt", "w") as out:
    for m in measures:
        print(m, values[m], file=out)
