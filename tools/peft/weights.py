"""A GGUF file's metadata and weights, expanded to f32 as ggml expands them. Only numpy is needed."""

import hashlib
import struct

import numpy as np

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


def read_gguf(path):
    """Returns the metadata, the tensors [rows, columns] as float32, and of each a line for the digest."""
    data = np.memmap(path, np.uint8, "r")
    at = 0

    def take(code):
        nonlocal at
        (value,) = struct.unpack_from("<" + code, data, at)
        at += struct.calcsize("<" + code)
        return value

    def string():
        nonlocal at
        size = take("Q")
        at += size
        return bytes(data[at - size : at]).decode("utf-8", "replace")

    def value(kind):
        if kind == STRING:
            return string()
        if kind == ARRAY:
            item, count = take("I"), take("Q")
            return [value(item) for _ in range(count)]
        return take(SCALARS[kind])

    if take("4s") != b"GGUF" or take("I") not in (2, 3):
        raise SystemExit(f"{path}: not a GGUF file of version 2 or 3")
    tensors, fields = take("Q"), take("Q")
    meta = {}
    for _ in range(fields):
        key = string()
        meta[key] = value(take("I"))
    infos = []
    for _ in range(tensors):
        name = string()
        shape = [take("Q") for _ in range(take("I"))]
        infos.append((name, shape, take("I"), take("Q")))
    align = meta.get("general.alignment", 32)
    start = -(-at // align) * align
    weights, lines = {}, {}
    for name, shape, kind, offset in infos:
        if kind not in STORED:
            raise SystemExit(f"tensor {name}: storage type {kind} is none of {', '.join(word for word, *_ in STORED.values())}")
        word, per_block, size, expand = STORED[kind]
        count = int(np.prod(shape))
        stored = data[start + offset : start + offset + count // per_block * size]
        weights[name] = expand(np.asarray(stored).reshape(-1, size)).reshape(tuple(reversed(shape)))
        rows = shape[1] if len(shape) > 1 else 1
        lines[name] = f"{name} {word} [{rows}, {shape[0]}] {hashlib.sha256(stored).hexdigest()}\n"
    return meta, weights, lines


def half(raw):
    """Returns a block's bytes [blocks, 2] as numbers [blocks, 1]."""
    return raw.copy().view(np.float16).astype(np.float32)


def halves(raw):
    """Returns the low and then the high halves of bytes [..., n], as [..., 2n]."""
    return np.concatenate([raw & 15, raw >> 4], -1)


def q4_1(b):
    """Scale, minimum, 16 bytes of which the low halves come first."""
    return halves(b[:, 4:]).astype(np.float32) * half(b[:, :2]) + half(b[:, 2:4])


def q5_0(b):
    """Scale, the fifth bits of 32 numbers, their other four."""
    fifth = np.unpackbits(b[:, 2:6], axis=1, bitorder="little") << 4
    return ((halves(b[:, 6:]) | fifth).astype(np.float32) - 16) * half(b[:, :2])


def q8_0(b):
    """Scale, 32 signed bytes."""
    return b[:, 2:].copy().view(np.int8).astype(np.float32) * half(b[:, :2])


def q4_k(b):
    """Scale of scales and of minimums, eight of each in 6 bits, 8 runs of 32 numbers: two by two the halves of 32 bytes."""
    first, second, rest = b[:, 4:8], b[:, 8:12], b[:, 12:16]
    scales = np.concatenate([first & 63, (rest & 15) | (first >> 6 << 4)], 1) * half(b[:, :2])
    minimums = np.concatenate([second & 63, (rest >> 4) | (second >> 6 << 4)], 1) * half(b[:, 2:4])
    quants = halves(b[:, 16:].reshape(-1, 4, 32)).reshape(-1, 8, 32).astype(np.float32)
    return quants * scales[..., None] - minimums[..., None]


def q6_k(b):
    """The low four bits of 256 numbers, their high two, a signed scale for each 16, the scale of scales."""
    low = halves(b[:, :128].reshape(-1, 2, 64)).reshape(-1, 8, 32)
    high = (b[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8).reshape(4, 1)) & 3
    quants = (low | high.reshape(-1, 8, 32) << 4).astype(np.float32) - 32
    scales = b[:, 192:208].copy().view(np.int8) * half(b[:, 208:])
    return quants.reshape(-1, 16, 16) * scales[..., None]


# A storage type's name, how many weights and bytes a block has, and how blocks [n, bytes] are expanded.
STORED = {
    0: ("F32", 1, 4, lambda b: b.copy().view(np.float32)),
    1: ("F16", 1, 2, half),
    3: ("Q4_1", 32, 20, q4_1),
    6: ("Q5_0", 32, 22, q5_0),
    8: ("Q8_0", 32, 34, q8_0),
    12: ("Q4_K", 256, 144, q4_k),
    14: ("Q6_K", 256, 210, q6_k),
}
