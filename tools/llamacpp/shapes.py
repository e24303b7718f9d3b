"""Writes a GGUF file of a published model's shape with random weights, in the types of llama.cpp's Q4_K_M.

    python3 tools/llamacpp/shapes.py --vocabulary SmolLM2-135M-Instruct.Q4_1.gguf --shape 8b -o 8b.gguf

Speed and memory depend on shapes and types, not on what the weights are. Tokenizer and template are those of the file that
--vocabulary names, filled up with unused tokens. Needs gguf (0.19.0 was used) and numpy.
"""

import argparse

import gguf
import numpy as np

Q4_K, Q6_K = gguf.GGMLQuantizationType.Q4_K, gguf.GGMLQuantizationType.Q6_K

# layers, width, feed-forward width, heads, heads of keys, tokens, whether the head is the embedding
SHAPES = {
    "1b": (16, 2048, 8192, 32, 8, 128256, True),  # Llama 3.2 1B
    "3b": (28, 3072, 8192, 24, 8, 128256, True),  # Llama 3.2 3B
    "8b": (32, 4096, 14336, 32, 8, 128256, False),  # Llama 3 8B
}


def more_bits(layer, layers):
    """Says which layers' values and down projections llama-quantize gives 6 bits."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def matrix(rng, kind, rows, cols):
    """Returns the bytes of random weights around 0, about 1/√cols in size."""
    blocks = rows * cols // 256
    if kind == Q4_K:  # d, dmin, 12 bytes of scales and minimums of 6 bits, nibbles
        data = np.frombuffer(rng.bytes(blocks * 144), np.uint8).reshape(blocks, 144).copy()
        step = 1 / np.sqrt(cols) / 32 / 5
        data[:, 0:4] = np.array([step, 7.5 * step], np.float16).view(np.uint8)
    else:  # nibbles, pairs of bits, 16 scales of 8 bits, d
        data = np.frombuffer(rng.bytes(blocks * 210), np.uint8).reshape(blocks, 210).copy()
        data[:, 208:210] = np.array([1 / np.sqrt(cols) / 74 / 18], np.float16).view(np.uint8)
    return data.reshape(rows, -1)


def tensors(shape):
    """Lists names, types and sizes of the matrices."""
    layers, width, wide, heads, kv, tokens, tied = shape
    head = width // heads
    yield "token_embd.weight", Q6_K if tied else Q4_K, tokens, width
    if not tied:
        yield "output.weight", Q6_K, tokens, width
    for i in range(layers):
        high = Q6_K if more_bits(i, layers) else Q4_K
        yield f"blk.{i}.attn_q.weight", Q4_K, width, width
        yield f"blk.{i}.attn_k.weight", Q4_K, kv * head, width
        yield f"blk.{i}.attn_v.weight", high, kv * head, width
        yield f"blk.{i}.attn_output.weight", Q4_K, width, width
        yield f"blk.{i}.ffn_gate.weight", Q4_K, wide, width
        yield f"blk.{i}.ffn_up.weight", Q4_K, wide, width
        yield f"blk.{i}.ffn_down.weight", high, width, wide


def vocabulary(writer, path, size):
    """Copies the tokenizer of a file and fills it up."""
    for name, field in gguf.GGUFReader(path).fields.items():
        if not name.startswith("tokenizer."):
            continue
        value, kind = field.contents(), field.types[0]
        filler = {"tokens": lambda i: f"<unused{i}>", "scores": lambda i: 0.0, "token_type": lambda i: 5}.get(name.split(".")[-1])
        if filler:
            value = value + [filler(i) for i in range(len(value), size)]
        writer.add_key_value(name, value, kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--vocabulary", required=True, help="GGUF file whose tokenizer is taken")
    p.add_argument("--shape", choices=SHAPES, required=True)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("-o", "--out", required=True)
    a = p.parse_args()
    shape = SHAPES[a.shape]
    layers, width, wide, heads, kv, tokens, _ = shape
    rng = np.random.default_rng(a.seed)
    w = gguf.GGUFWriter(a.out, "llama")
    w.add_name(f"random {a.shape}")
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
    w.add_block_count(layers)
    w.add_context_length(8192)
    w.add_embedding_length(width)
    w.add_feed_forward_length(wide)
    w.add_head_count(heads)
    w.add_head_count_kv(kv)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_freq_base(500000.0)
    w.add_rope_dimension_count(width // heads)
    w.add_vocab_size(tokens)
    vocabulary(w, a.vocabulary, tokens)
    norms = ["output_norm"] + [f"blk.{i}.{norm}_norm" for i in range(layers) for norm in ("attn", "ffn")]
    for name in norms:
        w.add_tensor_info(f"{name}.weight", (width,), np.dtype(np.float32), 4 * width)
    matrices = list(tensors(shape))
    for name, kind, rows, cols in matrices:
        row = cols // 256 * (144 if kind == Q4_K else 210)
        w.add_tensor_info(name, (rows, row), np.dtype(np.uint8), rows * row, raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_ti_data_to_file()
    for _ in norms:
        w.write_tensor_data(np.ones(width, np.float32))
    for _, kind, rows, cols in matrices:
        w.write_tensor_data(matrix(rng, kind, rows, cols))
    w.close()


if __name__ == "__main__":
    main()
