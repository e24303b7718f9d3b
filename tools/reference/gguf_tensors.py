"""Lists the tensors of a GGUF file as the `gguf` package (PyPI) sees them.

    pip install gguf
    python tools/reference/gguf_tensors.py MODEL.gguf > internal/checkpoint/gguf/testdata/smollm2-135m.tsv

One line a tensor, in file order: name, type, dimensions (ggml's order, columns
first), SHA-256 of the stored bytes.
"""

import hashlib
import sys

from gguf import GGUFReader

for t in GGUFReader(sys.argv[1]).tensors:
    shape = "x".join(str(int(n)) for n in t.shape)
    print(t.name, t.tensor_type.name, shape, hashlib.sha256(t.data.tobytes()).hexdigest(), sep="\t")
