"""Writes internal/tensor/quant/testdata/quantize.json: random weights, the bytes to which
gguf-py rounds them, and for Q4_K, which gguf-py cannot write, the root mean square error
of llama.cpp's own.

    pip install gguf numpy
    python3 tools/reference/quantize.py LIBGGML_BASE.so > internal/tensor/quant/testdata/quantize.json
"""

import base64
import ctypes
import json
import sys

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize

ROWS, COLS = 8, 512
rng = np.random.default_rng(6)
weights = rng.standard_normal((ROWS, COLS)).astype(np.float32) * 0.03
weights[1, ::37] *= 20  # outliers
weights[2] = np.abs(weights[2])
weights[3, :256] = 0
weights[4] += 0.2
weights[5] *= 1e-6


def encode(array):
    return base64.b64encode(array.tobytes()).decode()


ggml = ctypes.CDLL(sys.argv[1])
ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
kind = GGMLQuantizationType.Q4_K
block, size = GGML_QUANT_SIZES[kind]
out = np.zeros(ROWS * COLS // block * size, dtype=np.uint8)
ggml.ggml_quantize_chunk(int(kind), weights.ctypes.data, out.ctypes.data, 0, ROWS, COLS, None)
errors = np.sqrt(((dequantize(out, kind).reshape(ROWS, COLS) - weights).astype(np.float64) ** 2).mean(axis=1))

json.dump(
    {
        "cols": COLS,
        "weights": encode(weights),
        "Q8_0": encode(quantize(weights, GGMLQuantizationType.Q8_0)),
        "Q4_0": encode(quantize(weights, GGMLQuantizationType.Q4_0)),
        "Q4_K": errors.tolist(),
    },
    sys.stdout,
    indent=1,
)
print()
