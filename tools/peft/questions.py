"""Examples of a chat, drawn anew at each step: which passages a question is shown, and in what company."""

import random


def lot(*of):
    """Returns a generator whose numbers depend on these values only, so that a training can go on anywhere."""
    return random.Random(repr(of))


class Questions:
    """Batches of questions from several sets, each with its share. Those of like length share a batch."""

    POOL = 16  # batches that are drawn together and then cut by length

    def __init__(self, sets, shares, layout, batch, seed, nothing=(), unanswerable=0.0):
        self.sets, self.shares, self.layout, self.batch, self.seed = sets, shares, layout, batch, seed
        self.nothing, self.unanswerable = list(nothing), unanswerable
        ends = [round(self.POOL * batch * sum(shares[:n])) for n in range(len(sets) + 1)]
        self.counts = [b - a for a, b in zip(ends, ends[1:])]  # of each set in a pool
        self.pool, self.orders = (None, []), {}

    def step(self, number):
        """Returns the windows of a step."""
        turn, at = divmod(number, self.POOL)
        if self.pool[0] != turn:
            r = lot(self.seed, "pool", turn)
            drawn = []
            for n, count in enumerate(self.counts):
                drawn += [self.draw(self.nth(n, turn * count + i), r) for i in range(count)]
            drawn.sort(key=self.length)
            batches = [drawn[i : i + self.batch] for i in range(0, len(drawn), self.batch)]
            r.shuffle(batches)
            self.pool = turn, batches
        return self.pool[1][at]

    def nth(self, n, i):
        """Returns the i-th window drawn of a set, which goes round in an order of its own each time."""
        turn, at = divmod(i, len(self.sets[n]))
        if self.orders.get(n, (None,))[0] != turn:
            order = list(self.sets[n])
            lot(self.seed, "order", n, turn).shuffle(order)
            self.orders[n] = turn, order
        return self.orders[n][1][at]

    def length(self, window):
        (stride,) = window["strides"]
        return len(window["tokens"]) + sum(len(p["tokens"]) for p in stride["passages"])

    def draw(self, window, r):
        """Shows a question its own passage among those found, mostly as a look-up would."""
        (x,) = window["strides"]
        k = self.layout.k if r.random() < 0.85 else 1
        others = [p for i, p in enumerate(x["passages"]) if i != x["own"]]
        if x["own"] < 0 or r.random() < self.unanswerable:
            tokens = window["tokens"][: x["context"]] + self.nothing
            return {"tokens": tokens, "strides": [{**x, "passages": others[:k]}]}
        if r.random() < 0.3:
            r.shuffle(others)
        passages = others[: k - 1]
        best = x["own"] if x["own"] < k else r.randrange(k)
        passages.insert(best if r.random() < 0.7 else r.randrange(k), x["passages"][x["own"]])
        return {**window, "strides": [{**x, "passages": passages}]}


def shown(windows, k):
    """Shows each question k passages as found, its own last where it is not among them: what a validation is measured on."""
    fixed = []
    for w in windows:
        (x,) = w["strides"]
        passages = x["passages"][:k]
        if x["own"] >= k:
            passages[-1] = x["passages"][x["own"]]
        fixed.append({**w, "strides": [{**x, "passages": passages}]})
    return fixed
