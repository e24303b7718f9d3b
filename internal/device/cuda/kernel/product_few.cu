// Products of few rows: each warp takes tiles of 8 weight rows, one chain of products over
// k a tile, and everything waits for the memory only. On Hopper one warp copies weights
// ahead into a ring in shared memory and never waits for the input, so that the weights of
// the next product arrive while the one in front of it ends. A stream is one tile that is
// being read; its slots belong to the warp that reads it.

#define WARPS 8
#define MAX_SLOTS 64
#define X_SLOTS 3

struct Item { const char* tile[2]; int segment, row; };

// The item'th tile, counted through the segments; with a gate an item is a tile of both.
DEVICE Item item_at(const Product& p, int item, size_t tile_bytes) {
  Item r;
  if (p.epilogue == GATED) {
    r.segment = 0;
    r.tile[0] = p.segments[0].w + item * tile_bytes;
    r.tile[1] = p.segments[1].w + item * tile_bytes;
  } else {
    r.segment = 0;
    for (int n; r.segment + 1 < p.count && item >= (n = (p.segments[r.segment].rows + 7) / 8); r.segment++) item -= n;
    r.tile[0] = r.tile[1] = p.segments[r.segment].w + item * tile_bytes;
  }
  r.row = item * 8;
  return r;
}

// How a block divides its tiles among its warps: the same for the one that copies and those
// that compute.
struct Plan { int first, items, active, streams, depth, steps, units; };

template <int F> DEVICE Plan plan(const Product& p, int slots) {
  Plan r;
  int all = 0, a = (p.epilogue == GATED) ? 1 : p.count;
  for (int i = 0; i < a; i++) all += (p.segments[i].rows + 7) / 8;
  r.first = (int)((long long)blockIdx.x * all / gridDim.x);
  r.items = (int)((long long)(blockIdx.x + 1) * all / gridDim.x) - r.first;
  // Before Hopper there is less shared memory for the tiles of a gate.
  const int most = HOPPER || p.epilogue != GATED ? WARPS : WARPS / 2, rounds = (r.items + most - 1) / most;
  r.active = rounds ? (r.items + rounds - 1) / rounds : 1;
  r.streams = r.active * (p.epilogue == GATED ? 2 : 1);
  r.depth = slots / r.streams;
  r.units = (p.cols + 63) / 64;
  r.steps = (r.units + Unit<F>::stage - 1) / Unit<F>::stage;
  return r;
}

// B rows at most: 8, 16 or 32. Shared memory: the ring, then the input, whole [rows][cols+8]
// or (streamed) slots of [rows][stage columns + 8].
template <int F, int B> DEVICE void few(const Product& p, int ring, bool streamed) {
  constexpr int stage = Unit<F>::stage, slot_bytes = Unit<F>::bytes * stage, columns = stage * 64;
  constexpr int tiles = B == 32 ? 2 : 1; // of 16 rows
  constexpr bool bf = F == BF16;
  extern __shared__ __align__(1024) char memory[];
  __shared__ u64 full[MAX_SLOTS], empty[MAX_SLOTS], x_full[X_SLOTS], x_empty[X_SLOTS];
  __shared__ float partial[8];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const bool gated = p.epilogue == GATED;
  const Plan work = plan<F>(p, min(ring / slot_bytes, MAX_SLOTS));
  const size_t tile_bytes = (size_t)work.units * Unit<F>::bytes;
  const int x_row = (streamed ? columns : work.units * 64) * 2 + 16; // bytes; 16 more spread the banks
  char* xs = memory + ring;

#if HOPPER
  if (threadIdx.x == 0) {
    for (int i = 0; i < MAX_SLOTS; i++) { barrier_init(full + i, 1); barrier_init(empty + i, 1); }
    for (int i = 0; i < X_SLOTS; i++) { barrier_init(x_full + i, 1); barrier_init(x_empty + i, work.active); }
    barriers_ready();
  }
  __syncthreads();
  let_next_begin();
  if (warp == WARPS) { // a lane copies a stream
    if (lane < work.streams) {
      u64 policy = read_once();
      int slot = 0;
      u32 phase = 1; // nothing is in the slots at first
      const int own = gated ? lane / 2 : lane;
      for (int i = own; i < work.items; i += work.active) {
        Item item = item_at(p, work.first + i, tile_bytes);
        const char* from = item.tile[gated ? lane & 1 : 0];
        for (int q = 0; q < work.steps; q++, from += slot_bytes) {
          int at = lane * work.depth + slot;
          barrier_wait(empty + at, phase);
          u32 bytes = min(stage, work.units - q * stage) * Unit<F>::bytes;
          barrier_expect(full + at, bytes);
          copy_bulk_once(shared_address(memory + at * slot_bytes), from, bytes, full + at, policy);
          if (++slot == work.depth) { slot = 0; phase ^= 1; }
        }
      }
    }
    wait_for_input();
    return;
  }
  if (warp == WARPS + 1) { // and a warp copies the input, where it is too large to keep
    wait_for_input();
    if (!streamed) return;
    int slot = 0;
    u32 phase = 1;
    for (int i = 0; i < work.items; i += work.active)
      for (int q = 0; q < work.steps; q++) {
        u32 bytes = min(stage, work.units - q * stage) * 128;
        if (lane == 0) { barrier_wait(x_empty + slot, phase); barrier_expect(x_full + slot, bytes * p.rows); }
        __syncwarp();
        for (int m = lane; m < p.rows; m += 32)
          copy_bulk(shared_address(xs + (slot * B + m) * x_row), p.x + ((size_t)m * p.x_stride + q * columns) * 2, bytes, x_full + slot);
        if (++slot == X_SLOTS) { slot = 0; phase ^= 1; }
      }
    return;
  }
#else
  let_next_begin();
#endif
  wait_for_input();

  // The input, whole.
  if (!streamed) {
    if (p.norm) {
      for (int m = 0; m < p.rows; m++) {
        const float* x = (const float*)p.x + (size_t)m * p.x_stride;
        float sum;
        if (p.cols <= NARROW) sum = square_narrow(x, p.cols, 0);
        else {
          float s = square_part(x, p.cols, 0, threadIdx.x);
          if (lane == 0) partial[warp] = s;
          asm volatile("bar.sync 1, 256;" ::: "memory");
          sum = add_parts(partial);
          asm volatile("bar.sync 1, 256;" ::: "memory");
        }
        float root = inverse_root(sum, p.cols, p.eps);
        u16* to = (u16*)(xs + m * x_row);
        for (int k = threadIdx.x; k < work.units * 64; k += 256)
          to[k] = k < p.cols ? to_half(normalised(__ldcg(x + k), root, ((const float*)p.norm)[k]), bf) : 0;
      }
    } else {
      int row16 = work.units * 8; // pieces of 16 bytes a row
      for (int m = 0; m < p.rows; m++)
        for (int i = threadIdx.x; i < row16; i += 256)
          *(uint4*)(xs + m * x_row + i * 16) = __ldcg((const uint4*)(p.x + (size_t)m * p.x_stride * 2) + i);
    }
  }
  asm volatile("bar.sync 1, 256;" ::: "memory");
  if (warp >= work.active) return;

  const int g = lane / 4, t = lane % 4;
  // Rows that are not there read the last one: what they give is never written.
  u32 x_at[tiles];
  if (B == 8) x_at[0] = min(lane % 8, p.rows - 1) * x_row + lane / 8 * 16;
  else
    for (int i = 0; i < tiles; i++) x_at[i] = min(i * 16 + lane % 16, p.rows - 1) * x_row + lane / 16 * 16;
  const u32 xb = shared_address(xs);
  int slot = 0, x_slot = 0;
  u32 phase = 0, x_phase = 0;

#if !HOPPER
  // Without bulk copies each warp copies its own tiles ahead.
  int ahead_item = warp, ahead_step = 0, ahead_slot = 0;
  auto copy_next = [&]() {
    if (ahead_item < work.items) {
      Item item = item_at(p, work.first + ahead_item, tile_bytes);
      int bytes = min(stage, work.units - ahead_step * stage) * Unit<F>::bytes;
      for (int v = 0; v < (gated ? 2 : 1); v++) {
        u32 to = shared_address(memory + (((gated ? 2 * warp + v : warp) * work.depth) + ahead_slot) * slot_bytes);
        const char* from = item.tile[v] + (size_t)ahead_step * slot_bytes;
        for (int i = lane * 16; i < bytes; i += 512) copy16(to + i, from + i);
      }
      if (++ahead_step == work.steps) { ahead_step = 0; ahead_item += work.active; }
      if (++ahead_slot == work.depth) ahead_slot = 0;
    }
    copies_end();
  };
  for (int i = 0; i < 3; i++) copy_next(); // the depth is 3 at least
#endif

  for (int i = warp; i < (work.items + work.active - 1) / work.active * work.active; i += work.active) {
    const bool real = i < work.items; // a warp without a tile of its own still passes the input on
    Item item = item_at(p, work.first + min(i, work.items - 1), tile_bytes);
    const Segment& s = p.segments[item.segment];
    const int n = item.row + 2 * t;
    float c[2][tiles][4] = {}, old[tiles][4];
    if (p.epilogue == ADD && real) // the residual is on its way meanwhile
#pragma unroll
      for (int j = 0; j < tiles; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          int m = j * 16 + g + e / 2 * 8;
          old[j][e] = m < p.rows && n + e % 2 < s.rows ? __ldcg((const float*)s.out + (size_t)m * s.stride + n + e % 2) : 0;
        }
    for (int q = 0; q < work.steps; q++) {
      const int units = min(stage, work.units - q * stage);
      u32 x = xb;
      if (streamed) {
#if HOPPER
        barrier_wait(x_full + x_slot, x_phase);
#endif
        x += x_slot * B * x_row;
      } else x += q * columns * 2;
      if (real) {
#if !HOPPER
        copies_wait<2>();
        __syncwarp();
#endif
#pragma unroll
        for (int v = 0; v < 2; v++) {
          if (v && !gated) break;
          const int at = (gated ? 2 * warp + v : warp) * work.depth + slot;
#if HOPPER
          barrier_wait(full + at, phase);
#endif
          const char* from = memory + at * slot_bytes;
          auto unit = [&](int u) {
            u32 b[8], a[tiles][4][4];
            expand_unit<F>(b, from + u * Unit<F>::bytes, lane);
            if (B == 8) {
              u32 r[8];
              load_blocks(r, x + x_at[0] + u * 128);
              load_blocks(r + 4, x + x_at[0] + u * 128 + 64);
#pragma unroll
              for (int k = 0; k < 4; k++) { a[0][k][0] = r[2 * k]; a[0][k][2] = r[2 * k + 1]; a[0][k][1] = a[0][k][3] = 0; }
            } else
#pragma unroll
              for (int j = 0; j < tiles; j++)
#pragma unroll
                for (int k = 0; k < 4; k++) load_blocks(a[j][k], x + x_at[j] + u * 128 + k * 32);
#pragma unroll
            for (int k = 0; k < 4; k++)
#pragma unroll
              for (int j = 0; j < tiles; j++) mma<bf>(c[v][j], a[j][k], b[2 * k], b[2 * k + 1]);
          };
          if (units == stage) {
#pragma unroll
            for (int u = 0; u < stage; u++) unit(u);
          } else
            for (int u = 0; u < units; u++) unit(u);
          __syncwarp();
#if HOPPER
          if (lane == 0) barrier_arrive(empty + at);
#endif
        }
        if (++slot == work.depth) { slot = 0; phase ^= 1; }
#if !HOPPER
        copy_next();
#endif
      }
      if (streamed) {
#if HOPPER
        __syncwarp();
        if (lane == 0) barrier_arrive(x_empty + x_slot);
#endif
        if (++x_slot == X_SLOTS) { x_slot = 0; x_phase ^= 1; }
      }
    }
    if (!real) continue;
#pragma unroll
    for (int j = 0; j < tiles; j++)
#pragma unroll
      for (int e = 0; e < 4; e += 2) {
        const int m = j * 16 + g + e / 2 * 8;
        if (m >= p.rows) continue;
        finish(p, s, c[0][j] + e, c[1][j] + e, old[j] + e, m, n);
      }
  }
}

#define FEW(name, F) \
  KERNEL __launch_bounds__(320) void product_##name##_8(const __grid_constant__ Product p) { few<F, 8>(p, p.ring, p.streamed); } \
  KERNEL __launch_bounds__(320) void product_##name##_16(const __grid_constant__ Product p) { few<F, 16>(p, p.ring, p.streamed); } \
  KERNEL __launch_bounds__(320) void product_##name##_32(const __grid_constant__ Product p) { few<F, 32>(p, p.ring, p.streamed); }
FEW(f16, F16)
FEW(bf16, BF16)
FEW(f8, F8)
FEW(q8, Q8)
FEW(q6, Q6)
FEW(q4, Q4)
