// Choosing tokens: a block a row of logits.

struct Choice { float temperature, top_p, min_p; int top_k; float uniform; int _; };
struct Choose { const float* logits; const Choice* choices; int *tokens, *finite; int rows, vocab, stride, _; };

// Numbers as unsigned ones of the same order; what is no number comes first.
DEVICE u32 order_of(float f) {
  if (f != f) return 0;
  u32 b = (u32)__float_as_int(f);
  return b & 0x80000000 ? ~b : b | 0x80000000;
}

struct Best { u32 order; int token; };
DEVICE Best better(Best a, Best b) { return b.order > a.order || (b.order == a.order && b.token < a.token) ? b : a; }

DEVICE float block_sum(float x, float* room) {
  x = warp_sum(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = x;
  __syncthreads();
  float s = 0;
  for (int i = 0; i < 32; i++) s = __fadd_rn(s, room[i]);
  return s;
}

// Logits of a row, best first and the smaller token first among equals, are kept up to one of
// them: the last is found bit by bit of (order, token), by how many or how much is at least as good.
DEVICE u64 key_of(float logit, int token) { return (u64)order_of(logit) << 32 | (u32)~token; }

// The smallest key for which measure(key), of those at least as good, is not above a limit
// unless it is the first that reaches it. measure falls as keys grow.
template <class M> DEVICE u64 last_key(M measure, float limit) {
  u64 key = 0;
  for (int bit = 63; bit >= 0; bit--) {
    u64 next = key | 1ull << bit;
    if (measure(next) >= limit) key = next;
  }
  return key;
}

KERNEL __launch_bounds__(1024) void choose(const __grid_constant__ Choose p) {
  __shared__ Best bests[32];
  __shared__ float room[32];
  __shared__ int wrong;
  let_next_begin();
  wait_for_input();
  const float* x = p.logits + (size_t)blockIdx.x * p.stride;
  const Choice c = p.choices[blockIdx.x];
  const int thread = threadIdx.x;
  if (thread == 0) wrong = 0;
  __syncthreads();
  Best best = {0, 0x7fffffff};
  bool finite = true;
  for (int i = thread; i < p.vocab; i += 1024) {
    float v = __ldcg(x + i);
    finite = finite && fabsf(v) < INFINITE;
    best = better(best, Best{order_of(v), i});
  }
  if (!finite) wrong = 1;
  for (int o = 16; o; o >>= 1) best = better(best, Best{__shfl_xor_sync(~0u, best.order, o), __shfl_xor_sync(~0u, best.token, o)});
  if (thread % 32 == 0) bests[thread / 32] = best;
  __syncthreads();
  best = bests[0];
  for (int i = 1; i < 32; i++) best = better(best, bests[i]);
  if (thread == 0) p.finite[blockIdx.x] = !wrong;
  if (c.temperature == 0 || wrong) {
    if (thread == 0) p.tokens[blockIdx.x] = best.token;
    return;
  }
  const float most = __ldcg(x + best.token);
  u64 last = 0;
  if (c.top_k > 0 && c.top_k < p.vocab)
    last = last_key([&](u64 key) {
      float n = 0;
      for (int i = thread; i < p.vocab; i += 1024) n += key_of(__ldcg(x + i), i) >= key;
      return block_sum(n, room);
    }, (float)c.top_k);
  auto probability = [&](u64 key) {
    float s = 0;
    for (int i = thread; i < p.vocab; i += 1024) {
      float v = __ldcg(x + i);
      if (key_of(v, i) >= key) s = __fadd_rn(s, __expf(__fsub_rn(v, most)));
    }
    return block_sum(s, room);
  };
  if (c.top_p > 0 && c.top_p < 1) {
    const u64 of = last;
    const float limit = c.top_p * probability(of);
    u64 key = last_key(probability, limit);
    last = key > of ? key : of;
  }
  const float least = c.min_p > 0 ? most + __logf(c.min_p) : -INFINITE;
  // The weights at the temperature, in the order of probability: the token is the first at which
  // their sum passes its share.
  const float by = 1 / c.temperature;
  auto weight = [&](u64 key) {
    float s = 0;
    for (int i = thread; i < p.vocab; i += 1024) {
      float v = __ldcg(x + i);
      if (v >= least && key_of(v, i) >= key) s = __fadd_rn(s, __expf(__fmul_rn(__fsub_rn(v, most), by)));
    }
    return block_sum(s, room);
  };
  const u64 of = last;
  const float share = c.uniform * weight(of);
  u64 key = 0;
  for (int bit = 63; bit >= 0; bit--) {
    u64 next = key | 1ull << bit;
    if (weight(next) > share) key = next;
  }
  if (key < of) key = of;
  const int token = (int)~(u32)key;
  // The key is that of a token, since the sum passes the share at one.
  if (thread == 0) p.tokens[blockIdx.x] = token >= 0 && token < p.vocab ? token : best.token;
}
