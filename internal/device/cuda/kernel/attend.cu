// Attention over the splits of a group's view. A tile is 16 pairs (row, head) of one KV head,
// so that grouped queries share each key. Per split, from products of tensor cores: scores, their
// maximum, weights in f16 against that maximum, their sum and the weighted sum of values.
// Splits are then added in order. Both kernels do the same arithmetic for a pair, so its bits do
// not depend on which of them ran or on what stood beside it.

#define SPLIT 128
#define PAGE 32
#define PART 4 // numbers of a pair's part behind its sums: maximum, sum of weights

struct KV { char* base; u64 page_stride; };
struct Group { int first, count, splits, split_count, position, _[3]; };
struct Split { int pages[4]; int count, diagonal, position, whole; };

// --- rope and store ---

struct Rotate {
  KV kv;
  const float *q, *k, *v;
  u16* to;
  const float *cos, *sin;
  const int* slots;
  int rows, q_stride, k_stride, v_stride, heads, kv_heads, head_dim, pairs, turn_width, halves;
};

// A warp takes a head of a row: of the queries, the keys or the values.
KERNEL __launch_bounds__(128) void rotate(const __grid_constant__ Rotate p) {
  let_next_begin();
  wait_for_input();
  const int row = blockIdx.y, lane = threadIdx.x % 32, width = (p.head_dim + 15) / 16 * 16;
  int head = blockIdx.x * 4 + threadIdx.x / 32;
  if (head >= p.heads + 2 * p.kv_heads) return;
  const bool query = head < p.heads, value = head >= p.heads + p.kv_heads;
  if (!query) head -= value ? p.heads + p.kv_heads : p.heads;
  const int slot = p.slots[row];
  if (!query && slot < 0) return;
  const float* from = query ? p.q + (size_t)row * p.q_stride : value ? p.v + (size_t)row * p.v_stride : p.k + (size_t)row * p.k_stride;
  from += head * p.head_dim;
  const float *cos = p.cos + (size_t)row * p.turn_width, *sin = p.sin + (size_t)row * p.turn_width;
  const int turned = p.cos && !value ? p.pairs : 0;
  u16* to = query ? p.to + ((size_t)row * p.heads + head) * width
                  : (u16*)(p.kv.base + (u64)(slot / PAGE) * p.kv.page_stride) + (size_t)((value ? p.kv_heads : 0) + head) * width * PAGE + slot % PAGE * 8;
  for (int i = lane; i < width; i += 32) {
    float x = i < p.head_dim ? __ldcg(from + i) : 0;
    if (i < 2 * turned) {
      const int pair = p.halves ? i % turned : i / 2;
      const bool second = p.halves ? i >= turned : i & 1;
      const float y = __ldcg(from + (p.halves ? (second ? i - turned : i + turned) : i ^ 1));
      const float c = __ldcg(cos + pair), s = __ldcg(sin + pair);
      x = second ? __fmaf_rn(x, c, __fmul_rn(y, s)) : __fmaf_rn(x, c, -__fmul_rn(y, s));
    }
    to[query ? i : i / 8 * PAGE * 8 + i % 8] = to_f16(x);
  }
}

// --- attention ---

struct Attend {
  KV kv;
  const u16* q;
  char* out;
  const Group* groups;
  const Split* splits;
  float* parts;
  u32* counters;
  int count, max_rows, max_split, heads, kv_heads, head_dim, out_stride, window;
  float scale, soft_cap;
  int half, _;
};

// What a lane needs of its pairs g and g+8 of a tile.
struct Pairs { int row[2]; bool there[2]; };

DEVICE Pairs pairs_of(const Attend& p, const Group& group, int first, int g) {
  const int share = p.heads / p.kv_heads;
  Pairs r;
#pragma unroll
  for (int i = 0; i < 2; i++) {
    r.row[i] = (first + g + 8 * i) / share;
    r.there[i] = r.row[i] < group.count;
  }
  return r;
}

// The place of a pair's query head in rows of all heads.
DEVICE size_t head_of(const Attend& p, const Group& group, int kv_head, int pair) {
  const int share = p.heads / p.kv_heads;
  return (size_t)(group.first + pair / share) * p.heads + kv_head * share + pair % share;
}

// Queries as the first operand: 16 pairs and columns 16k … 16k+15.
DEVICE void load_queries(u32* a, const Attend& p, const Group& group, const Pairs& pairs, int kv_head, int first, int width, int k) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const u16* q = p.q + head_of(p, group, kv_head, first + g + 8 * i) * width + k * 16 + 2 * t;
    a[i] = pairs.there[i] ? __ldcg((const u32*)q) : 0;
    a[i + 2] = pairs.there[i] ? __ldcg((const u32*)(q + 8)) : 0;
  }
}

// The score of key i of a split for a pair's row in powers of two, -infinity where it is not seen.
DEVICE float score_of(const Attend& p, const Group& group, const Split& split, int row, int i, float product) {
  bool seen = i < split.count && i <= split.diagonal + row;
  if (p.window && !split.whole) seen = seen && group.position + row - (split.position + i) < p.window;
  float s = __fmul_rn(product, p.scale);
  if (p.soft_cap != 0) s = __fmul_rn(p.soft_cap, tanhf(__fdiv_rn(s, p.soft_cap)));
  return seen ? __fmul_rn(s, 1.4426950408889634f) : -INFINITE;
}

DEVICE float weight_of(float score, float most) { return score == -INFINITE ? 0 : exp2f(__fsub_rn(score, most)); }

// Does any row of a tile see any key of the split? Splits that none sees add nothing.
DEVICE bool seen_at_all(const Attend& p, const Group& group, const Split& split, int first_row, int last_row) {
  if (split.count <= 0 || split.diagonal + last_row < 0) return false;
  return !p.window || split.whole || group.position + first_row - (split.position + split.count - 1) < p.window;
}

// The scores of 8 keys from 8n on against 16 pairs; keys lie [width/8][PAGE][8] a page.
DEVICE void multiply_keys(float* c, const u32 (*q)[4], u32 keys, int width, int n, int columns) {
  const int lane = threadIdx.x % 32;
  c[0] = c[1] = c[2] = c[3] = 0;
  u32 at = keys + n / 4 * width * PAGE * 2 + n % 4 * 128 + lane / 8 * PAGE * 16 + lane % 8 * 16;
#pragma unroll
  for (int k = 0; k < columns; k += 2) { // 32 columns a time; the last 16 may not be there
    if (k * 16 >= width) break;
    u32 b[4];
    load_blocks(b, (k + 1) * 16 < width || lane < 16 ? at + k * 2 * PAGE * 16 : at);
    mma<false>(c, q[k], b[0], b[1]);
    if ((k + 1) * 16 < width) mma<false>(c, q[k + 1], b[2], b[3]);
  }
}

// Sixteen columns from 16d on of the weighted sum of 128 values.
DEVICE void multiply_values(float (*o)[4], const u32 (*weights)[4], u32 values, int width, int d) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int j = 0; j < 2; j++)
#pragma unroll
    for (int e = 0; e < 4; e++) o[j][e] = 0;
#pragma unroll
  for (int k = 0; k < SPLIT / 16; k++) { // keys 16k …: blocks of keys 0-7 and 8-15, then the next columns
    u32 b[4];
    load_blocks_across(b, values + k / 2 * width * PAGE * 2 + ((d * 2 + lane / 16) * PAGE + k % 2 * 16 + lane % 16) * 16);
    mma<false>(o[0], weights[k], b[0], b[1]);
    mma<false>(o[1], weights[k], b[2], b[3]);
  }
}

// The sum of the weights of pairs g and g+8, in all lanes.
DEVICE void sum_weights(float* l, const u32 (*weights)[4]) {
  float c[4] = {0, 0, 0, 0};
#pragma unroll
  for (int k = 0; k < SPLIT / 16; k++) mma<false>(c, weights[k], 0x3c003c00, 0x3c003c00); // ones
  l[0] = c[0];
  l[1] = c[2];
}

// What a split adds to what stood there, given its maximum.
struct Merge { float old_by, new_by; };
DEVICE Merge merge_of(float& most, float split_most) {
  float m = fmaxf(most, split_most);
  Merge r = {exp2f(__fsub_rn(most, m)), exp2f(__fsub_rn(split_most, m))};
  most = m;
  return r;
}
DEVICE float merged(const Merge& m, float old, float now) { return __fmaf_rn(old, m.old_by, __fmul_rn(now, m.new_by)); }

// A page's keys or values of a head come to shared memory in one piece.
DEVICE const char* page_at(const Attend& p, const Split& split, int kv_head, int page, bool values, int width) {
  return p.kv.base + (u64)split.pages[page] * p.kv.page_stride + (size_t)((values ? p.kv_heads : 0) + kv_head) * width * PAGE * 2;
}

// A block takes one split of one tile: each of its four warps scores the keys of a page and
// then sums a quarter of the columns. The last block of a tile adds the splits in order.
template <int WIDTH> DEVICE void few(const Attend& p, const Group& group, char* memory) {
  constexpr int columns = WIDTH / 16;
  __shared__ __align__(16) u16 weights[16][SPLIT + 8];
  __shared__ float warp_most[4][16];
  __shared__ u32 last;
#if HOPPER
  __shared__ u64 bars[2];
#endif
  const int width = (p.head_dim + 15) / 16 * 16, thread = threadIdx.x, warp = thread / 32, lane = thread % 32, g = lane / 4, t = lane % 4;
  const int tiles = gridDim.y / p.kv_heads, kv_head = blockIdx.y / tiles, tile = blockIdx.y % tiles, share = p.heads / p.kv_heads;
  const int first = tile * 16;
  const bool real = first < group.count * share && blockIdx.x < group.split_count;
  char *keys = memory, *values = memory + SPLIT * width * 2;
  const Pairs pairs = pairs_of(p, group, first, g);
  Split split;
  if (real) split = p.splits[group.splits + blockIdx.x];
  const int first_row = first / share, last_row = min((first + 15) / share, group.count - 1);
  const bool seen = real && seen_at_all(p, group, split, first_row, last_row);
  const int page_bytes = width * PAGE * 2;
  if (!real) return;
  float* part = p.parts + (((size_t)blockIdx.z * gridDim.y + blockIdx.y) * p.max_split + blockIdx.x) * 16 * (width + PART);
  if (seen) {
#if HOPPER
    if (thread == 0) {
      barrier_init(bars, 1);
      barrier_init(bars + 1, 1);
      barriers_ready();
      const int pages = (split.count + PAGE - 1) / PAGE;
      for (int v = 0; v < 2; v++) {
        barrier_expect(bars + v, pages * page_bytes);
        for (int i = 0; i < pages; i++) copy_bulk(shared_address((v ? values : keys) + i * page_bytes), page_at(p, split, kv_head, i, v, width), page_bytes, bars + v);
      }
    }
#else
    for (int v = 0; v < 2; v++) {
      for (int i = 0; i < (split.count + PAGE - 1) / PAGE; i++)
        for (int b = thread * 16; b < page_bytes; b += 2048) copy16(shared_address((v ? values : keys) + i * page_bytes) + b, page_at(p, split, kv_head, i, v, width) + b);
      copies_end();
    }
#endif
    // Values behind the last key meet weights of 0, and must be numbers for that.
    for (int i = split.count / PAGE * PAGE + (split.count % PAGE ? PAGE : 0) + thread; i < SPLIT; i += 128)
      for (int d = 0; d < width / 8; d++) *(uint4*)(values + i / PAGE * page_bytes + (d * PAGE + i % PAGE) * 16) = make_uint4(0, 0, 0, 0);
    u32 q[columns][4];
#pragma unroll
    for (int k = 0; k < columns; k++)
      if (k * 16 < width) load_queries(q[k], p, group, pairs, kv_head, first, width, k);
#if HOPPER
    __syncthreads();
    barrier_wait(bars, 0);
#else
    copies_wait<1>();
    __syncthreads();
#endif
    float s[4][4], most[2] = {-INFINITE, -INFINITE};
#pragma unroll
    for (int n = 0; n < 4; n++) {
      const int i = warp * PAGE + n * 8 + 2 * t;
      multiply_keys(s[n], q, shared_address(keys), width, warp * 4 + n, columns);
#pragma unroll
      for (int e = 0; e < 4; e++) {
        s[n][e] = score_of(p, group, split, pairs.row[e / 2], i + e % 2, s[n][e]);
        most[e / 2] = fmaxf(most[e / 2], s[n][e]);
      }
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
      most[i] = fmaxf(most[i], __shfl_xor_sync(~0u, most[i], 1));
      most[i] = fmaxf(most[i], __shfl_xor_sync(~0u, most[i], 2));
      if (t == 0) warp_most[warp][g + 8 * i] = most[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; i++)
      for (int w = 0; w < 4; w++) most[i] = fmaxf(most[i], warp_most[w][g + 8 * i]);
#pragma unroll
    for (int n = 0; n < 4; n++)
#pragma unroll
      for (int i = 0; i < 2; i++)
        *(u32*)&weights[g + 8 * i][warp * PAGE + n * 8 + 2 * t] = pair_f16(weight_of(s[n][2 * i], most[i]), weight_of(s[n][2 * i + 1], most[i]));
#if HOPPER
    barrier_wait(bars + 1, 0);
#else
    copies_wait<0>();
#endif
    __syncthreads();
    u32 w[SPLIT / 16][4];
#pragma unroll
    for (int k = 0; k < SPLIT / 16; k++) load_blocks(w[k], shared_address(&weights[lane % 16][k * 16 + lane / 16 * 8]));
    for (int d = warp; d < width / 16; d += 4) {
      float o[2][4];
      multiply_values(o, w, shared_address(values), width, d);
#pragma unroll
      for (int j = 0; j < 2; j++)
#pragma unroll
        for (int i = 0; i < 2; i++)
          *(float2*)(part + (g + 8 * i) * (width + PART) + d * 16 + j * 8 + 2 * t) = make_float2(o[j][2 * i], o[j][2 * i + 1]);
    }
    if (warp == 0) {
      float l[2];
      sum_weights(l, w);
      if (t == 0)
        for (int i = 0; i < 2; i++) *(float2*)(part + (g + 8 * i) * (width + PART) + width) = make_float2(most[i], l[i]);
    }
  } else if (thread < 16) *(float2*)(part + thread * (width + PART) + width) = make_float2(-INFINITE, 0);
  __threadfence();
  __syncthreads();
  u32* counter = p.counters + blockIdx.z * gridDim.y + blockIdx.y;
  if (thread == 0) last = atomicAdd(counter, 1) == group.split_count - 1;
  __syncthreads();
  if (!last) return;
  if (thread == 0) *counter = 0;
  __threadfence();
  part -= (size_t)blockIdx.x * 16 * (width + PART);
  const size_t next = 16 * (width + PART);
  const int pair_count = min(16, group.count * share - first);
  for (int i = thread; i < pair_count * p.head_dim; i += 128) {
    const int pair = i / p.head_dim, d = i % p.head_dim;
    const float* at = part + pair * (width + PART);
    float o = 0, l = 0, most = -INFINITE;
    for (int j = 0; j < group.split_count; j += 4) {
      float2 m[4];
      float now[4];
#pragma unroll
      for (int b = 0; b < 4; b++) {
        const bool there = j + b < group.split_count;
        m[b] = there ? __ldcg((const float2*)(at + (j + b) * next + width)) : make_float2(-INFINITE, 0);
        now[b] = there ? __ldcg(at + (j + b) * next + d) : 0;
      }
#pragma unroll
      for (int b = 0; b < 4; b++) {
        if (m[b].x == -INFINITE) continue;
        Merge by = merge_of(most, m[b].x);
        o = merged(by, o, now[b]);
        l = merged(by, l, m[b].y);
      }
    }
    const size_t row = group.first + (first + pair) / share;
    const int head = kv_head * share + (first + pair) % share;
    ((u16*)p.out)[row * p.out_stride + head * p.head_dim + d] = to_half(l > 0 ? __fdiv_rn(o, l) : 0, p.half == 2);
  }
}

#define ATTEND(WIDTH) \
  KERNEL __launch_bounds__(128) void attend_few_##WIDTH(const __grid_constant__ Attend p) { \
    extern __shared__ __align__(1024) char room[]; \
    let_next_begin(); \
    wait_for_input(); \
    few<WIDTH>(p, p.groups[blockIdx.z], room); \
  }
ATTEND(64)
ATTEND(128)
ATTEND(256)
#undef ATTEND

// A block takes 64 pairs, a warp 16 of them, and walks through the splits; keys of the next split
// come while the values of this one are summed, and the other way round.
template <int WIDTH> DEVICE void many(const Attend& p, const Group& group, char* memory) {
  constexpr int columns = WIDTH / 16;
  const int width = (p.head_dim + 15) / 16 * 16, thread = threadIdx.x, warp = thread / 32, lane = thread % 32, g = lane / 4, t = lane % 4;
  const int kv_head = blockIdx.y, share = p.heads / p.kv_heads, block_first = blockIdx.x * 64, first = block_first + warp * 16;
  if (block_first >= group.count * share) return;
  char *keys = memory, *values = memory + SPLIT * width * 2;
  const int page_bytes = width * PAGE * 2;
  const int first_row = block_first / share, last_row = min((block_first + 63) / share, group.count - 1);
  const Pairs pairs = pairs_of(p, group, first, g);
  u32 q[columns][4];
#pragma unroll
  for (int k = 0; k < columns; k++)
    if (k * 16 < width) load_queries(q[k], p, group, pairs, kv_head, first, width, k);
  float o[columns][2][4], l[2] = {0, 0}, most[2] = {-INFINITE, -INFINITE};
#pragma unroll
  for (int d = 0; d < columns; d++)
#pragma unroll
    for (int e = 0; e < 8; e++) o[d][e / 4][e % 4] = 0;

  auto next = [&](int j) { // the next split that any row sees
    for (j++; j < group.split_count; j++)
      if (seen_at_all(p, group, p.splits[group.splits + j], first_row, last_row)) break;
    return j;
  };
  auto copy = [&](int j, bool v) {
    if (j < group.split_count) {
      const Split& split = p.splits[group.splits + j];
      for (int i = 0; i < SPLIT / PAGE; i++) {
        u32 to = shared_address((v ? values : keys) + i * page_bytes);
        if (i * PAGE < split.count) {
          const char* from = page_at(p, split, kv_head, i, v, width);
          for (int b = thread * 16; b < page_bytes; b += 2048) copy16(to + b, from + b);
        } else if (v) // values behind the last key meet weights of 0, and must be numbers for that
          for (int b = thread * 16; b < page_bytes; b += 2048) *(uint4*)(values + i * page_bytes + b) = make_uint4(0, 0, 0, 0);
      }
    }
    copies_end();
  };
  int j = next(-1);
  copy(j, false);
  copy(j, true);
  while (j < group.split_count) {
    const Split split = p.splits[group.splits + j];
    copies_wait<1>();
    __syncthreads();
    float s[SPLIT / 8][4], split_most[2] = {-INFINITE, -INFINITE}, split_l[2];
#pragma unroll
    for (int n = 0; n < SPLIT / 8; n++) {
      multiply_keys(s[n], q, shared_address(keys), width, n, columns);
#pragma unroll
      for (int e = 0; e < 4; e++) {
        s[n][e] = score_of(p, group, split, pairs.row[e / 2], n * 8 + 2 * t + e % 2, s[n][e]);
        split_most[e / 2] = fmaxf(split_most[e / 2], s[n][e]);
      }
    }
    const int after = next(j);
    __syncthreads();
    copy(after, false);
    u32 w[SPLIT / 16][4];
    Merge by[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      split_most[i] = fmaxf(split_most[i], __shfl_xor_sync(~0u, split_most[i], 1));
      split_most[i] = fmaxf(split_most[i], __shfl_xor_sync(~0u, split_most[i], 2));
#pragma unroll
      for (int n = 0; n < SPLIT / 8; n++)
        w[n / 2][n % 2 * 2 + i] = pair_f16(weight_of(s[n][2 * i], split_most[i]), weight_of(s[n][2 * i + 1], split_most[i]));
    }
    sum_weights(split_l, w);
#pragma unroll
    for (int i = 0; i < 2; i++) {
      if (split_most[i] == -INFINITE) { by[i].old_by = 1; by[i].new_by = 0; continue; }
      by[i] = merge_of(most[i], split_most[i]);
      l[i] = merged(by[i], l[i], split_l[i]);
    }
    copies_wait<1>();
    __syncthreads();
#pragma unroll
    for (int d = 0; d < columns; d++) {
      if (d * 16 >= width) break;
      float now[2][4];
      multiply_values(now, w, shared_address(values), width, d);
#pragma unroll
      for (int e = 0; e < 8; e++)
        if (split_most[e % 4 / 2] != -INFINITE) o[d][e / 4][e % 4] = merged(by[e % 4 / 2], o[d][e / 4][e % 4], now[e / 4][e % 4]);
    }
    __syncthreads();
    copy(after, true);
    j = after;
  }
  copies_wait<0>();
#pragma unroll
  for (int d = 0; d < columns; d++)
#pragma unroll
    for (int e = 0; e < 8; e++) {
      const int i = e % 4 / 2, pair = first + g + 8 * i, column = d * 16 + e / 4 * 8 + 2 * t + e % 2;
      if (!pairs.there[i] || column >= p.head_dim) continue;
      const size_t row = group.first + pair / share;
      const int head = kv_head * share + pair % share;
      ((u16*)p.out)[row * p.out_stride + head * p.head_dim + column] = to_half(l[i] > 0 ? __fdiv_rn(o[d][e / 4][e % 4], l[i]) : 0, p.half == 2);
    }
}

#define ATTEND(WIDTH) \
  KERNEL __launch_bounds__(128) void attend_many_##WIDTH(const __grid_constant__ Attend p) { \
    extern __shared__ __align__(1024) char room[]; \
    let_next_begin(); \
    wait_for_input(); \
    many<WIDTH>(p, p.groups[blockIdx.z], room); \
  }
ATTEND(64)
ATTEND(128)
ATTEND(256)
#undef ATTEND
