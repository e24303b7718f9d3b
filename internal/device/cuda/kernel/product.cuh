// What both kernels of products share: their parameters, and what becomes of a sum.

struct Segment { const char* w; const float *scale, *bias; char* out; int rows, stride; };
struct Product {
  Segment segments[3];
  const char *x, *norm;
  char* scratch;
  int count, rows, cols, x_stride;
  float eps;
  int format, epilogue, activation;
  int slots, streamed; // of many rows: of shared memory; of few rows: does the input come in pieces?
};

#define CHAINS 4 // of a sum, see product_few.cu

// What a sum becomes before it is added to something or activated.
DEVICE float scaled(float y, float scale, float bias) { return __fadd_rn(__fmul_rn(y, scale), bias); }

// finish writes the sums y of row m of the input and rows n, n+1 of a segment, n even; up is
// the other half of a gate, old what a residual was.
DEVICE void finish(const Product& p, const Segment& s, const float* y, const float* up, const float* old, int m, int n) {
  if (n >= s.rows) return;
  const bool both = n + 1 < s.rows, bf = p.format == BF16;
  float v[2];
#pragma unroll
  for (int e = 0; e < 2; e++) {
    if (e && !both) { v[e] = 0; break; }
    v[e] = scaled(y[e], s.scale ? s.scale[n + e] : 1, s.bias ? s.bias[n + e] : 0);
    if (p.epilogue == ADD) v[e] = __fadd_rn(old[e], v[e]);
    if (p.epilogue >= GATED) v[e] = activate(p.activation, v[e]);
    if (p.epilogue == GATED) {
      const Segment& other = p.segments[1];
      v[e] = __fmul_rn(v[e], scaled(up[e], other.scale ? other.scale[n + e] : 1, other.bias ? other.bias[n + e] : 0));
    }
  }
  const size_t at = (size_t)m * s.stride + n;
  if (p.epilogue >= GATED) {
    u16* out = (u16*)s.out + at;
    if (both) *(u32*)out = pair_half(v[0], v[1], bf); // strides are multiples of 64
    else *out = to_half(v[0], bf);
  } else {
    float* out = (float*)s.out + at;
    if (both && s.stride % 2 == 0) *(float2*)out = make_float2(v[0], v[1]);
    else { out[0] = v[0]; if (both) out[1] = v[1]; }
  }
}
