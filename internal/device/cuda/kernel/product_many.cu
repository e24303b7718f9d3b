// Products of many rows. Weights are the first operand, so that the four chains of a row over k
// are those that product_few computes.

#if HOPPER
// On Hopper one thread has both operands copied ahead, by maps that the host made, into slots in
// shared memory; teams of four warps multiply 64 weight rows each by N rows of the input.
// Where rows are few, four blocks share a tile, a cluster, and take one chain each: their sums
// meet in shared memory. Where they are many, a block takes all four chains.
#include "wgmma.cuh"

struct alignas(64) Map { char bytes[128]; };
struct Many { Map w[3], x; Product p; };

#define TEAM_ROWS 64 // weight rows of a team; with a gate half of them of each matrix
#define K_STEP 64
#define MAX_MANY_SLOTS 8
#define SUM_ROW 68 // numbers of a row of the input: 4 more spread the banks

// 8 rows of 64 columns in 1024 bytes, swizzled.
DEVICE u64 matrix_at(u32 address) { return (u64)(address >> 4 & 0x3fff) | 1ull << 16 | (u64)(1024 >> 4) << 32 | 1ull << 62; }

// The same place in the shared memory of another block of the cluster.
DEVICE u32 in_block(u32 address, u32 block) { u32 r; asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(r) : "r"(address), "r"(block)); return r; }
DEVICE float2 two_from_block(u32 address) { float2 v; asm volatile("ld.shared::cluster.v2.f32 {%0, %1}, [%2];" : "=f"(v.x), "=f"(v.y) : "r"(address) : "memory"); return v; }
DEVICE void blocks_meet() { asm volatile("barrier.cluster.arrive.release; barrier.cluster.wait.acquire;" ::: "memory"); }

// One unit of tiles of packed weights; 64 columns of rows of the input.
DEVICE void copy_units(u32 to, const Map* map, int unit, int tile, u32 barrier, u64 policy) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, {%2, %3, %4}], [%5], %6;"
               ::"r"(to), "l"(map), "r"(0), "r"(unit), "r"(tile), "r"(barrier), "l"(policy) : "memory");
}
DEVICE void copy_rows(u32 to, const Map* map, int k, int row, u32 barrier) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
               ::"r"(to), "l"(map), "r"(k), "r"(row), "r"(barrier) : "memory");
}

// Which rows of which matrix a block's tile is.
struct Tile { int segment, row; };
DEVICE Tile tile_of(const Product& p, int block, int teams) {
  Tile t = {0, 0};
  const int rows = teams * TEAM_ROWS;
  if (p.epilogue == GATED) { t.row = block * (rows / 2); return t; }
  for (int n; t.segment + 1 < p.count && block >= (n = (p.segments[t.segment].rows + rows - 1) / rows); t.segment++) block -= n;
  t.row = block * rows;
  return t;
}

// Slots in shared memory, in turns.
struct Ring {
  u32 memory, full, empty; // addresses
  u32 bytes; // of a slot
  int slots, slot;
  u32 phase;
  DEVICE void next() { if (++slot == slots) { slot = 0; phase ^= 1; } }
};

// What a slot holds: N rows of the input, then the weights, 8 tiles of one unit for each team.
template <int F, int N> struct Slot {
  static const bool held = F != F16 && F != BF16; // weights are multiplied from registers
  static const u32 x = N * 128, team = TEAM_ROWS / 8 * Unit<F>::bytes;
  static const int readers = held ? 4 : 1; // of a team that free a slot: each warp, or one for all
};

// What the thread that copies keeps.
template <int F, int N> struct Copier {
  using S = Slot<F, N>;
  const Many& m;
  Ring r;
  Tile tile;
  int teams, m0, first, steps, next;
  u64 policy;

  DEVICE Copier(const Many& m, const Ring& r, const Tile& tile, int teams, int m0, int first, int steps, bool once) : m(m), r(r), tile(tile), teams(teams), m0(m0), first(first), steps(steps), next(0) {
    // Weights that only this tile of the input reads are read once.
    if (once) policy = read_once();
    else asm("createpolicy.fractional.L2::evict_normal.b64 %0, 1.0;" : "=l"(policy));
  }
  DEVICE void weights(int q) {
    const u32 to = r.memory + r.slot * r.bytes + S::x, full = r.full + r.slot * 8;
    const int group = tile.row / 8;
    expect_at(full, S::x + teams * S::team);
    if (m.p.epilogue == GATED)
      for (int t = 0; t < teams; t++) {
        copy_units(to + t * S::team, m.w, first + q, group + t * 4, full, policy);
        copy_units(to + t * S::team + S::team / 2, m.w + 1, first + q, group + t * 4, full, policy);
      }
    else
      for (int t = 0; t < teams; t++) copy_units(to + t * S::team, m.w + tile.segment, first + q, group + t * 8, full, policy);
  }
  DEVICE void input(int q) { copy_rows(r.memory + r.slot * r.bytes, &m.x, (first + q) * K_STEP, m0, r.full + r.slot * 8); }
  // Fills the slots: the weights do not wait for what computes the input.
  DEVICE void begin() {
    const int early = min(r.slots, steps);
    for (int q = 0; q < early; q++) { weights(q); r.next(); }
    wait_for_input();
    r.slot = 0;
    for (int q = 0; q < early; q++) { input(q); r.next(); }
    r.phase = 0;
    r.slot = early % r.slots;
    next = early;
  }
  // Copies the next step when its slot is free.
  DEVICE void step() {
    if (next >= steps) return;
    wait_at(r.empty + r.slot * 8, r.phase);
    weights(next);
    input(next);
    r.next();
    next++;
  }
};

// One chain of a team. freed is called when a slot has been read.
template <int F, int N, class Freed> DEVICE void chain(float* c, Ring& r, int team, int steps, Freed freed) {
  using S = Slot<F, N>;
#pragma unroll
  for (int i = 0; i < N / 2; i++) c[i] = 0;
  int before = -1;
  const int lane = threadIdx.x % 32;
  const u32 own = S::x + team * S::team + (S::held ? threadIdx.x % 128 / 32 * 2 * Unit<F>::bytes : 0);
  for (int q = 0; q < steps; q++) {
    wait_at(r.full + r.slot * 8, r.phase);
    const u32 offset = r.slot * r.bytes;
    const u64 x = matrix_at(r.memory + offset);
    if constexpr (S::held) {
      Codes<F> low, high; // of rows g and g+8
      load_codes<F>(low, r.memory + offset + own, lane);
      load_codes<F>(high, r.memory + offset + own + Unit<F>::bytes, lane);
      // Registers are read until the products of the step before have ended.
      wgmma_wait<0>();
      if (before >= 0) freed(before);
      u32 w[4][4];
#pragma unroll
      for (int k = 0; k < 4; k++) {
        expand_step<F>(w[k][0], w[k][2], low, k);
        expand_step<F>(w[k][1], w[k][3], high, k);
      }
      wgmma_begin();
#pragma unroll
      for (int k = 0; k < K_STEP / 16; k++) wgmma_held<N>(c, w[k], x + 2 * k);
      wgmma_asked();
    } else {
      const u64 w = matrix_at(r.memory + offset + own);
      wgmma_begin();
#pragma unroll
      for (int k = 0; k < K_STEP / 16; k++) wgmma<N, F == BF16>(c, w + 2 * k, x + 2 * k);
      wgmma_asked();
      wgmma_wait<1>();
      if (before >= 0) freed(before);
    }
    before = r.slot;
    r.next();
  }
  wgmma_wait<0>();
  sums_held<N / 2>(c);
  if (before >= 0) freed(before);
}

// Where a team's sums lie in shared memory: 64 weight rows a row of the input.
template <int N> DEVICE void put_sums(const float* c, float* sums) {
  const int thread = threadIdx.x % 128, warp = thread / 32, g = thread % 32 / 4, t = thread % 4;
#pragma unroll
  for (int i = 0; i < N / 2; i++) sums[(i / 4 * 8 + 2 * t + i % 2) * SUM_ROW + warp * 16 + g + i / 2 % 2 * 8] = c[i];
}

// What becomes of a team's sums of rows from ... to of the input, if all ends with one KIND of
// epilogue: a lane takes two weight rows, of ONCE rows of the input at once. The code for one is
// there a few times only, since code that is run once has to be fetched. read returns the sums
// of two weight rows.
template <int KIND, int ONCE, class Read> DEVICE void finish_kind(const Product& p, const Tile& tile, int team, int m0, int from, int to, Read read) {
  constexpr int lanes = KIND == GATED ? 16 : 32, step = 4 * 32 / lanes; // of a row, of a team
  const int thread = threadIdx.x % 128, at = thread % lanes * 2, n = tile.row + team * 2 * lanes + at;
  const Segment& s = p.segments[tile.segment];
  if (n >= s.rows) return;
  from += thread / lanes;
  to = min(to, p.rows - m0);
  const bool both = n + 1 < s.rows && s.stride % 2 == 0, bf = p.format == BF16;
  if (!both) { // at the end of a matrix of an odd number of rows
    for (int i = from; i < to; i += step) {
      const float2 y = read(i, at), up = KIND == GATED ? read(i, at + 32) : y;
      float old[2] = {0, 0};
      if (KIND == ADD)
        for (int e = 0; e < 2 && n + e < s.rows; e++) old[e] = __ldcg((const float*)s.out + (size_t)(m0 + i) * s.stride + n + e);
      finish(p, s, &y.x, &up.x, old, m0 + i, n);
    }
    return;
  }
  auto two = [&](const float* from, float missing) { return from ? make_float2(from[n], from[n + 1]) : make_float2(missing, missing); };
  const float2 scale = two(s.scale, 1), bias = two(s.bias, 0), up_scale = two(KIND == GATED ? p.segments[1].scale : 0, 1), up_bias = two(KIND == GATED ? p.segments[1].bias : 0, 0);
  auto both_scaled = [](float2 y, float2 scale, float2 bias) { return make_float2(scaled(y.x, scale.x, bias.x), scaled(y.y, scale.y, bias.y)); };
  char* out = s.out + ((size_t)m0 * s.stride + n) * (KIND >= GATED ? 2 : 4);
  for (int i = from; i < to; i += ONCE * step) {
    float2 old[ONCE];
    if (KIND == ADD)
#pragma unroll
      for (int j = 0; j < ONCE; j++)
        if (i + j * step < to) old[j] = __ldcg((const float2*)(out + (size_t)(i + j * step) * s.stride * 4));
#pragma unroll
    for (int j = 0; j < ONCE; j++) {
      const int row = i + j * step;
      if (row >= to) break;
      float2 v = both_scaled(read(row, at), scale, bias);
      if (KIND == ADD) v = make_float2(__fadd_rn(old[j].x, v.x), __fadd_rn(old[j].y, v.y));
      if (KIND >= GATED) v = make_float2(activate(p.activation, v.x), activate(p.activation, v.y));
      if (KIND == GATED) {
        const float2 up = both_scaled(read(row, at + 32), up_scale, up_bias);
        v = make_float2(__fmul_rn(v.x, up.x), __fmul_rn(v.y, up.y));
      }
      if (KIND >= GATED) *(u32*)(out + (size_t)row * s.stride * 2) = pair_half(v.x, v.y, bf);
      else *(float2*)(out + (size_t)row * s.stride * 4) = v;
    }
  }
}

// The same, whatever it ends with.
template <int ONCE, class Read> DEVICE void finish_rows(const Product& p, const Tile& tile, int team, int m0, int from, int to, Read read) {
  switch (p.epilogue) {
    case STORE: finish_kind<STORE, 4>(p, tile, team, m0, from, to, read); break;
    case ADD: finish_kind<ADD, ONCE>(p, tile, team, m0, from, to, read); break;
    case GATED: finish_kind<GATED, 4>(p, tile, team, m0, from, to, read); break;
    default: finish_kind<ACTIVATED, 4>(p, tile, team, m0, from, to, read);
  }
}

// An empty ring; all threads make it, and meet before they use it.
DEVICE Ring ring_of(char* memory, u64* full, u64* empty, u32 bytes, int slots, int releases) {
  if (threadIdx.x < slots) {
    barrier_init(full + threadIdx.x, 1);
    barrier_init(empty + threadIdx.x, releases);
  }
  barriers_ready();
  Ring r = {shared_address(memory), shared_address(full), shared_address(empty), (bytes + 1023) / 1024 * 1024, slots, 0, 0};
  return r;
}

// Four blocks, one chain each. Blocks: [chain][tile of weights][tile of the input].
template <int F, int N> DEVICE void divided(const Many& m) {
  extern __shared__ __align__(1024) char memory[];
  __shared__ u64 full[MAX_MANY_SLOTS], empty[MAX_MANY_SLOTS];
  const Product& p = m.p;
  const int teams = blockDim.x / 128;
  Ring r = ring_of(memory, full, empty, Slot<F, N>::x + teams * Slot<F, N>::team, p.slots, teams * Slot<F, N>::readers);
  __syncthreads();
  let_next_begin();
  const Tile tile = tile_of(p, blockIdx.y, teams);
  const int units = (p.cols + K_STEP - 1) / K_STEP, block = blockIdx.x, m0 = blockIdx.z * N;
  const int first = block * units / CHAINS, steps = (block + 1) * units / CHAINS - first;
  Copier<F, N> copier(m, r, tile, teams, m0, first, steps, gridDim.z == 1);
  if (threadIdx.x == 0) copier.begin();
  __syncwarp();
  wait_for_input();
  const int team = threadIdx.x / 128;
  float* sums = (float*)memory + team * N * SUM_ROW;
  float c[N / 2];
  chain<F, N>(c, r, team, steps, [&](int slot) {
    __syncwarp();
    if (threadIdx.x % (Slot<F, N>::held ? 32 : 128) == 0) arrive_at(r.empty + slot * 8);
    if (threadIdx.x == 0) copier.step();
    __syncwarp();
  });
  // All that was copied here has been read: the slots are free for the sums.
  asm volatile("bar.sync 1, %0;" ::"r"(teams * 128) : "memory");
  put_sums<N>(c, sums);
  blocks_meet();
  u32 from[CHAINS];
#pragma unroll
  for (int b = 0; b < CHAINS; b++) from[b] = in_block(shared_address(sums), b);
  constexpr int share = N / CHAINS;
  finish_rows<10>(p, tile, team, m0, block * share, (block + 1) * share, [&](int row, int at) {
    const u32 offset = (row * SUM_ROW + at) * 4;
    float2 v[CHAINS];
#pragma unroll
    for (int b = 0; b < CHAINS; b++) v[b] = two_from_block(from[b] + offset);
#pragma unroll
    for (int b = 1; b < CHAINS; b++) v[0] = make_float2(__fadd_rn(v[0].x, v[b].x), __fadd_rn(v[0].y, v[b].y));
    return v[0];
  });
  blocks_meet(); // nobody leaves while others read its sums
}

// All chains, one behind the other. Blocks take GROUP tiles of weights with all tiles of the input
// before they go on, so that what many of them read at a time is little.
#define GROUP 12
// Three teams where the registers suffice for the sums of two chains each.
#define WHOLE_THREADS(N) (N <= 96 ? 512 : 384)
template <int F, int N> DEVICE void whole(const Many& m) {
  extern __shared__ __align__(1024) char memory[];
  __shared__ u64 full[MAX_MANY_SLOTS], empty[MAX_MANY_SLOTS];
  using S = Slot<F, N>;
  const Product& p = m.p;
  const int teams = blockDim.x / 128 - 1;
  Ring r = ring_of(memory, full, empty, S::x + teams * S::team, p.slots, teams * S::readers);
  __syncthreads();
  let_next_begin();
  const int inputs = gridDim.y, id = blockIdx.y * gridDim.x + blockIdx.x, begin = id / (GROUP * inputs) * GROUP, width = min(GROUP, (int)gridDim.x - begin);
  const Tile tile = tile_of(p, begin + (id - begin * inputs) % width, teams);
  const int units = (p.cols + K_STEP - 1) / K_STEP, m0 = (id - begin * inputs) / width * N;
  if (threadIdx.x >= teams * 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (threadIdx.x == teams * 128) {
      Copier<F, N> copier(m, r, tile, teams, m0, 0, units, inputs == 1);
      copier.begin();
      while (copier.next < units) copier.step();
    }
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(WHOLE_THREADS(N) == 512 ? 152 : 232));
    wait_for_input();
    const int team = threadIdx.x / 128;
    float c[N / 2], total[N / 2];
#pragma unroll 1
    for (int i = 0; i < CHAINS; i++) {
      chain<F, N>(c, r, team, (i + 1) * units / CHAINS - i * units / CHAINS, [&](int slot) {
        if (S::held) __syncwarp();
        if (threadIdx.x % (S::held ? 32 : 128) == 0) arrive_at(r.empty + slot * 8);
      });
      if (i == 0)
#pragma unroll
        for (int j = 0; j < N / 2; j++) total[j] = c[j];
      else
#pragma unroll
        for (int j = 0; j < N / 2; j++) total[j] = __fadd_rn(total[j], c[j]);
    }
    asm volatile("bar.sync 1, %0;" ::"r"(teams * 128) : "memory");
    float* sums = (float*)memory + team * N * SUM_ROW;
    put_sums<N>(total, sums);
    asm volatile("bar.sync %0, 128;" ::"r"(team + 2) : "memory");
    finish_rows<16>(p, tile, team, m0, 0, N, [&](int row, int at) { return *(const float2*)(sums + row * SUM_ROW + at); });
  }
}

#define DIVIDED(name, F, N) KERNEL __cluster_dims__(CHAINS, 1, 1) __launch_bounds__(512, 1) void product_##name##_divided_##N(const __grid_constant__ Many m) { divided<F, N>(m); }
#define DIVIDED_ALL(N) DIVIDED(f16, F16, N) DIVIDED(bf16, BF16, N) DIVIDED(f8, F8, N) DIVIDED(q8, Q8, N) DIVIDED(q6, Q6, N) DIVIDED(q4, Q4, N)
DIVIDED_ALL(16)
DIVIDED_ALL(32)
DIVIDED_ALL(64)
DIVIDED_ALL(96)
DIVIDED_ALL(152)
#define WHOLE(name, F, N) KERNEL __launch_bounds__(WHOLE_THREADS(N), 1) void product_##name##_whole_##N(const __grid_constant__ Many m) { whole<F, N>(m); }
#define WHOLE_ALL(N) WHOLE(f16, F16, N) WHOLE(bf16, BF16, N) WHOLE(f8, F8, N) WHOLE(q8, Q8, N) WHOLE(q6, Q6, N) WHOLE(q4, Q4, N)
WHOLE_ALL(16)
WHOLE_ALL(32)
WHOLE_ALL(64)
WHOLE_ALL(96)
WHOLE_ALL(128)
WHOLE_ALL(160)
WHOLE(f16, F16, 192)
WHOLE(bf16, BF16, 192)

#else
// The address of a group of 8 weight rows of a block's tile, 0 if there is none.
DEVICE const char* group_at(const Product& p, int group, size_t tile_bytes, int& segment, int& row) {
  segment = 0;
  int tile = group;
  if (p.epilogue == GATED) { segment = group & 1; tile = group / 2; }
  else
    for (int n; segment + 1 < p.count && tile >= (n = (p.segments[segment].rows + 7) / 8); segment++) tile -= n;
  row = tile * 8;
  return row < p.segments[segment].rows ? p.segments[segment].w + tile * tile_bytes : 0;
}

// Before Hopper: 128 weight rows and 64 rows of the input a block, eight warps of 32 by 32.
// Where the sums of a lane go: of row g of two groups, or with a gate of one row.
struct Lane { char* out[2]; size_t stride[2]; float scale[2], bias[2]; };

DEVICE Lane lane_of(const Product& p, int group) {
  Lane r;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    int segment, row;
    group_at(p, group + half, 0, segment, row);
    const Segment& s = p.segments[segment];
    const int n = row + threadIdx.x % 32 / 4;
    const bool there = n < s.rows;
    r.out[half] = there && s.out ? s.out + (size_t)n * (p.epilogue >= GATED ? 2 : 4) : 0;
    r.stride[half] = s.stride;
    r.scale[half] = there && s.scale ? s.scale[n] : 1;
    r.bias[half] = there && s.bias ? s.bias[n] : 0;
  }
  return r;
}

// What becomes of four sums: row g of two groups, columns 2t and 2t+1 of 8 rows of the input
// from m on.
DEVICE void finish_four(const Product& p, const Lane& to, const float* c, int m) {
  const bool bf = p.format == BF16;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const int half = i / 2, row = m + 2 * (threadIdx.x % 4) + i % 2;
    if (row >= p.rows || !to.out[half] || (p.epilogue == GATED && half)) continue;
    const size_t at = row * to.stride[half];
    float v = __fadd_rn(__fmul_rn(c[i], to.scale[half]), to.bias[half]);
    if (p.epilogue == STORE) ((float*)to.out[half])[at] = v;
    else if (p.epilogue == ADD) ((float*)to.out[half])[at] = __fadd_rn(((const float*)to.out[half])[at], v);
    else {
      v = activate(p.activation, v);
      if (p.epilogue == GATED) v = __fmul_rn(v, __fadd_rn(__fmul_rn(c[i % 2 + 2], to.scale[1]), to.bias[1]));
      ((u16*)to.out[half])[at] = to_half(v, bf);
    }
  }
}

// Adds the sums of a chain to those of the chains in front of it, and begins the next.
DEVICE void add_chain(float (*total)[4][4], float (*c)[4][4]) {
#pragma unroll
  for (int i = 0; i < 32; i++) {
    float& t = total[i / 16][i / 4 % 4][i % 4];
    float& n = c[i / 16][i / 4 % 4][i % 4];
    t = __fadd_rn(t, n);
    n = 0;
  }
}

#define N_ROWS 64
#define SLOTS 3
template <bool BF> DEVICE void many(const Product& p) {
  extern __shared__ __align__(1024) char memory[];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, first = blockIdx.y * 16, m0 = blockIdx.x * N_ROWS;
  const int steps = (p.cols + 63) / 64, w_bytes = 16384, slot_bytes = w_bytes + N_ROWS * 128;
  const size_t tile_bytes = (size_t)steps * 1024;
  int segment, row;
  const int copied = threadIdx.x / 16; // a group of weights, by 16 threads
  const char* from = group_at(p, first + copied, tile_bytes, segment, row);
  auto copy = [&](int q) {
    if (q < steps) {
      u32 to = shared_address(memory + q % SLOTS * slot_bytes);
      if (from)
        for (int i = threadIdx.x % 16; i < 64; i += 16) copy16(to + copied * 1024 + i * 16, from + (size_t)q * 1024 + i * 16);
      for (int i = threadIdx.x; i < N_ROWS * 8; i += 256) {
        int m = i / 8, k8 = i % 8;
        copy16(to + w_bytes + swizzled(m, k8), p.x + ((size_t)min(m0 + m, p.rows - 1) * p.x_stride + q * 64 + k8 * 8) * 2);
      }
    }
    copies_end();
  };
  wait_for_input();
  copy(0);
  copy(1);
  float c[2][4][4] = {}, total[2][4][4] = {};
  int until = steps / 4, chain = 1; // where the chain ends
  const int wr = warp / 2, wm = warp % 2; // 32 weight rows, 32 rows of the input
  for (int q = 0; q < steps; q++) {
    for (; q == until; until = ++chain * steps / 4) add_chain(total, c);
    copies_wait<1>();
    __syncthreads();
    copy(q + 2);
    u32 w = shared_address(memory + q % SLOTS * slot_bytes), x = w + w_bytes;
#pragma unroll
    for (int k = 0; k < 4; k++) {
      u32 a[2][4], b[2][4];
#pragma unroll
      for (int i = 0; i < 2; i++) // blocks: rows 0-7 and 8-15 of columns 0-7, then of 8-15
        load_blocks(a[i], w + (wr * 4 + i * 2) * 1024 + swizzled(lane % 16, k * 2 + lane / 16));
#pragma unroll
      for (int j = 0; j < 2; j++) // columns 0-7 and 8-15 of 8 rows, then of the next 8
        load_blocks(b[j], x + (wm * 32 + j * 16) * 128 + swizzled(lane / 16 * 8 + lane % 8, k * 2 + lane / 8 % 2));
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) mma<BF>(c[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
  }
  for (; chain <= 4; chain++) add_chain(total, c);
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const Lane to = lane_of(p, first + wr * 4 + i * 2);
#pragma unroll
    for (int j = 0; j < 4; j++) finish_four(p, to, total[i][j], m0 + wm * 32 + j * 8);
  }
}
KERNEL __launch_bounds__(256) void product_f16_many(const __grid_constant__ Product p) { many<false>(p); }
KERNEL __launch_bounds__(256) void product_bf16_many(const __grid_constant__ Product p) { many<true>(p); }
#endif
