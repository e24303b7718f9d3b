// What both kernels of products share: their parameters, and what becomes of a sum.

struct Segment { const char* w; const float *scale, *bias; char* out; int rows, stride; };
struct Product {
  Segment segments[3];
  const char *x, *norm;
  char* scratch;
  int count, rows, cols, x_stride;
  float eps;
  int format, epilogue, activation;
  int ring, streamed; // of few rows: bytes of shared memory for weights; is the input streamed too?
};

// finish writes the sums y of row m of the input and rows n, n+1 of a segment, n even; up is
// the other half of a gate, old what a residual was.
DEVICE void finish(const Product& p, const Segment& s, const float* y, const float* up, const float* old, int m, int n) {
  if (n >= s.rows) return;
  const bool both = n + 1 < s.rows, bf = p.format == BF16;
  float v[2];
#pragma unroll
  for (int e = 0; e < 2; e++) {
    if (e && !both) { v[e] = 0; break; }
    v[e] = y[e];
    if (s.scale) v[e] = __fmul_rn(v[e], s.scale[n + e]);
    if (s.bias) v[e] = __fadd_rn(v[e], s.bias[n + e]);
    if (p.epilogue == ADD) v[e] = __fadd_rn(old[e], v[e]);
    if (p.epilogue == GATED) {
      const Segment& other = p.segments[1];
      float u = up[e];
      if (other.scale) u = __fmul_rn(u, other.scale[n + e]);
      if (other.bias) u = __fadd_rn(u, other.bias[n + e]);
      v[e] = __fmul_rn(activate(p.activation, v[e]), u);
    }
    if (p.epilogue == ACTIVATED) v[e] = activate(p.activation, v[e]);
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
