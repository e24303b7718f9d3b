"""Writes internal/tensor/quant/testdata/dequantize.json: random blocks of
every storage type and the f32 values that gguf-py gives for them.

    pip install gguf numpy
    python3 tools/reference/dequantize.py > internal/tensor/quant/testdata/dequantize.json
"""

import base64
import json
import sys

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

# Offsets of the half-precision fields of a block, which must be numbers.
HALVES = {
    "F32": [], "F16": [0], "BF16": [], "Q4_0": [0], "Q4_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q6_K": [208],
    "Q5_0": [0], "Q5_1": [0, 2], "Q2_K": [80, 82], "Q3_K": [108], "Q5_K": [0, 2],
    "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [],
}
WEIGHTS = 512

rng = np.random.default_rng(4)
cases = []
for name, halves in HALVES.items():
    kind = GGMLQuantizationType[name]
    weights, size = GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (WEIGHTS // weights, size), dtype=np.uint8)
    if name in ("F32", "BF16"):
        top = {"F32": 3, "BF16": 1}[name]
        blocks[:, top] = (blocks[:, top] & 0x80) | 0x3E  # exponents near 0
    if name == "MXFP4":
        blocks[:, 0] = np.arange(len(blocks)) * 16  # exponents of the whole range, subnormal scales too
    for at in halves:
        values = (rng.standard_normal(len(blocks)) * 0.1).astype(np.float16)
        values[0] = np.float16(6e-8)  # subnormal
        blocks[:, at : at + 2] = values.view(np.uint8).reshape(-1, 2)
    raw = blocks.reshape(-1)
    if name == "F32":
        values = raw.view(np.float32)
    elif name == "F16":
        values = raw.view(np.float16).astype(np.float32)
    else:
        values = dequantize(raw, kind)
    assert values.dtype == np.float32 and values.size == WEIGHTS and np.isfinite(values).all()
    cases.append(
        {
            "type": name,
            "stored": base64.b64encode(raw.tobytes()).decode(),
            "values": base64.b64encode(values.astype("<f4").tobytes()).decode(),
        }
    )
json.dump(cases, sys.stdout, indent=1)
print()
