// Products of many rows: a block takes tiles of 64 weight rows, one for each group of four
// warps, and up to 256 rows of the input. Weights are the first operand, so that the chain of
// a row over k is the one that product_few computes. A gate's two matrices lie in turns, 8
// rows each. Other warps copy both operands ahead into slots in shared memory.

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

#if HOPPER
// wgmma: 64 weight rows, N rows of the input, 16 columns; both operands in shared memory, 8 rows
// of 64 columns in 1024 bytes, swizzled.
DEVICE u64 matrix_at(u32 address) { return (u64)(address >> 4 & 0x3fff) | 1ull << 16 | (u64)(1024 >> 4) << 32 | 1ull << 62; }
#include "wgmma.cuh"

#define K_STEP 64

// A team's sums, 64 weight rows, from registers to shared memory and from there to where they
// go: the code for one number is there once, since code that is run once has to be fetched.
#define SUM_ROW 68 // numbers of a row of the input: 4 more spread the banks
template <int N> DEVICE void finish_all(const Product& p, const float* c, float* sums, int first_group, int m0, int team) {
  const int thread = threadIdx.x % 128, warp = thread / 32, lane = thread % 32, g = lane / 4, t = lane % 4;
#pragma unroll
  for (int i = 0; i < N / 2; i++) sums[(i / 4 * 8 + 2 * t + i % 2) * SUM_ROW + warp * 16 + g + i / 2 % 2 * 8] = c[i];
  asm volatile("bar.sync %0, 128;" ::"r"(team + 1) : "memory");
  const bool gated = p.epilogue == GATED;
  if (gated && lane >= 16) return;
  const int at = gated ? lane / 4 * 16 + lane % 4 * 2 : 2 * lane; // the first of two rows
  int segment, row;
  if (!group_at(p, first_group + at / 8, 0, segment, row) || row + at % 8 >= p.segments[segment].rows) return;
  const Segment& s = p.segments[segment];
  const int n = row + at % 8, rows = min(N, p.rows - m0);
  constexpr int once = 4;
  for (int i = warp; i < rows; i += 4 * once) {
    float2 old[once];
    if (p.epilogue == ADD)
#pragma unroll
      for (int j = 0; j < once; j++)
        if (i + 4 * j < rows) {
          const float* from = (const float*)s.out + (size_t)(m0 + i + 4 * j) * s.stride + n;
          old[j] = make_float2(__ldcg(from), n + 1 < s.rows ? __ldcg(from + 1) : 0);
        }
#pragma unroll
    for (int j = 0; j < once; j++)
      if (i + 4 * j < rows) {
        const float* y = sums + (i + 4 * j) * SUM_ROW + at;
        finish(p, s, y, y + 8, &old[j].x, m0 + i + 4 * j, n);
      }
  }
}

// A slot has the weights, groups of 8 rows, then the input, N rows.
template <int N, bool BF> DEVICE void many(const Product& p) {
  extern __shared__ __align__(1024) char memory[];
  __shared__ u64 full[8], empty[8];
  __shared__ const char* from[24]; // groups of weights, 0 behind the last
  const int slots = p.slots, teams = blockDim.x / 128 - 1, team = threadIdx.x / 128, thread = threadIdx.x % 128;
  const int groups = teams * 8, first = blockIdx.y * groups, m0 = blockIdx.x * N;
  const int steps = (p.cols + K_STEP - 1) / K_STEP, w_bytes = teams * 8192, slot_bytes = w_bytes + N * 128;
  if (threadIdx.x < slots) {
    barrier_init(full + threadIdx.x, 1 + 128);
    barrier_init(empty + threadIdx.x, teams);
  }
  barriers_ready();
  if (threadIdx.x < groups) {
    int segment, row;
    from[threadIdx.x] = group_at(p, first + threadIdx.x, (size_t)steps * 1024, segment, row);
  }
  __syncthreads();
  let_next_begin();
  if (team == teams) { // this team copies: one lane of each warp weights, all lanes the input
    int have = 0;
    for (int i = 0; i < groups; i++) have += from[i] != 0;
    const int k8 = thread % 8, m8 = thread / 8; // 16 rows at once
    int slot = 0;
    u32 phase = 1;
    auto weights = [&](int q) {
      if (thread == 0) barrier_expect(full + slot, have * 1024);
      if (thread % 32 == 0)
        for (int i = thread / 32; i < groups; i += 4)
          if (from[i]) copy_bulk(shared_address(memory + slot * slot_bytes + i * 1024), from[i] + (size_t)q * 1024, 1024, full + slot);
      __syncwarp();
    };
    const char* x[N / 16];
#pragma unroll
    for (int i = 0; i < N / 16; i++) x[i] = p.x + ((size_t)min(m0 + m8 + 16 * i, p.rows - 1) * p.x_stride + k8 * 8) * 2;
    auto input = [&](int q) {
      u32 to = shared_address(memory + slot * slot_bytes + w_bytes) + swizzled(m8, k8);
#pragma unroll
      for (int i = 0; i < N / 16; i++) copy16(to + i * 2048, x[i] + q * (K_STEP * 2));
      asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(shared_address(full + slot)) : "memory");
    };
    // The first weights do not wait for what computes the input.
    const int early = min(slots, steps);
    for (slot = 0; slot < early; slot++) weights(slot);
    wait_for_input();
    for (slot = 0; slot < early; slot++) input(slot);
    slot = early % slots;
    phase = early == slots ? 0 : 1;
    for (int q = early; q < steps; q++) {
      barrier_wait(empty + slot, phase);
      weights(q);
      input(q);
      if (++slot == slots) { slot = 0; phase ^= 1; }
    }
    asm volatile("cp.async.wait_all;" ::: "memory");
    return;
  }
  wait_for_input();
  float c[N / 2];
#pragma unroll
  for (int i = 0; i < N / 2; i++) c[i] = 0;
  int slot = 0, before = -1;
  u32 phase = 0;
  for (int q = 0; q < steps; q++) {
    barrier_wait(full + slot, phase);
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    u32 at = shared_address(memory + slot * slot_bytes);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int k = 0; k < K_STEP / 16; k++)
      wgmma<N, BF>(c, matrix_at(at + team * 8192 + k * 32), matrix_at(at + w_bytes + k * 32));
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
    if (before >= 0 && thread == 0) barrier_arrive(empty + before);
    before = slot;
    if (++slot == slots) { slot = 0; phase ^= 1; }
  }
  wgmma_end<N>(c);
  // All that was copied here has been read: the slots are free for the sums.
  asm volatile("bar.sync 8, %0;" ::"r"(teams * 128) : "memory");
  finish_all<N>(p, c, (float*)memory + team * N * SUM_ROW, first + team * 8, m0, team);
}

#define MANY(N, threads) \
  KERNEL __launch_bounds__(threads, 1) void product_f16_many_##N(const __grid_constant__ Product p) { many<N, false>(p); } \
  KERNEL __launch_bounds__(threads, 1) void product_bf16_many_##N(const __grid_constant__ Product p) { many<N, true>(p); }
MANY(32, 512)
MANY(80, 512)
MANY(160, 512)
MANY(256, 384)

#else
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
  float c[2][4][4] = {};
  const int wr = warp / 2, wm = warp % 2; // 32 weight rows, 32 rows of the input
  for (int q = 0; q < steps; q++) {
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
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const Lane to = lane_of(p, first + wr * 4 + i * 2);
#pragma unroll
    for (int j = 0; j < 4; j++) finish_four(p, to, c[i][j], m0 + wm * 32 + j * 8);
  }
}
KERNEL __launch_bounds__(256) void product_f16_many(const __grid_constant__ Product p) { many<false>(p); }
KERNEL __launch_bounds__(256) void product_bf16_many(const __grid_constant__ Product p) { many<true>(p); }
#endif
