// Products of many rows: a block takes tiles of 64 weight rows, one for each group of four
// warps, and up to 256 rows of the input. Weights are the first operand, so that the chain of
// a row over k is the one that product_few computes. A gate's two matrices lie in turns, 8
// rows each, so that a lane has both sums.

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

// What becomes of four sums of a lane: rows g of two groups, columns 2t and 2t+1 of 8 rows of
// the input from m on.
DEVICE void finish_four(const Product& p, const float* c, int group, int m) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const bool bf = p.format == BF16, gated = p.epilogue == GATED;
#pragma unroll
  for (int half = 0; half < (gated ? 1 : 2); half++) {
    int segment, row;
    group_at(p, group + half, 0, segment, row);
    const Segment& s = p.segments[segment];
    const int n = row + g;
    if (n >= s.rows) continue;
    const float scale = s.scale ? s.scale[n] : 1, bias = s.bias ? s.bias[n] : 0;
#pragma unroll
    for (int e = 0; e < 2; e++) {
      const int at_m = m + 2 * t + e;
      if (at_m >= p.rows) continue;
      const size_t at = (size_t)at_m * s.stride + n;
      float v = c[2 * half + e];
      if (s.scale) v = __fmul_rn(v, scale);
      if (s.bias) v = __fadd_rn(v, bias);
      if (p.epilogue == STORE) ((float*)s.out)[at] = v;
      else if (p.epilogue == ADD) ((float*)s.out)[at] = __fadd_rn(((const float*)s.out)[at], v);
      else {
        if (gated) {
          const Segment& other = p.segments[1];
          float u = c[2 + e];
          if (other.scale) u = __fmul_rn(u, other.scale[n]);
          if (other.bias) u = __fadd_rn(u, other.bias[n]);
          v = __fmul_rn(activate(p.activation, v), u);
        } else v = activate(p.activation, v);
        ((u16*)s.out)[at] = to_half(v, bf);
      }
    }
  }
}

#if HOPPER
// wgmma: 64 weight rows, N rows of the input, 16 columns; both operands in shared memory in
// blocks of 8 rows by 16 bytes. The accumulators are written as one list of registers.
DEVICE u64 matrix_at(u32 address, u32 next_columns, u32 next_rows) {
  return (u64)(address >> 4 & 0x3fff) | (u64)(next_columns >> 4) << 16 | (u64)(next_rows >> 4) << 32;
}
#include "wgmma.cuh"

#define K_STEP 64

// A slot has the weights [groups of 8 rows][8 blocks of 8 columns][8][8], then the input
// [8 blocks of 8 columns][N rows][8].
template <int N, bool BF> DEVICE void many(const Product& p, int slots) {
  extern __shared__ __align__(1024) char memory[];
  __shared__ u64 full[8], empty[8];
  const int teams = blockDim.x / 128 - 1, team = threadIdx.x / 128, thread = threadIdx.x % 128;
  const int groups = teams * 8, first = blockIdx.y * groups, m0 = blockIdx.x * N;
  const int steps = (p.cols + K_STEP - 1) / K_STEP, w_bytes = teams * 8192, slot_bytes = w_bytes + N * 128;
  const size_t tile_bytes = (size_t)steps * 1024;
  if (threadIdx.x == 0) {
    for (int i = 0; i < slots; i++) { barrier_init(full + i, 1 + 128); barrier_init(empty + i, teams); }
    barriers_ready();
  }
  __syncthreads();
  let_next_begin();
  if (team == teams) { // this team copies
    const char* from = 0;
    int segment, row, have = 0;
    for (int i = 0; i < groups; i++) have += group_at(p, first + i, tile_bytes, segment, row) != 0;
    if (thread < groups) from = group_at(p, first + thread, tile_bytes, segment, row);
    const int k8 = thread / 8 % 8, m8 = thread % 8 + thread / 64 * 8; // 16 rows at once
    int slot = 0;
    u32 phase = 1;
    auto weights = [&](int q) {
      if (thread == 0) barrier_expect(full + slot, have * 1024);
      if (thread < 32) {
        __syncwarp();
        if (from) copy_bulk(shared_address(memory + slot * slot_bytes + thread * 1024), from + q * 1024, 1024, full + slot);
      }
    };
    auto input = [&](int q) {
      u32 to = shared_address(memory + slot * slot_bytes + w_bytes) + k8 * N * 16;
#pragma unroll 4
      for (int m = m8; m < N; m += 16)
        copy16(to + m * 16, p.x + ((size_t)min(m0 + m, p.rows - 1) * p.x_stride + q * K_STEP + k8 * 8) * 2);
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
      wgmma<N, BF>(c, matrix_at(at + team * 8192 + k * 256, 128, 1024), matrix_at(at + w_bytes + k * 2 * N * 16, N * 16, 128));
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
    if (before >= 0 && thread == 0) barrier_arrive(empty + before);
    before = slot;
    if (++slot == slots) { slot = 0; phase ^= 1; }
  }
  wgmma_end<N>(c);
#pragma unroll
  for (int j = 0; j < N / 8; j++) finish_four(p, c + 4 * j, first + team * 8 + thread / 32 * 2, m0 + 8 * j);
}

#define MANY(N, threads) \
  KERNEL __launch_bounds__(threads, 1) void product_f16_many_##N(const __grid_constant__ Product p) { many<N, false>(p, p.ring); } \
  KERNEL __launch_bounds__(threads, 1) void product_bf16_many_##N(const __grid_constant__ Product p) { many<N, true>(p, p.ring); }
MANY(64, 512)
MANY(128, 512)
MANY(160, 512)
MANY(256, 384)

#else
// Before Hopper: 128 weight rows and 64 rows of the input a block, eight warps of 32 by 32.
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
        int m = i % 8 + i / 64 * 8, k8 = i / 8 % 8;
        copy16(to + w_bytes + (k8 * N_ROWS + m) * 16, p.x + ((size_t)min(m0 + m, p.rows - 1) * p.x_stride + q * 64 + k8 * 8) * 2);
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
        load_blocks(a[i], w + (wr * 4 + i * 2 + lane / 8 % 2) * 1024 + (k * 2 + lane / 16) * 128 + lane % 8 * 16);
#pragma unroll
      for (int j = 0; j < 2; j++) // columns 0-7 and 8-15 of 8 rows, then of the next 8
        load_blocks(b[j], x + ((k * 2 + lane / 8 % 2) * N_ROWS + wm * 32 + j * 16 + lane / 16 * 8 + lane % 8) * 16);
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) mma<BF>(c[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
  }
#pragma unroll
  for (int i = 0; i < 2; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) finish_four(p, c[i][j], first + wr * 4 + i * 2, m0 + wm * 32 + j * 8);
}
KERNEL __launch_bounds__(256) void product_f16_many(const __grid_constant__ Product p) { many<false>(p); }
KERNEL __launch_bounds__(256) void product_bf16_many(const __grid_constant__ Product p) { many<true>(p); }
#endif
