// Attention over the splits of a group's view. A tile is 16 pairs (row, head) of one KV head,
// so that grouped queries share each key. Per split, from products of tensor cores: scores, their
// maximum, weights in f16 against that maximum, their sum and the weighted sum of values.
// Splits are then added in order. Both kernels do the same arithmetic for a pair, so its bits do
// not depend on which of them ran or on what stood beside it.

#define SPLIT 128
#define PAGE 32
#define MERGED 12 // parts read at once
#define PART 4 // numbers of a pair's part behind its sums: maximum, sum of weights

struct KV { char* base; u64 page_stride; };
struct Group { int first, count, splits, split_count, position, _[3]; };
struct Split { int pages[4]; int count, diagonal, position, flags; };
enum { WHOLE = 1, SETTLED = 2 };

// --- rope and store ---

struct Rotate {
  KV kv;
  const float *q, *k, *v;
  u16* to;
  const float *cos, *sin;
  const int* slots;
  int rows, q_stride, k_stride, v_stride, heads, kv_heads, head_dim, pairs, turn_width, halves;
};

// Element i of a head of a row of queries or keys, turned, or of values, rounded to f16.
DEVICE u16 turned(const Rotate& p, const float* head, int row, int i, bool value) {
  float x = i < p.head_dim ? __ldcg(head + i) : 0;
  const int n = p.cos && !value ? p.pairs : 0;
  if (i < 2 * n) {
    const int pair = p.halves ? (i < n ? i : i - n) : i / 2;
    const bool second = p.halves ? i >= n : i & 1;
    const float y = __ldcg(head + (p.halves ? (second ? i - n : i + n) : i ^ 1));
    const float c = __ldcg(p.cos + (size_t)row * p.turn_width + pair), s = __ldcg(p.sin + (size_t)row * p.turn_width + pair);
    x = second ? __fmaf_rn(x, c, __fmul_rn(y, s)) : __fmaf_rn(x, c, -__fmul_rn(y, s));
  }
  // Values meet weights of 0 for rows that do not see them, so none may be infinite.
  return to_f16(x > 65504 ? 65504 : x < -65504 ? -65504 : x);
}

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
  u16* to = query ? p.to + ((size_t)row * p.heads + head) * width
                  : (u16*)(p.kv.base + (u64)(slot / PAGE) * p.kv.page_stride) + (size_t)((value ? p.kv_heads : 0) + head) * width * PAGE + slot % PAGE * 8;
  for (int i = lane; i < width; i += 32) to[query ? i : i / 8 * PAGE * 8 + i % 8] = turned(p, from, row, i, value);
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
  Rotate fresh; // of few rows: what is turned and stored first, if it has keys
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

// Scores in powers of two of products of queries and keys, and -infinity for keys that a pair's
// row does not see: those from first on.
template <int N> DEVICE void scores_of(const Attend& p, const Group& group, const Split& split, const Pairs& pairs, float (*s)[4], int first, bool all) {
  float by = __fmul_rn(p.scale, 1.4426950408889634f);
  if (p.soft_cap != 0) {
    by = 1.4426950408889634f;
#pragma unroll
    for (int e = 0; e < 4 * N; e++) s[e / 4][e % 4] = __fmul_rn(p.soft_cap, tanhf(__fdividef(__fmul_rn(s[e / 4][e % 4], p.scale), p.soft_cap)));
  }
#pragma unroll
  for (int e = 0; e < 4 * N; e++) s[e / 4][e % 4] = __fmul_rn(s[e / 4][e % 4], by);
  if (all) return;
#pragma unroll
  for (int i = 0; i < 2; i++) {
    // A key is seen from one on, for the window, up to one.
    const int row = pairs.row[i], last = min(split.count - 1, split.diagonal + row);
    const int from = p.window && !(split.flags & WHOLE) ? group.position + row - split.position - p.window + 1 : 0;
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
      for (int e = 0; e < 2; e++) {
        const int key = first + n * 8 + 2 * (threadIdx.x % 4) + e;
        if (key < from || key > last) s[n][2 * i + e] = -INFINITE;
      }
  }
}

// Do all rows of a tile see all 128 keys?
DEVICE bool seen_by_all(const Attend& p, const Group& group, const Split& split, int first_row, int last_row) {
  return split.count == SPLIT && split.diagonal + first_row >= SPLIT - 1 && (!p.window || split.flags & WHOLE || group.position + last_row - split.position < p.window);
}

DEVICE float power_of_two(float x) { float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }

// The weight of a score beside the greatest, which is 0 where there is none.
DEVICE float weight_of(float score, float most) { return power_of_two(__fsub_rn(score, most)); }
DEVICE float greatest(float most) { return most == -INFINITE ? 0 : most; }

// Does any row of a tile see any key of the split? Splits that none sees add nothing.
DEVICE bool seen_at_all(const Attend& p, const Group& group, const Split& split, int first_row, int last_row) {
  if (split.count <= 0 || split.diagonal + last_row < 0) return false;
  return !p.window || split.flags & WHOLE || group.position + first_row - (split.position + split.count - 1) < p.window;
}

// The products of 16 pairs with N groups of 8 keys from 8·first on, a chain over the columns
// each; keys lie [width/8][PAGE][8] a page.
template <int N, int COLUMNS> DEVICE void multiply_keys(float (*c)[4], const u32 (*q)[4], u32 keys, int width, int first) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int n = 0; n < N; n++) c[n][0] = c[n][1] = c[n][2] = c[n][3] = 0;
#pragma unroll
  for (int k = 0; k < COLUMNS; k++) {
    if (k * 16 >= width) break;
#pragma unroll
    for (int n = 0; n < N; n += 2) { // blocks: both halves of 16 columns of 8 keys, then of the next 8
      const int at = first + n;
      u32 b[4];
      load_blocks(b, keys + at / 4 * width * PAGE * 2 + (k * 2 + lane / 8 % 2) * PAGE * 16 + (at % 4 * 8 + lane / 16 * 8 + lane % 8) * 16);
      mma<false>(c[n], q[k], b[0], b[1]);
      mma<false>(c[n + 1], q[k], b[2], b[3]);
    }
  }
}

// D times sixteen columns from 16·first on of the weighted sum of 128 values, a chain over the
// keys each.
template <int D> DEVICE void multiply_values(float (*o)[4], const u32 (*weights)[4], u32 values, int width, int first) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int j = 0; j < 2 * D; j++) o[j][0] = o[j][1] = o[j][2] = o[j][3] = 0;
#pragma unroll
  for (int k = 0; k < SPLIT / 16; k++)
#pragma unroll
    for (int d = 0; d < D && (first + d) * 16 < width; d++) { // keys 16k …: blocks of keys 0-7 and 8-15, then the next columns
      u32 b[4];
      load_blocks_across(b, values + k / 2 * width * PAGE * 2 + (((first + d) * 2 + lane / 16) * PAGE + k % 2 * 16 + lane % 16) * 16);
      mma<false>(o[2 * d], weights[k], b[0], b[1]);
      mma<false>(o[2 * d + 1], weights[k], b[2], b[3]);
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
  Merge r = {power_of_two(__fsub_rn(most, m)), power_of_two(__fsub_rn(split_most, m))};
  most = m;
  return r;
}
// The sum of values over that of weights; no zero is negative, whatever was added to it.
DEVICE u16 quotient(float o, float l, bool bf) { return to_half(l > 0 ? __fadd_rn(__fdividef(o, l), 0.f) : 0.f, bf); }
DEVICE float merged(const Merge& m, float old, float now) { return __fmaf_rn(old, m.old_by, __fmul_rn(now, m.new_by)); }

// A page's keys or values of a head come to shared memory in one piece.
DEVICE const char* page_at(const Attend& p, const Split& split, int kv_head, int page, bool values, int width) {
  return p.kv.base + (u64)split.pages[page] * p.kv.page_stride + (size_t)((values ? p.kv_heads : 0) + kv_head) * width * PAGE * 2;
}

// Values behind the last key meet weights of 0, and must be numbers for that.
DEVICE void clear_values(char* values, int count, int width) {
  for (int i = count + threadIdx.x; i < SPLIT; i += 128)
    for (int d = 0; d < width / 8; d++) *(uint4*)(values + i / PAGE * width * PAGE * 2 + (d * PAGE + i % PAGE) * 16) = make_uint4(0, 0, 0, 0);
}

// A block takes one split of one tile: each of its four warps scores the keys of a page and
// then sums a quarter of the columns. The last block of a tile adds the splits in order.
template <int WIDTH> DEVICE void few(const Attend& p, char* memory) {
  constexpr int columns = WIDTH / 16;
  __shared__ __align__(16) u16 weights[16][SPLIT + 8];
  __shared__ __align__(16) u16 queries[16][WIDTH + 8]; // of rows that are turned here
  __shared__ float warp_most[4][16];
  __shared__ u32 last;
#if HOPPER
  __shared__ u64 bars[2];
#endif
  const int width = (p.head_dim + 15) / 16 * 16, thread = threadIdx.x, warp = thread / 32, lane = thread % 32, g = lane / 4, t = lane % 4;
  const int tiles = gridDim.y / p.kv_heads, kv_head = blockIdx.y / tiles, tile = blockIdx.y % tiles, share = p.heads / p.kv_heads;
  const int first = tile * 16, page_bytes = width * PAGE * 2;
  let_next_begin();
  // What the host wrote is there before any kernel of a forward begins.
  const Group group = p.groups[blockIdx.z];
  if (first >= group.count * share || blockIdx.x >= group.split_count) {
    wait_for_input();
    return;
  }
  char *keys = memory, *values = memory + SPLIT * width * 2;
  const Split split = p.splits[group.splits + blockIdx.x];
  const int first_row = first / share, last_row = min((first + 15) / share, group.count - 1);
  const bool seen = seen_at_all(p, group, split, first_row, last_row);
  auto copy = [&]() {
    const int pages = (split.count + PAGE - 1) / PAGE;
#if HOPPER
    if (warp == 0) {
      if (lane == 0) {
        barrier_init(bars, 1);
        barrier_init(bars + 1, 1);
        barriers_ready();
        barrier_expect(bars, pages * page_bytes);
        barrier_expect(bars + 1, pages * page_bytes);
      }
      __syncwarp();
      const int v = lane / 4, i = lane % 4; // a lane copies a page's keys or values
      if (v < 2 && i < pages)
        copy_bulk(shared_address((v ? values : keys) + i * page_bytes), page_at(p, p.splits[group.splits + blockIdx.x], kv_head, i, v, width), page_bytes, bars + v);
    }
#else
    for (int v = 0; v < 2; v++) {
      for (int i = 0; i < pages; i++)
        for (int b = thread * 16; b < page_bytes; b += 2048) copy16(shared_address((v ? values : keys) + i * page_bytes) + b, page_at(p, split, kv_head, i, v, width) + b);
      copies_end();
    }
#endif
  };
  const bool early = split.flags & SETTLED;
  if (seen && early) copy();
  wait_for_input();
  if (seen && !early) copy();
  const Pairs pairs = pairs_of(p, group, first, g);
  const int most_pairs = min(16, p.max_rows * share); // of a tile
  const size_t part_size = (size_t)most_pairs * (width + PART);
  float* part = p.parts + (((size_t)blockIdx.z * gridDim.y + blockIdx.y) * p.max_split + blockIdx.x) * part_size;
  if (seen) {
    u32 q[columns][4];
    const Rotate& fresh = p.fresh;
    if (fresh.k) { // queries are turned here, and keys and values of the group's rows in this split
      const int pair_count = min(16, group.count * share - first);
      for (int i = thread; i < 16 * width; i += 128) {
        const int pair = i / width, row = group.first + (first + pair) / share, head = kv_head * share + (first + pair) % share;
        queries[pair][i % width] = pair < pair_count ? turned(fresh, fresh.q + (size_t)row * fresh.q_stride + head * p.head_dim, row, i % width, false) : 0;
      }
    } else
#pragma unroll
      for (int k = 0; k < columns; k++)
        if (k * 16 < width) load_queries(q[k], p, group, pairs, kv_head, first, width, k);
#if HOPPER
    __syncthreads();
    barrier_wait(bars, 0);
#else
    copies_wait<0>();
    __syncthreads();
#endif
    if (fresh.k) {
      const int from_row = max(0, -split.diagonal), to_row = min(group.count, split.count - split.diagonal); // whose entries are here
      if (from_row < to_row) {
#if HOPPER
        barrier_wait(bars + 1, 0);
#endif
        for (int i = thread; i < (to_row - from_row) * 2 * width; i += 128) {
          const int r = from_row + i / (2 * width), value = i / width & 1, d = i % width, entry = split.diagonal + r, row = group.first + r;
          const float* from = (value ? fresh.v + (size_t)row * fresh.v_stride : fresh.k + (size_t)row * fresh.k_stride) + kv_head * p.head_dim;
          const u16 x = turned(fresh, from, row, d, value);
          const size_t at = (size_t)(entry / PAGE * width + d / 8 * 8) * PAGE + entry % PAGE * 8 + d % 8;
          ((u16*)(value ? values : keys))[at] = x;
          const int slot = fresh.slots[row];
          if (tile == 0 && slot >= 0)
            ((u16*)(p.kv.base + (u64)(slot / PAGE) * p.kv.page_stride))[(size_t)((value ? p.kv_heads : 0) + kv_head) * width * PAGE + d / 8 * PAGE * 8 + slot % PAGE * 8 + d % 8] = x;
        }
      }
      __syncthreads();
#pragma unroll
      for (int k = 0; k < columns; k++)
        if (k * 16 < width) load_blocks(q[k], shared_address(&queries[lane % 16][k * 16 + lane / 16 * 8]));
    }
    float s[4][4], most[2] = {-INFINITE, -INFINITE};
    multiply_keys<4, columns>(s, q, shared_address(keys), width, warp * 4);
    scores_of<4>(p, group, split, pairs, s, warp * PAGE, seen_by_all(p, group, split, first_row, last_row));
#pragma unroll
    for (int n = 0; n < 4; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) most[e / 2] = fmaxf(most[e / 2], s[n][e]);
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
        *(u32*)&weights[g + 8 * i][warp * PAGE + n * 8 + 2 * t] = pair_f16(weight_of(s[n][2 * i], greatest(most[i])), weight_of(s[n][2 * i + 1], greatest(most[i])));
#if HOPPER
    barrier_wait(bars + 1, 0);
#else
    copies_wait<0>();
    __syncthreads();
#endif
    clear_values(values, split.count, width);
    __syncthreads();
    u32 w[SPLIT / 16][4];
#pragma unroll
    for (int k = 0; k < SPLIT / 16; k++) load_blocks(w[k], shared_address(&weights[lane % 16][k * 16 + lane / 16 * 8]));
    for (int d = warp; d < width / 16; d += 4) {
      float o[2][4];
      multiply_values<1>(o, w, shared_address(values), width, d);
#pragma unroll
      for (int j = 0; j < 2; j++)
#pragma unroll
        for (int i = 0; i < 2; i++)
          if (g + 8 * i < most_pairs) *(float2*)(part + (g + 8 * i) * (width + PART) + d * 16 + j * 8 + 2 * t) = make_float2(o[j][2 * i], o[j][2 * i + 1]);
    }
    if (warp == 0) {
      float l[2];
      sum_weights(l, w);
      if (t == 0)
        for (int i = 0; i < 2; i++)
          if (g + 8 * i < most_pairs) *(float2*)(part + (g + 8 * i) * (width + PART) + width) = make_float2(most[i], l[i]);
    }
  } else if (thread < most_pairs) *(float2*)(part + thread * (width + PART) + width) = make_float2(-INFINITE, 0);
  __threadfence();
  __syncthreads();
  u32* counter = p.counters + blockIdx.z * gridDim.y + blockIdx.y;
  if (thread == 0) last = atomicAdd(counter, 1) == group.split_count - 1;
  __syncthreads();
  if (!last) return;
  if (thread == 0) *counter = 0;
  __threadfence();
  part -= blockIdx.x * part_size;
  const int pair_count = min(16, group.count * share - first);
  for (int i = thread; i < pair_count * p.head_dim; i += 128) {
    const int pair = i / p.head_dim, d = i % p.head_dim;
    const float* at = part + pair * (width + PART);
    float o = 0, l = 0, most = -INFINITE;
    for (int j = 0; j < group.split_count; j += MERGED) { // many loads at once
      float2 m[MERGED];
      float now[MERGED];
#pragma unroll
      for (int b = 0; b < MERGED; b++) {
        const bool there = j + b < group.split_count;
        m[b] = there ? __ldcg((const float2*)(at + (j + b) * part_size + width)) : make_float2(-INFINITE, 0);
        now[b] = there ? __ldcg(at + (j + b) * part_size + d) : 0;
      }
#pragma unroll
      for (int b = 0; b < MERGED; b++) {
        if (m[b].x == -INFINITE) continue;
        Merge by = merge_of(most, m[b].x);
        o = merged(by, o, now[b]);
        l = merged(by, l, m[b].y);
      }
    }
    const size_t row = group.first + (first + pair) / share;
    const int head = kv_head * share + (first + pair) % share;
    ((u16*)p.out)[row * p.out_stride + head * p.head_dim + d] = quotient(o, l, p.half == 2);
  }
}

#define ATTEND(WIDTH) \
  KERNEL __launch_bounds__(128) void attend_few_##WIDTH(const __grid_constant__ Attend p) { \
    extern __shared__ __align__(1024) char room[]; \
    few<WIDTH>(p, room); \
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
#if HOPPER
  __shared__ u64 bars[2];
  if (thread < 2) barrier_init(bars + thread, 1);
  barriers_ready();
  __syncthreads();
#endif
  // Each warp copies a page's keys or values.
  auto copy = [&](int j, bool v) {
    if (j < group.split_count) {
      const Split& split = p.splits[group.splits + j];
      const int pages = (split.count + PAGE - 1) / PAGE;
#if HOPPER
      if (lane == 0) {
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
        if (warp == 0) barrier_expect(bars + v, pages * page_bytes);
        if (warp < pages) copy_bulk(shared_address((v ? values : keys) + warp * page_bytes), page_at(p, split, kv_head, warp, v, width), page_bytes, bars + v);
      }
      __syncwarp();
#else
      if (warp < pages) {
        const char* from = page_at(p, split, kv_head, warp, v, width);
        for (int b = lane * 16; b < page_bytes; b += 512) copy16(shared_address((v ? values : keys) + warp * page_bytes) + b, from + b);
      }
#endif
    }
    copies_end();
  };
#if HOPPER
  u32 phase = 0;
#endif
  int j = next(-1);
  copy(j, false);
  copy(j, true);
  while (j < group.split_count) {
    const Split split = p.splits[group.splits + j];
#if HOPPER
    barrier_wait(bars, phase);
#else
    copies_wait<1>();
    __syncthreads();
#endif
    float s[SPLIT / 8][4], split_most[2] = {-INFINITE, -INFINITE}, split_l[2];
    multiply_keys<SPLIT / 8, columns>(s, q, shared_address(keys), width, 0);
    scores_of<SPLIT / 8>(p, group, split, pairs, s, 0, seen_by_all(p, group, split, first_row, last_row));
#pragma unroll
    for (int n = 0; n < SPLIT / 8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) split_most[e / 2] = fmaxf(split_most[e / 2], s[n][e]);
    const int after = next(j);
    __syncthreads();
    copy(after, false);
    u32 w[SPLIT / 16][4];
    Merge by[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      split_most[i] = fmaxf(split_most[i], __shfl_xor_sync(~0u, split_most[i], 1));
      split_most[i] = fmaxf(split_most[i], __shfl_xor_sync(~0u, split_most[i], 2));
      const float most_here = greatest(split_most[i]);
#pragma unroll
      for (int n = 0; n < SPLIT / 8; n++)
        w[n / 2][n % 2 * 2 + i] = pair_f16(weight_of(s[n][2 * i], most_here), weight_of(s[n][2 * i + 1], most_here));
    }
    sum_weights(split_l, w);
#pragma unroll
    for (int i = 0; i < 2; i++) {
      if (split_most[i] == -INFINITE) { by[i].old_by = 1; by[i].new_by = 0; continue; }
      by[i] = merge_of(most[i], split_most[i]);
      l[i] = merged(by[i], l[i], split_l[i]);
    }
#if HOPPER
    barrier_wait(bars + 1, phase);
    phase ^= 1;
#else
    copies_wait<1>();
    __syncthreads();
#endif
    if (split.count < SPLIT) {
      clear_values(values, split.count, width);
      __syncthreads();
    }
#pragma unroll
    for (int d = 0; d < columns; d += 4) { // 64 columns at once; what is behind the width is not used
      if (d * 16 >= width) break;
      float now[8][4];
      multiply_values<4>(now, w, shared_address(values), width, d);
#pragma unroll
      for (int e = 0; e < 32; e++) // where the row sees nothing of the split, o · 1 + 0
        o[d + e / 8][e / 4 % 2][e % 4] = merged(by[e % 4 / 2], o[d + e / 8][e / 4 % 2][e % 4], now[e / 4][e % 4]);
    }
    __syncthreads();
    copy(after, true);
    j = after;
  }
  copies_wait<0>();
#pragma unroll
  for (int i = 0; i < 2; i++) {
    if (!pairs.there[i]) continue;
    const int pair = first + g + 8 * i;
    const size_t row = group.first + pair / share;
    u16* to = (u16*)p.out + row * p.out_stride + (kv_head * share + pair % share) * p.head_dim + 2 * t;
#pragma unroll
    for (int d = 0; d < columns; d++)
#pragma unroll
      for (int j = 0; j < 2; j++) {
        const int column = d * 16 + j * 8;
        if (column + 2 * t >= p.head_dim) continue;
        const u16 a = quotient(o[d][j][2 * i], l[i], p.half == 2), b = quotient(o[d][j][2 * i + 1], l[i], p.half == 2);
        if (p.head_dim % 2 == 0) *(u32*)(to + column) = a | (u32)b << 16;
        else {
          to[column] = a;
          if (column + 2 * t + 1 < p.head_dim) to[column + 1] = b;
        }
      }
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
