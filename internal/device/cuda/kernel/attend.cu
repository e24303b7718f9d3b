// Attention over the splits of a group's view. A tile is 16 pairs (row, head) of one KV head,
// so that grouped queries share each key. Per split, from products of tensor cores: scores, their
// maximum, weights in f16 against that maximum, their sum and the weighted sum of values.
// Splits of a run, so many from the view's start on, are added in order, and then runs are. All
// kernels do the same arithmetic for a pair, so its bits do not depend on which of them ran or on
// what stood beside it.

#define SPLIT 128
#define PAGE 32
#define RUN 4 // splits
#define PART 4 // numbers of a pair's part behind its sums: maximum, sum of weights

#if HOPPER
#include "attend_hopper.cuh"
#endif

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

// Four elements of a head from i on, a multiple of 4, with the bits of turned.
DEVICE uint2 turned4(const Rotate& p, const float* head, int row, int i, bool value) {
  if ((p.head_dim | p.pairs | p.turn_width | p.q_stride | p.k_stride | p.v_stride) & 3) { // they are not at multiples of 16 bytes
    u64 four = 0;
#pragma unroll 1
    for (int e = 3; e >= 0; e--) four = four << 16 | turned(p, head, row, i + e, value);
    return make_uint2((u32)four, (u32)(four >> 32));
  }
  if (i >= p.head_dim) return make_uint2(0, 0);
  float4 x = __ldcg((const float4*)(head + i));
  const int n = p.cos && !value ? p.pairs : 0;
  if (i < 2 * n) {
    const size_t at = (size_t)row * p.turn_width;
    if (p.halves) {
      const bool second = i >= n;
      const int pair = second ? i - n : i;
      const float4 y = __ldcg((const float4*)(head + (second ? pair : i + n))), c = __ldcg((const float4*)(p.cos + at + pair)), s = __ldcg((const float4*)(p.sin + at + pair));
      const float by = second ? 1 : -1;
      x = make_float4(__fmaf_rn(x.x, c.x, __fmul_rn(y.x, by * s.x)), __fmaf_rn(x.y, c.y, __fmul_rn(y.y, by * s.y)),
                      __fmaf_rn(x.z, c.z, __fmul_rn(y.z, by * s.z)), __fmaf_rn(x.w, c.w, __fmul_rn(y.w, by * s.w)));
    } else {
      const float2 c = __ldcg((const float2*)(p.cos + at + i / 2)), s = __ldcg((const float2*)(p.sin + at + i / 2));
      x = make_float4(__fmaf_rn(x.x, c.x, -__fmul_rn(x.y, s.x)), __fmaf_rn(x.y, c.x, __fmul_rn(x.x, s.x)), __fmaf_rn(x.z, c.y, -__fmul_rn(x.w, s.y)), __fmaf_rn(x.w, c.y, __fmul_rn(x.z, s.y)));
    }
  }
  auto bounded = [](float v) { return v > 65504 ? 65504 : v < -65504 ? -65504 : v; };
  return make_uint2(pair_f16(bounded(x.x), bounded(x.y)), pair_f16(bounded(x.z), bounded(x.w)));
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
  for (int i = lane * 4; i < width; i += 128) *(uint2*)(to + (query ? i : i / 8 * PAGE * 8 + i % 8)) = turned4(p, from, row, i, value);
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
  int half, apart; // a block of attend_wide takes one run
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

// Queries of pairs from first on to rows in shared memory, by so many threads; zeros for pairs
// that are not there.
template <int COUNT> DEVICE void fetch_queries(char* to, int row, const Attend& p, const Group& group, int kv_head, int first, int pairs, int width, int thread, int threads) {
  const int there = min(pairs, group.count * (p.heads / p.kv_heads) - first);
#pragma unroll 8
  for (int i = thread; i < pairs * COUNT; i += threads) { // COUNT is at least the pieces of 16 bytes of a row
    const int pair = i / COUNT, at = i % COUNT;
    if (at * 8 >= width) continue;
    *(uint4*)(to + pair * row + at * 16) = pair < there ? __ldcg((const uint4*)(p.q + head_of(p, group, kv_head, first + pair) * width) + at) : make_uint4(0, 0, 0, 0);
  }
}

// Scores of products of queries and keys, to be scaled by scale_of, and -infinity for keys that a
// pair's row does not see: those from first on.
template <int N> DEVICE void scores_of(const Attend& p, const Group& group, const Split& split, const Pairs& pairs, float (*s)[4], int first, bool all) {
  if (p.soft_cap != 0)
#pragma unroll
    for (int e = 0; e < 4 * N; e++) s[e / 4][e % 4] = __fmul_rn(p.soft_cap, tanhf(__fdividef(__fmul_rn(s[e / 4][e % 4], p.scale), p.soft_cap)));
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

// What takes scores to powers of two.
DEVICE float scale_of(const Attend& p) { return p.soft_cap != 0 ? 1.4426950408889634f : __fmul_rn(p.scale, 1.4426950408889634f); }

// The weight of a score beside the greatest, scaled, which is 0 where there is none.
DEVICE float weight_of(float score, float scale, float most) { return power_of_two(__fmaf_rn(score, scale, -most)); }
DEVICE float greatest(float most) { return most == -INFINITE ? 0 : most; }

// Does any row of a tile see any key of the split? Splits that none sees add nothing.
DEVICE bool seen_at_all(const Attend& p, const Group& group, const Split& split, int first_row, int last_row) {
  if (split.count <= 0 || split.diagonal + last_row < 0) return false;
  return !p.window || split.flags & WHOLE || group.position + first_row - (split.position + split.count - 1) < p.window;
}

// The products of 16 pairs with N groups of 8 keys from 8·first on, a chain over the
// columns each; keys lie [width/8][PAGE][8] a page, queries in rows of so many bytes.
template <int N, int COLUMNS, bool EXACT> DEVICE void multiply_keys(float (*c)[4], u32 queries, int row, u32 keys, int any_width, int first) {
  const int width = EXACT ? COLUMNS * 16 : any_width; // known, there is nothing to ask
  const int lane = threadIdx.x % 32;
  const u32 q_at = queries + lane % 16 * row + lane / 16 * 16, k_at = keys + lane / 8 % 2 * PAGE * 16 + (lane / 16 * 8 + lane % 8) * 16;
#pragma unroll
  for (int n = 0; n < N; n++) c[n][0] = c[n][1] = c[n][2] = c[n][3] = 0;
#pragma unroll
  for (int k = 0; k < COLUMNS; k++) {
    if (k * 16 >= width) break;
    u32 q[4];
    load_blocks(q, q_at + k * 32);
#pragma unroll
    for (int n = 0; n < N; n += 2) { // blocks: both halves of 16 columns of 8 keys, then of the next 8
      const int at = first + n;
      u32 b[4];
      load_blocks(b, k_at + at / 4 * width * PAGE * 2 + k * 2 * PAGE * 16 + at % 4 * 8 * 16);
      mma<false>(c[n], q, b[0], b[1]);
      mma<false>(c[n + 1], q, b[2], b[3]);
    }
  }
}

// D times sixteen columns from 16·first on of the weighted sum of 128 values, a chain over the
// keys each.
template <int D, int COLUMNS, bool EXACT> DEVICE void multiply_values(float (*o)[4], const u32 (*weights)[4], u32 values, int any_width, int first) {
  const int width = EXACT ? COLUMNS * 16 : any_width;
  const int lane = threadIdx.x % 32;
  const u32 v_at = values + ((first * 2 + lane / 16) * PAGE + lane % 16) * 16;
#pragma unroll
  for (int j = 0; j < 2 * D; j++) o[j][0] = o[j][1] = o[j][2] = o[j][3] = 0;
#pragma unroll
  for (int k = 0; k < SPLIT / 16; k++)
#pragma unroll
    for (int d = 0; d < D; d++) { // keys 16k …: blocks of keys 0-7 and 8-15, then the next columns
      if (!EXACT && (first + d) * 16 >= width) break;
      u32 b[4];
      load_blocks_across(b, v_at + k / 2 * width * PAGE * 2 + (d * 2 * PAGE + k % 2 * 16) * 16);
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

// A sum of values by weights: of a pair's splits of a run, or of its runs.
struct Sum { float most, weight; };

// How a sum grows by another, which has seen something or nothing.
DEVICE Merge grow(Sum& s, float most, float weight) {
  if (most == -INFINITE) return {1, 0};
  const Merge by = merge_of(s.most, most);
  s.weight = merged(by, s.weight, weight);
  return by;
}

// A page's keys or values of a head come to shared memory in one piece.
DEVICE const char* page_at(const Attend& p, const Split& split, int kv_head, int page, bool values, int width) {
  return p.kv.base + (u64)split.pages[page] * p.kv.page_stride + (size_t)((values ? p.kv_heads : 0) + kv_head) * width * PAGE * 2;
}

// Values behind the last key meet weights of 0, and must be numbers for that.
DEVICE void clear_values(char* values, int count, int width) {
  for (int i = count + threadIdx.x % 128; i < SPLIT; i += 128)
    for (int d = 0; d < width / 8; d++) *(uint4*)(values + i / PAGE * width * PAGE * 2 + (d * PAGE + i % PAGE) * 16) = make_uint4(0, 0, 0, 0);
}

// Loads a struct of 32 bytes.
template <class T> DEVICE T load32(const T* from) {
  union { int4 part[2]; T whole; } r;
  r.part[0] = ((const int4*)from)[0];
  r.part[1] = ((const int4*)from)[1];
  return r.whole;
}

// --- a warp has 16 pairs, and their sums in registers ---

// A warp's sums of pairs g and g+8, c of groups of 8 columns as products give them.
template <int WIDTH> struct Sums { float o[WIDTH / 8][4]; Sum of[2]; };

template <int WIDTH> DEVICE void clear(Sums<WIDTH>& s) {
#pragma unroll
  for (int d = 0; d < WIDTH / 8; d++) s.o[d][0] = s.o[d][1] = s.o[d][2] = s.o[d][3] = 0;
  s.of[0] = s.of[1] = {-INFINITE, 0};
}

// Scores become weights, as the first operand of products, and the maxima of their pairs, scaled.
DEVICE void weigh(const Attend& p, u32 (*w)[4], float* most, const float (*s)[4]) {
  const float scale = scale_of(p);
#pragma unroll
  for (int i = 0; i < 2; i++) {
    most[i] = -INFINITE;
#pragma unroll
    for (int n = 0; n < SPLIT / 8; n++) most[i] = fmaxf(most[i], fmaxf(s[n][2 * i], s[n][2 * i + 1]));
    most[i] = fmaxf(most[i], __shfl_xor_sync(~0u, most[i], 1));
    most[i] = fmaxf(most[i], __shfl_xor_sync(~0u, most[i], 2));
    most[i] = __fmul_rn(most[i], scale);
    const float m = greatest(most[i]);
#pragma unroll
    for (int n = 0; n < SPLIT / 8; n++) w[n / 2][n % 2 * 2 + i] = pair_f16(weight_of(s[n][2 * i], scale, m), weight_of(s[n][2 * i + 1], scale, m));
  }
}

// A team's sums of a run, 16 bytes a thread at once: WIDTH / 8 times, then maxima and weights.
template <int WIDTH> DEVICE size_t kept_size() { return (WIDTH / 8 + 1) * 128 * sizeof(float4); }
template <int WIDTH> DEVICE void keep(float4* to, const Sums<WIDTH>& s, int thread) {
#pragma unroll
  for (int d = 0; d < WIDTH / 8; d++) to[d * 128 + thread] = make_float4(s.o[d][0], s.o[d][1], s.o[d][2], s.o[d][3]);
  to[WIDTH / 8 * 128 + thread] = make_float4(s.of[0].most, s.of[0].weight, s.of[1].most, s.of[1].weight);
}
// Sums grow by those of the next run, or those that were kept by these.
template <int WIDTH, bool OLD> DEVICE void add_kept(Sums<WIDTH>& s, const float4* from, int thread) {
  auto load = [&](int i) { return OLD ? from[i * 128 + thread] : __ldcg(from + i * 128 + thread); }; // a thread's own, or others'
  const float4 of = load(WIDTH / 8);
  Merge by[2];
  if (OLD) {
    Sum sum[2] = {{of.x, of.y}, {of.z, of.w}};
#pragma unroll
    for (int i = 0; i < 2; i++) {
      by[i] = grow(sum[i], s.of[i].most, s.of[i].weight);
      s.of[i] = sum[i];
    }
  } else {
    by[0] = grow(s.of[0], of.x, of.y);
    by[1] = grow(s.of[1], of.z, of.w);
  }
#pragma unroll
  for (int d = 0; d < WIDTH / 8; d++) {
    const float4 v = load(d);
    const float kept[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int e = 0; e < 4; e++) s.o[d][e] = OLD ? merged(by[e / 2], kept[e], s.o[d][e]) : merged(by[e / 2], s.o[d][e], kept[e]);
  }
}

// Writes a warp's pairs from first on.
template <int WIDTH> DEVICE void write_out(const Attend& p, const Group& group, int kv_head, int first, const Sums<WIDTH>& s) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, share = p.heads / p.kv_heads;
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int pair = first + g + 8 * i;
    if (pair >= group.count * share) continue;
    const size_t row = group.first + pair / share;
    u16* to = (u16*)p.out + row * p.out_stride + (kv_head * share + pair % share) * p.head_dim + 2 * t;
#pragma unroll
    for (int d = 0; d < WIDTH / 8; d++) {
      const int column = d * 8;
      if (column + 2 * t >= p.head_dim) continue;
      const u16 a = quotient(s.o[d][2 * i], s.of[i].weight, p.half == 2), b = quotient(s.o[d][2 * i + 1], s.of[i].weight, p.half == 2);
      if (p.head_dim % 2 == 0) *(u32*)(to + column) = a | (u32)b << 16;
      else {
        to[column] = a;
        if (column + 2 * t + 1 < p.head_dim) to[column + 1] = b;
      }
    }
  }
}

// --- few rows ---

// The splits of a tile's pairs in order, so many runs at once; a thread has a column.
template <int RUNS> DEVICE void add_parts_of(const Attend& p, const Group& group, int kv_head, int first, int pair_count, const float* parts, size_t part_size) {
  const int width = (p.head_dim + 15) / 16 * 16, share = p.heads / p.kv_heads;
  for (int i = threadIdx.x; i < pair_count * p.head_dim; i += 128) {
    const int pair = i / p.head_dim, d = i % p.head_dim;
    const float* at = parts + pair * (width + PART);
    float o = 0;
    Sum sum = {-INFINITE, 0};
    for (int j = 0; j < group.split_count; j += RUNS * RUN) { // many loads at once
      float2 of[RUNS * RUN];
      float now[RUNS * RUN];
#pragma unroll
      for (int b = 0; b < RUNS * RUN; b++) {
        const bool there = j + b < group.split_count;
        of[b] = there ? __ldcg((const float2*)(at + (j + b) * part_size + width)) : make_float2(-INFINITE, 0);
        now[b] = there ? __ldcg(at + (j + b) * part_size + d) : 0;
      }
#pragma unroll
      for (int r = 0; r < RUNS; r++) {
        if (j + r * RUN >= group.split_count) break;
        Sum run = {-INFINITE, 0};
        float run_o = 0;
#pragma unroll
        for (int b = r * RUN; b < (r + 1) * RUN; b++)
          if (of[b].x != -INFINITE) { // else nothing was written
            const Merge by = grow(run, of[b].x, of[b].y);
            run_o = merged(by, run_o, now[b]);
          }
        const Merge by = grow(sum, run.most, run.weight);
        o = merged(by, o, run_o);
      }
    }
    const size_t row = group.first + (first + pair) / share;
    const int head = kv_head * share + (first + pair) % share;
    ((u16*)p.out)[row * p.out_stride + head * p.head_dim + d] = quotient(o, sum.weight, p.half == 2);
  }
}

// A block takes one split of one tile: each of its four warps scores the keys of a page and
// then sums a quarter of the columns. The last block of a tile adds the splits in order.
template <int WIDTH> DEVICE void few(const Attend& p, char* memory) {
  constexpr int columns = WIDTH / 16, quarter = WIDTH / 64, q_row = WIDTH * 2 + 16, w_row = SPLIT * 2 + 16;
  __shared__ __align__(16) char weights[16 * w_row], queries[16 * q_row];
  __shared__ float warp_most[4][16];
  __shared__ u32 last;
  const int width = (p.head_dim + 15) / 16 * 16, thread = threadIdx.x, warp = thread / 32, lane = thread % 32, g = lane / 4, t = lane % 4;
  const int tiles = gridDim.y / p.kv_heads, kv_head = blockIdx.y / tiles, tile = blockIdx.y % tiles, share = p.heads / p.kv_heads;
  const int first = tile * 16, page_bytes = width * PAGE * 2;
  let_next_begin();
  // What the host wrote is there before any kernel of a forward begins.
  const Group group = load32(p.groups + blockIdx.z);
  if (first >= group.count * share || blockIdx.x >= group.split_count) {
    wait_for_input();
    return;
  }
  char *keys = memory, *values = memory + SPLIT * width * 2;
  const Rotate& fresh = p.fresh;
  const Split split = load32(p.splits + group.splits + blockIdx.x);
  const int pair_count = min(16, group.count * share - first), first_row = first / share, last_row = (first + pair_count - 1) / share;
  const bool seen = seen_at_all(p, group, split, first_row, last_row);
#if HOPPER
  __shared__ u64 bars[2];
  const u32 keys_full = shared_address(bars), values_full = keys_full + 8;
#endif
  auto copy = [&]() {
    const int pages = (split.count + PAGE - 1) / PAGE;
#if HOPPER
    if (thread == 0) {
      barrier_init(bars, 1);
      barrier_init(bars + 1, 1);
      barriers_ready();
      const u32 to = shared_address(memory);
#pragma unroll
      for (int v = 0; v < 2; v++) {
        expect_at(v ? values_full : keys_full, pages * page_bytes);
#pragma unroll
        for (int i = 0; i < 4; i++)
          if (i < pages) copy_bulk(to + (v * 4 + i) * page_bytes, page_at(p, split, kv_head, i, v, width), page_bytes, v ? values_full : keys_full);
      }
    }
#else
    for (int v = 0; v < 2; v++) {
      for (int i = 0; i < pages; i++)
        for (int b = thread * 16; b < page_bytes; b += 2048) copy16(shared_address((v ? values : keys) + i * page_bytes) + b, page_at(p, split, kv_head, i, v, width) + b);
      copies_end();
    }
#endif
  };
  // What this kernel turns itself may be copied before it is there.
  const bool early = fresh.k || split.flags & SETTLED;
  if (seen && early) copy();
  wait_for_input();
  if (seen && !early) copy();
  const size_t part_size = (size_t)min(16, p.max_rows * share) * (width + PART);
  float* parts = p.parts + ((size_t)blockIdx.z * gridDim.y + blockIdx.y) * p.max_split * part_size;
  float* part = parts + blockIdx.x * part_size;
  if (seen) {
    if (fresh.k) { // queries are turned here, and keys and values of the group's rows in this split
      for (int i = thread; i < (16 - pair_count) * (WIDTH / 8); i += 128)
        *(uint4*)(queries + (pair_count + i / (WIDTH / 8)) * q_row + i % (WIDTH / 8) * 16) = make_uint4(0, 0, 0, 0);
      for (int i = thread; i < pair_count * (WIDTH / 4); i += 128) {
        const int pair = i / (WIDTH / 4), d = i % (WIDTH / 4) * 4, row = group.first + (first + pair) / share, head = kv_head * share + (first + pair) % share;
        if (d < width) *(uint2*)(queries + pair * q_row + d * 2) = turned4(fresh, fresh.q + (size_t)row * fresh.q_stride + head * p.head_dim, row, d, false);
      }
    } else fetch_queries<WIDTH / 8>(queries, q_row, p, group, kv_head, first, 16, width, thread, 128);
#if HOPPER
    __syncthreads();
    wait_at(keys_full, 0);
#else
    copies_wait<1>();
    __syncthreads();
#endif
    const int from_row = max(0, -split.diagonal), to_row = min(group.count, split.count - split.diagonal); // whose entries are here
    if (fresh.k && from_row < to_row) {
#if HOPPER
      wait_at(values_full, 0);
#else
      copies_wait<0>();
      __syncthreads();
#endif
      for (int i = thread; i < (to_row - from_row) * 2 * (WIDTH / 4); i += 128) {
        const int r = from_row + i / (2 * (WIDTH / 4)), value = i / (WIDTH / 4) & 1, d = i % (WIDTH / 4) * 4, entry = split.diagonal + r, row = group.first + r;
        if (d >= width) continue;
        const float* x = (value ? fresh.v + (size_t)row * fresh.v_stride : fresh.k + (size_t)row * fresh.k_stride) + kv_head * p.head_dim;
        const uint2 four = turned4(fresh, x, row, d, value);
        *(uint2*)((value ? values : keys) + ((size_t)(entry / PAGE * width + d / 8 * 8) * PAGE + entry % PAGE * 8 + d % 8) * 2) = four;
        const int slot = fresh.slots[row];
        if (r * share >= first && r * share < first + 16 && slot >= 0) // the tile that has the row's first pair stores it
          *(uint2*)((u16*)(p.kv.base + (u64)(slot / PAGE) * p.kv.page_stride) + (size_t)((value ? p.kv_heads : 0) + kv_head) * width * PAGE + d / 8 * PAGE * 8 + slot % PAGE * 8 + d % 8) = four;
      }
      __syncthreads();
    }
    float s[4][4], most[2] = {-INFINITE, -INFINITE};
    const u32 queries_at = shared_address(queries), keys_at = shared_address(keys), values_at = shared_address(values);
    if (width == WIDTH) multiply_keys<4, columns, true>(s, queries_at, q_row, keys_at, width, warp * 4);
    else multiply_keys<4, columns, false>(s, queries_at, q_row, keys_at, width, warp * 4);
    scores_of<4>(p, group, split, pairs_of(p, group, first, g), s, warp * PAGE, seen_by_all(p, group, split, first_row, last_row));
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
      for (int n = 0; n < 4; n++) most[i] = fmaxf(most[i], fmaxf(s[n][2 * i], s[n][2 * i + 1]));
      most[i] = fmaxf(most[i], __shfl_xor_sync(~0u, most[i], 1));
      most[i] = fmaxf(most[i], __shfl_xor_sync(~0u, most[i], 2));
      if (t == 0) warp_most[warp][g + 8 * i] = most[i];
    }
    __syncthreads();
    const float scale = scale_of(p);
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
      for (int w = 0; w < 4; w++) most[i] = fmaxf(most[i], warp_most[w][g + 8 * i]);
      most[i] = __fmul_rn(most[i], scale);
      const float m = greatest(most[i]);
#pragma unroll
      for (int n = 0; n < 4; n++)
        *(u32*)(weights + (g + 8 * i) * w_row + (warp * PAGE + n * 8 + 2 * t) * 2) = pair_f16(weight_of(s[n][2 * i], scale, m), weight_of(s[n][2 * i + 1], scale, m));
    }
#if HOPPER
    wait_at(values_full, 0);
#else
    copies_wait<0>();
    __syncthreads();
#endif
    if (split.count < SPLIT) clear_values(values, split.count, width);
    __syncthreads();
    u32 w[SPLIT / 16][4];
#pragma unroll
    for (int k = 0; k < SPLIT / 16; k++) load_blocks(w[k], shared_address(weights) + lane % 16 * w_row + k * 32 + lane / 16 * 16);
    auto store = [&](const float (*o)[4], int column) {
#pragma unroll
      for (int i = 0; i < 2; i++)
        if (g + 8 * i < pair_count) *(float2*)(part + (g + 8 * i) * (width + PART) + column + 2 * t) = make_float2((*o)[2 * i], (*o)[2 * i + 1]);
    };
    if (width == WIDTH) {
      float o[2 * quarter][4];
      multiply_values<quarter, columns, true>(o, w, values_at, width, warp * quarter);
#pragma unroll
      for (int d = 0; d < 2 * quarter; d++) store(o + d, warp * quarter * 16 + d * 8);
    } else
      for (int d = warp; d < width / 16; d += 4) {
        float o[2][4];
        multiply_values<1, columns, false>(o, w, values_at, width, d);
        store(o, d * 16);
        store(o + 1, d * 16 + 8);
      }
    if (warp == 0) {
      float l[2];
      sum_weights(l, w);
#pragma unroll
      for (int i = 0; i < 2; i++)
        if (t == 0 && g + 8 * i < pair_count) *(float2*)(part + (g + 8 * i) * (width + PART) + width) = make_float2(most[i], l[i]);
    }
  } else if (thread < pair_count) *(float2*)(part + thread * (width + PART) + width) = make_float2(-INFINITE, 0);
  __syncthreads();
  if (thread == 0) {
    u32* counter = p.counters + blockIdx.z * gridDim.y + blockIdx.y;
    u32 before;
    asm volatile("fence.acq_rel.gpu; atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;" : "=r"(before) : "l"(counter) : "memory");
    last = before == group.split_count - 1;
    if (last) *counter = 0;
  }
  __syncthreads();
  if (last) add_parts_of<8>(p, group, kv_head, first, pair_count, parts, part_size);
}

#define ATTEND(WIDTH, blocks) \
  KERNEL __launch_bounds__(128, blocks) void attend_few_##WIDTH(const __grid_constant__ Attend p) { \
    extern __shared__ __align__(1024) char room[]; \
    few<WIDTH>(p, room); \
  }
ATTEND(64, 3)
ATTEND(128, 3)
ATTEND(256, 1)
#undef ATTEND

// --- many rows ---

// A block takes 64 pairs, a warp 16 of them, and walks through the splits; keys of the next split
// come while the values of this one are summed, and the other way round. What runs before this
// one add up to is kept in parts.
template <int WIDTH> DEVICE void many(const Attend& p, const Group& group, char* memory) {
  constexpr int columns = WIDTH / 16, q_row = WIDTH * 2 + 16;
  const int width = (p.head_dim + 15) / 16 * 16, thread = threadIdx.x, warp = thread / 32, lane = thread % 32, g = lane / 4;
  const int kv_head = blockIdx.y, share = p.heads / p.kv_heads, block_first = blockIdx.x * 64, first = block_first + warp * 16;
  if (block_first >= group.count * share) return;
  char *keys = memory, *values = memory + SPLIT * width * 2, *queries = memory + 2 * SPLIT * width * 2 + warp * 16 * q_row;
  const int page_bytes = width * PAGE * 2;
  const int first_row = block_first / share, last_row = min((block_first + 63) / share, group.count - 1);
  const Pairs pairs = pairs_of(p, group, first, g);
  fetch_queries<WIDTH / 8>(queries, q_row, p, group, kv_head, first, 16, width, lane, 32);
  __syncwarp();
  float4* kept = (float4*)((char*)p.parts + (((size_t)blockIdx.z * p.kv_heads + kv_head) * gridDim.x + blockIdx.x) * kept_size<WIDTH>());
  bool before = false; // is anything kept?
  Sums<WIDTH> sums;
  clear(sums);

  auto next = [&](int j) { // the next split that any row sees
    for (j++; j < group.split_count; j++)
      if (seen_at_all(p, group, p.splits[group.splits + j], first_row, last_row)) break;
    return j;
  };
#if HOPPER
  __shared__ u64 bars[2];
  const u32 bars_at = shared_address(bars);
  if (thread < 2) barrier_init(bars + thread, 1);
  barriers_ready();
  __syncthreads();
  u32 phase = 0;
#endif
  // Each warp copies a page's keys or values.
  auto copy = [&](int j, bool v) {
    if (j < group.split_count) {
      const Split& split = p.splits[group.splits + j];
      const int pages = (split.count + PAGE - 1) / PAGE;
#if HOPPER
      if (lane == 0) {
        fence_copies();
        if (warp == 0) expect_at(bars_at + v * 8, pages * page_bytes);
        if (warp < pages) copy_bulk(shared_address((v ? values : keys) + warp * page_bytes), page_at(p, split, kv_head, warp, v, width), page_bytes, bars_at + v * 8);
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
  int j = next(-1);
  copy(j, false);
  copy(j, true);
  while (j < group.split_count) {
    const Split split = load32(p.splits + group.splits + j);
#if HOPPER
    wait_at(bars_at, phase);
#else
    copies_wait<1>();
    __syncthreads();
#endif
    float s[SPLIT / 8][4], split_most[2], split_l[2];
    if (width == WIDTH) multiply_keys<SPLIT / 8, columns, true>(s, shared_address(queries), q_row, shared_address(keys), width, 0);
    else multiply_keys<SPLIT / 8, columns, false>(s, shared_address(queries), q_row, shared_address(keys), width, 0);
    scores_of<SPLIT / 8>(p, group, split, pairs, s, 0, seen_by_all(p, group, split, first_row, last_row));
    const int after = next(j);
    __syncthreads();
    copy(after, false);
    u32 w[SPLIT / 16][4];
    Merge by[2];
    weigh(p, w, split_most, s);
    sum_weights(split_l, w);
#pragma unroll
    for (int i = 0; i < 2; i++) by[i] = grow(sums.of[i], split_most[i], split_l[i]);
#if HOPPER
    wait_at(bars_at + 8, phase);
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
      if (width == WIDTH) multiply_values<4, columns, true>(now, w, shared_address(values), width, d);
      else multiply_values<4, columns, false>(now, w, shared_address(values), width, d);
#pragma unroll
      for (int e = 0; e < 32; e++) // where the row sees nothing of the split, o · 1 + 0
        sums.o[2 * d + e / 4][e % 4] = merged(by[e % 4 / 2], sums.o[2 * d + e / 4][e % 4], now[e / 4][e % 4]);
    }
    __syncthreads();
    copy(after, true);
    const bool ends = after >= group.split_count;
    if (before && (ends || after / RUN != j / RUN)) add_kept<WIDTH, true>(sums, kept, thread);
    if (!ends && after / RUN != j / RUN) {
      keep(kept, sums, thread);
      before = true;
      clear(sums);
    }
    j = after;
  }
  copies_wait<0>();
  write_out(p, group, kv_head, first, sums);
}

#define ATTEND(WIDTH) \
  KERNEL __launch_bounds__(128) void attend_many_##WIDTH(const __grid_constant__ Attend p) { \
    extern __shared__ __align__(1024) char room[]; \
    let_next_begin(); \
    wait_for_input(); \
    many<WIDTH>(p, load32(p.groups + blockIdx.z), room); \
  }
ATTEND(64)
ATTEND(128)
ATTEND(256)
#undef ATTEND

#if HOPPER
// Two teams of four warps have 64 pairs each of a KV head and share the keys and values that
// another warp copies ahead; products are wgmma. A block takes tiles of 128 pairs, or, where there
// are few of them, runs of such a tile, whose sums the last of them adds.
#define WIDE_SLOTS 3
#define TILE 128

// A split for the pairs of a KV head from first on.
struct Piece {
  Group group;
  Split split;
  int number, kv_head, first, at; // the group's number, -1 behind the last piece; which of its splits it is
  int seen, begins, ends, _; // by any of the pairs; whether it is the first or last of what is taken in one
};

// What a block of attend_wide takes, in order: every so many of a list, there and back, so that
// long items and short ones are spread. With runs apart a head's tiles are neighbours, which read
// the same keys at the same time; else the list begins with the longest items.
struct Walk {
  int number, base, count, tiles, runs, total; // of a group, whose items are base …
  Group group;
  DEVICE int of(const Attend& p, const Group& g) {
    tiles = (g.count * (p.heads / p.kv_heads) + TILE - 1) / TILE;
    runs = (g.split_count + RUN - 1) / RUN;
    return p.kv_heads * tiles * (p.apart ? max(runs, 1) : 1);
  }
  DEVICE void begin(const Attend& p) {
    total = base = count = 0;
    number = -1;
    for (int i = 0; i < p.count; i++) total += of(p, load32(p.groups + i));
  }
  // The nth of this block, -1: it has no more.
  DEVICE int item(const Attend& p, int nth) {
    const int blocks = gridDim.x, block = blockIdx.x;
    const int i = nth * blocks + (nth % 2 ? blocks - 1 - block : block);
    return nth * blocks >= total ? -1 : i;
  }
  DEVICE bool find(const Attend& p, int i, Piece& piece, int& from, int& to) {
    while (i >= base + count) {
      base += count;
      if (++number >= p.count) return false;
      group = load32(p.groups + number);
      count = of(p, group);
    }
    i -= base;
    piece.group = group;
    piece.number = number;
    from = 0;
    to = group.split_count;
    if (p.apart) { // runs, heads, tiles
      const int run = i / (p.kv_heads * tiles);
      i -= run * p.kv_heads * tiles;
      piece.kv_head = i / tiles;
      piece.first = i % tiles * TILE;
      from = run * RUN;
      to = min(to, from + RUN);
    } else { // tiles, heads
      piece.kv_head = i % p.kv_heads;
      piece.first = (tiles - 1 - i / p.kv_heads) * TILE;
    }
    return true;
  }
};

template <int WIDTH> DEVICE void wide(const Attend& p, char* memory) {
  constexpr int page_bytes = WIDTH * PAGE * 2, slot_bytes = SPLIT * WIDTH * 2, q_row = WIDTH * 2 + 16;
  __shared__ u64 full[WIDE_SLOTS], empty[WIDE_SLOTS], told[WIDE_SLOTS];
  __shared__ __align__(16) Piece pieces_of[WIDE_SLOTS]; // of slots of keys
  __shared__ __align__(128) u16 ones[2][64];
  __shared__ u32 last[2];
  const int thread = threadIdx.x, share = p.heads / p.kv_heads;
  const u32 full_at = shared_address(full), empty_at = shared_address(empty), told_at = shared_address(told), memory_at = shared_address(memory);
  if (thread < WIDE_SLOTS) {
    barrier_init(full + thread, 1);
    barrier_init(empty + thread, 8);
    barrier_init(told + thread, 1);
  }
  if (thread < 128) ((u16*)ones)[thread] = 0x3c00;
  fence_copies();
  barriers_ready();
  let_next_begin();
  __syncthreads();
  Turn turn = {0, 0};
  if (thread >= 256) { // registers that this team needs not go to the others
    asm volatile("setmaxnreg.dec.sync.aligned.u32 56;");
    if (thread > 256) return;
    bool waited = false;
    Walk walk;
    walk.begin(p);
    Piece piece = {};
    auto give = [&]() {
      wait_at(empty_at + turn.slot * 8, turn.phase ^ 1);
      pieces_of[turn.slot] = piece;
      arrive_at(told_at + turn.slot * 8);
      if (piece.number < 0) return;
      const int pages = piece.seen ? (piece.split.count + PAGE - 1) / PAGE : 0;
      if (pages && !waited && !(piece.split.flags & SETTLED)) {
        wait_for_input();
        waited = true;
      }
#pragma unroll
      for (int v = 0; v < 2; v++) {
        const u32 to = memory_at + turn.slot * slot_bytes, bar = full_at + turn.slot * 8;
        if (v) {
          wait_at(empty_at + turn.slot * 8, turn.phase ^ 1);
          arrive_at(told_at + turn.slot * 8);
        }
        if (pages) {
          expect_at(bar, pages * page_bytes);
#pragma unroll
          for (int i = 0; i < 4; i++)
            if (i < pages) copy_bulk(to + i * page_bytes, page_at(p, piece.split, piece.kv_head, i, v, WIDTH), page_bytes, bar);
        } else arrive_at(bar);
        turn.next(WIDE_SLOTS);
      }
    };
    for (int nth = 0;; nth++) {
      const int i = walk.item(p, nth);
      if (i < 0) break;
      if (i >= walk.total) continue;
      int from, to;
      walk.find(p, i, piece, from, to);
      piece.begins = 1;
      const int first_row = piece.first / share, last_row = min((piece.first + TILE - 1) / share, piece.group.count - 1);
      for (int start = from; start < to; start += RUN) {
        u32 seen = 0;
        Split splits[RUN];
#pragma unroll
        for (int k = 0; k < RUN; k++) // without their pages
          *(int4*)&splits[k].count = start + k < to ? ((const int4*)(p.splits + piece.group.splits + start + k))[1] : make_int4(0, 0, 0, 0);
#pragma unroll
        for (int k = 0; k < RUN; k++)
          if (seen_at_all(p, piece.group, splits[k], first_row, last_row)) seen |= 1 << k;
        piece.seen = 1;
#pragma unroll 1
        for (int k = 0; k < RUN; k++) {
          if (!(seen >> k & 1)) continue;
          piece.split = load32(p.splits + piece.group.splits + start + k);
          piece.at = start + k;
          piece.ends = seen >> (k + 1) == 0;
          give();
          piece.begins = 0;
        }
      }
      if (piece.begins) { // what nobody sees is told as well
        piece.seen = 0;
        piece.at = from;
        piece.ends = 1;
        give();
      }
    }
    piece.number = -1;
    piece.begins = 1;
    give();
    return;
  }
  asm volatile("setmaxnreg.inc.sync.aligned.u32 224;");
  wait_for_input();
  const int team = thread / 128, mine = thread % 128, warp = thread / 32, lane = thread % 32, g = lane / 4;
  const int most_tiles = (p.max_rows * share + TILE - 1) / TILE * 2, most_runs = (p.max_split + RUN - 1) / RUN; // tiles of a team
  const u32 queries = memory_at + WIDE_SLOTS * slot_bytes + warp * 16 * q_row;
  float4* kept = (float4*)(memory + WIDE_SLOTS * slot_bytes + 8 * 16 * q_row) + team * (kept_size<WIDTH>() / sizeof(float4));
  const u64 ones_at = blocks_at(shared_address(ones), 128, 128);
  Group group;
  int kv_head = 0, first = 0, number = 0; // of the item, first of this warp's pairs
  bool here = false, before = false; // has this team pairs, and are sums of runs before kept?
  Pairs pairs;
  int first_row = 0, last_row = 0;
  wait_at(told_at, 0);
  for (;;) { // runs
    const Piece& told_of = pieces_of[turn.slot];
    if (told_of.number < 0) return;
    if (told_of.begins) {
      group = told_of.group;
      number = told_of.number;
      kv_head = told_of.kv_head;
      const int team_first = told_of.first + team * 64;
      first = team_first + warp % 4 * 16;
      here = team_first < group.count * share;
      before = false;
      pairs = pairs_of(p, group, first, g);
      first_row = team_first / share;
      last_row = min((team_first + 63) / share, group.count - 1);
      __syncwarp();
      if (here) fetch_queries<WIDTH / 8>(memory + WIDE_SLOTS * slot_bytes + warp * 16 * q_row, q_row, p, group, kv_head, first, 16, WIDTH, lane, 32);
      __syncwarp();
    }
    const int run = told_of.at / RUN;
    Sums<WIDTH> sums;
    clear(sums);
    for (bool ends = false; !ends;) { // splits
      const Piece& piece = pieces_of[turn.slot];
      const Split split = piece.split;
      ends = piece.ends;
      const bool seen = here && piece.seen && seen_at_all(p, group, split, first_row, last_row);
      const u32 keys_empty = empty_at + turn.slot * 8;
      // Said by one lane, addresses are known to be the same in all.
      const u32 keys = __shfl_sync(~0u, memory_at + turn.slot * slot_bytes, 0);
      wait_at(full_at + turn.slot * 8, turn.phase);
      turn.next(WIDE_SLOTS);
      const u32 values_empty = empty_at + turn.slot * 8;
      const u32 values = __shfl_sync(~0u, memory_at + turn.slot * slot_bytes, 0);
      if (seen) {
        u32 w[SPLIT / 16][4];
        float most[2];
        {
          u32 q[WIDTH / 16][4];
          float s[SPLIT / 8][4];
#pragma unroll
          for (int k = 0; k < WIDTH / 16; k++) load_blocks(q[k], queries + lane % 16 * q_row + k * 32 + lane / 16 * 16);
          sums_held<SPLIT / 2>(s[0]);
          const u64 at = blocks_at(keys, PAGE * 16, 128);
          wgmma_begin();
#pragma unroll
          for (int k = 0; k < WIDTH / 16; k++)
#pragma unroll
            for (int i = 0; i < SPLIT / PAGE; i++)
              multiply_page(s[i * PAGE / 8], q[k], at + ((i * page_bytes + k * 2 * PAGE * 16) >> 4), k > 0);
          wgmma_asked();
          wgmma_wait<0>();
          sums_held<SPLIT / 2>(s[0]);
          if (lane == 0) arrive_at(keys_empty);
          scores_of<SPLIT / 8>(p, group, split, pairs, s, 0, seen_by_all(p, group, split, first_row, last_row));
          weigh(p, w, most, s);
        }
        wait_at(full_at + turn.slot * 8, turn.phase);
        if (split.count < SPLIT) {
          clear_values(memory + turn.slot * slot_bytes, split.count, WIDTH);
          fence_copies();
          asm volatile("bar.sync %0, 128;" ::"r"(team + 1) : "memory");
        }
        float now[WIDTH / 8][4], l[4];
        sums_held<WIDTH / 2>(now[0]);
        sums_held<4>(l);
        const u64 at = blocks_at(values, 128, PAGE * 16);
        wgmma_begin();
#pragma unroll
        for (int k = 0; k < SPLIT / 16; k++) {
          multiply_across<WIDTH>(now[0], w[k], at + ((k / 2 * page_bytes + k % 2 * 256) >> 4), k > 0);
          multiply_ones(l, w[k], ones_at, k > 0);
        }
        wgmma_asked();
        wgmma_wait<0>();
        sums_held<WIDTH / 2>(now[0]);
        sums_held<4>(l);
        if (lane == 0) arrive_at(values_empty);
        const Merge by[2] = {grow(sums.of[0], most[0], l[0]), grow(sums.of[1], most[1], l[2])};
#pragma unroll
        for (int d = 0; d < WIDTH / 8; d++)
#pragma unroll
          for (int e = 0; e < 4; e++) sums.o[d][e] = merged(by[e / 2], sums.o[d][e], now[d][e]); // where the row sees nothing of the split, o · 1 + 0
      } else {
        if (lane == 0) arrive_at(keys_empty);
        wait_at(full_at + turn.slot * 8, turn.phase);
        if (lane == 0) arrive_at(values_empty);
      }
      turn.next(WIDE_SLOTS);
      wait_at(told_at + turn.slot * 8, turn.phase);
    }
    if (!here) continue;
    bool out = true;
    if (p.apart) {
      const int runs = (group.split_count + RUN - 1) / RUN;
      if (runs > 1) {
        const size_t tile = ((size_t)number * p.kv_heads + kv_head) * most_tiles + first / 64;
        const size_t size = kept_size<WIDTH>() / sizeof(float4);
        float4* parts = (float4*)p.parts + tile * most_runs * size;
        keep(parts + run * size, sums, mine);
        asm volatile("bar.sync %0, 128;" ::"r"(team + 1) : "memory");
        if (mine == 0) {
          u32 others;
          asm volatile("fence.acq_rel.gpu; atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;" : "=r"(others) : "l"(p.counters + tile) : "memory");
          last[team] = others == runs - 1;
          if (others == runs - 1) p.counters[tile] = 0;
        }
        asm volatile("bar.sync %0, 128;" ::"r"(team + 1) : "memory");
        out = last[team];
        if (out) {
          clear(sums);
          for (int r = 0; r < runs; r++) add_kept<WIDTH, false>(sums, parts + r * size, mine);
        }
      }
    } else {
      if (before) add_kept<WIDTH, true>(sums, kept, mine);
      if (!pieces_of[turn.slot].begins) { // another run of these pairs follows
        keep(kept, sums, mine);
        before = true;
        out = false;
      }
    }
    if (out) write_out(p, group, kv_head, first, sums);
  }
}

#define ATTEND(WIDTH) \
  KERNEL __launch_bounds__(384, 1) void attend_wide_##WIDTH(const __grid_constant__ Attend p) { \
    extern __shared__ __align__(1024) char room[]; \
    wide<WIDTH>(p, room); \
  }
ATTEND(64)
ATTEND(128)
#undef ATTEND
#endif
