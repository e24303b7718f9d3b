// Packing: stored weights to tiles of 8 rows, a warp a unit of 64 columns.

struct Pack { const char* from; char* to; float* scale; int first, rows, cols, stored, format, _; };

// What a lane holds of a unit, as products read it: element e of pair i.
DEVICE int column_of(int t, int i, int e) { return i / 2 * 16 + i % 2 * 8 + 2 * t + e; }

KERNEL __launch_bounds__(256) void pack(const __grid_constant__ Pack p) {
  const int units = (p.cols + 63) / 64, unit = blockIdx.x * 8 + threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const int tile = unit / units, u = unit % units, row = tile * 8 + g;
  if (tile * 8 >= p.rows) return;
  char* to = p.to + ((size_t)(p.first / 8 + tile) * units + u) * unit_bytes(p.format);
  const char* from = p.from + (size_t)row * stored_bytes(p.stored, p.cols);
  const bool there = row < p.rows;
  if (p.format == F16 || p.format == BF16) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
      float v[2];
#pragma unroll
      for (int e = 0; e < 2; e++) {
        int k = u * 64 + column_of(t, i, e);
        v[e] = there && k < p.cols ? stored_number(from, p.stored, k) : 0;
      }
      *(u32*)(to + swizzled(g, i) + t * 4) = pair_half(v[0], v[1], p.format == BF16);
    }
    return;
  }
  u8 code[16];
#pragma unroll
  for (int i = 0; i < 16; i++) {
    int k = u * 64 + column_of(t, i / 2, i % 2);
    code[i] = p.format == Q4 ? 0 : 128;
    if (there && k < p.cols) code[i] += code_at(from, p.stored, k).code;
  }
  if (p.format == Q4) {
    u32 w[2] = {};
#pragma unroll
    for (int i = 0; i < 16; i++) w[i / 8] |= (u32)code[i] << (i % 8 / 2 * 4 + i % 2 * 16);
    *(uint2*)(to + lane * 8) = make_uint2(w[0], w[1]);
    if (t < 2) {
      int k = u * 64 + t * 32;
      Code c = there && k < p.cols ? code_at(from, p.stored, k) : Code{0, 0, 0};
      *(u32*)(to + 256 + g * 8 + t * 4) = pair_f16(c.scale, c.minimum);
    }
    return;
  }
  u32 w[4];
#pragma unroll
  for (int j = 0; j < 4; j++) w[j] = code[4 * j] | code[4 * j + 1] << 8 | code[4 * j + 2] << 16 | (u32)code[4 * j + 3] << 24;
  *(uint4*)(to + lane * 16) = make_uint4(w[0], w[1], w[2], w[3]);
  const int scales = p.format == Q8 ? 2 : 4;
  if (t < scales) {
    int k = u * 64 + t * (64 / scales);
    *(u16*)(to + 512 + (g * scales + t) * 2) = to_f16(there && k < p.cols ? code_at(from, p.stored, k).scale : 0);
  }
}

// The nearest e4m3 number, ties to even, of one within ±448.
DEVICE u8 to_f8(float f) {
  u32 sign = __float_as_int(f) >> 31 & 1, q;
  float a = fabsf(f);
  if (a < 0.015625f) q = (u32)__float2int_rn(a * 512); // subnormal numbers and the first after them
  else {
    u32 b = (u32)__float_as_int(a);
    b += 0x7ffff + (b >> 20 & 1);
    q = (b >> 20) - (120 << 3);
    q = q < 0x7e ? q : 0x7e;
  }
  return (u8)(sign << 7 | q);
}

DEVICE float from_f8(u8 q) {
  u32 e = q >> 3 & 15, m = q & 7;
  float a = e ? __int_as_float((int)((e + 120) << 23 | m << 20)) : (float)m * 0.001953125f;
  return q & 128 ? -a : a;
}

// A block packs a row. Where the row falls between e4m3's steps depends on its scale: the
// best of some within an octave is taken, in which no number is out of range.
constexpr int F8_SCALES = 16;
DEVICE float scale_f8(float least, int i) { return __fmul_rn(least, 1 + i * (1.f / F8_SCALES)); }

KERNEL __launch_bounds__(256) void pack_f8(const __grid_constant__ Pack p) {
  __shared__ float partial[8], errors[8][F8_SCALES];
  const int row = blockIdx.x, units = (p.cols + 63) / 64, g = row % 8;
  const char* from = p.from + (size_t)row * stored_bytes(p.stored, p.cols);
  const bool there = row < p.rows;
  float most = 0;
  if (there)
    for (int k = threadIdx.x; k < p.cols; k += 256) most = fmaxf(most, fabsf(stored_number(from, p.stored, k)));
  most = warp_max(most);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = most;
  __syncthreads();
  for (int i = 0; i < 8; i++) most = fmaxf(most, partial[i]);
  const float least = most > 0 ? __fdiv_rn(most, 448) : 1;
  float error[F8_SCALES] = {};
  if (there)
    for (int k = threadIdx.x; k < p.cols; k += 256) {
      const float v = stored_number(from, p.stored, k);
#pragma unroll
      for (int i = 0; i < F8_SCALES; i++) {
        const float s = scale_f8(least, i), d = __fmaf_rn(from_f8(to_f8(__fdiv_rn(v, s))), s, -v);
        error[i] = __fmaf_rn(d, d, error[i]);
      }
    }
#pragma unroll
  for (int i = 0; i < F8_SCALES; i++) {
    const float e = warp_sum(error[i]);
    if (threadIdx.x % 32 == 0) errors[threadIdx.x / 32][i] = e;
  }
  __syncthreads();
  float scale = least, smallest = 0;
  for (int i = 0; i < F8_SCALES; i++) {
    float e = 0;
    for (int w = 0; w < 8; w++) e += errors[w][i];
    if (i == 0 || e < smallest) scale = scale_f8(least, i), smallest = e;
  }
  if (threadIdx.x == 0) p.scale[p.first + row] = scale;
  for (int i = threadIdx.x; i < units * 64; i += 256) {
    // The i'th byte of the row: unit, lane of the row, byte.
    int u = i / 64, t = i / 16 % 4, b = i % 16, k = u * 64 + column_of(t, b / 2, b % 2);
    u8 q = there && k < p.cols ? to_f8(__fdiv_rn(stored_number(from, p.stored, k), scale)) : 0;
    p.to[((size_t)((p.first + row) / 8) * units + u) * 512 + (g * 4 + t) * 16 + b] = (char)q;
  }
}

struct Expand { const char* from; char* to; int rows, cols, format, _; };

template <int F> DEVICE void expand_one(const char* from, char* to, int lane) {
  Codes<F> c;
  load_codes<F>(c, from, lane);
#pragma unroll
  for (int k = 0; k < 4; k++) {
    u32 b[2];
    expand_step<F>(b[0], b[1], c, k);
#pragma unroll
    for (int i = 0; i < 2; i++) *(u32*)(to + swizzled(lane / 4, 2 * k + i) + lane % 4 * 4) = b[i];
  }
}

KERNEL __launch_bounds__(256) void expand(const __grid_constant__ Expand p) {
  let_next_begin();
  wait_for_input();
  const int units = (p.cols + 63) / 64, unit = blockIdx.x * 8 + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (unit >= (p.rows + 7) / 8 * units) return;
  const char* from = p.from + (size_t)unit * unit_bytes(p.format);
  char* to = p.to + (size_t)unit * 1024;
  if (p.format == F8) expand_one<F8>(from, to, lane);
  else if (p.format == Q8) expand_one<Q8>(from, to, lane);
  else if (p.format == Q6) expand_one<Q6>(from, to, lane);
  else expand_one<Q4>(from, to, lane);
}

struct Random { char* to; u64 count, seed; float std; int stored; };

// Sums of four uniform numbers, near enough to a Gaussian.
KERNEL __launch_bounds__(256) void random(const __grid_constant__ Random p) {
  for (u64 i = blockIdx.x * 256ull + threadIdx.x; i < p.count; i += gridDim.x * 256ull) {
    u64 z = (i + 1) * 0x9E3779B97F4A7C15ull + p.seed;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    float f = ((float)(u32)(z & 0xffff) + (float)(u32)(z >> 16 & 0xffff) + (float)(u32)(z >> 32 & 0xffff) + (float)(u32)(z >> 48) - 131070.f) * (1.f / 37837.f) * p.std;
    if (p.stored == STORED_F32) ((float*)p.to)[i] = f;
    else ((u16*)p.to)[i] = to_half(f, p.stored == STORED_BF16);
  }
}
