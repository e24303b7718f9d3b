// Products of few rows: each warp takes tiles of 8 weight rows, one chain of products over
// k a tile. On Hopper other warps copy weights ahead into a ring in shared memory and never wait
// for the input, so that the weights of the next product arrive while the one in front of it
// ends. A stream is one tile that is being read; its slots belong to the warp that reads it.
//
// A launch may have several products of the same rows, each of which may read what those in
// front of it wrote: blocks meet in between, and the ring goes on being filled meanwhile. All
// blocks must be on the card at once for that, one a multiprocessor.

#if HOPPER
#define WARPS 12
#define COPIERS 3 // with the one for the input, 16 warps: 128 registers each
#else
#define WARPS 8
#endif
#define THREADS (WARPS * 32)
#if HOPPER
#define BLOCK (THREADS + COPIERS * 32 + 32)
#else
#define BLOCK THREADS
#endif
#define MAX_SLOTS 96
#define X_SLOTS 4

struct Products { Product products[4]; u64* meetings; int count, ring; };

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
  r.first = blockIdx.x * (u32)all / gridDim.x; // a few thousand tiles, a few hundred blocks
  r.items = (blockIdx.x + 1) * (u32)all / gridDim.x - r.first;
  // With a gate a warp has two streams.
  const int most = p.epilogue != GATED ? WARPS : WARPS / 2, rounds = (r.items + most - 1) / most;
  r.active = rounds ? (r.items + rounds - 1) / rounds : 1;
  r.streams = r.active * (p.epilogue == GATED ? 2 : 1);
  r.depth = min(slots / r.streams, 16);
  r.units = (p.cols + 63) / 64;
  r.steps = (r.units + Unit<F>::stage - 1) / Unit<F>::stage;
  return r;
}

// A row's norm, by 256 threads, into the input's place in shared memory. What needs no input is
// in scale: HELD times four numbers that a thread keeps.
#define HELD 4
template <bool BF> DEVICE void put_norm(const Product& p, const float4* scale, u16* to, int m, int width, float (*partial)[8]) {
  const int thread = threadIdx.x;
  const float *x = (const float*)p.x + (size_t)m * p.x_stride, *norm = (const float*)p.norm;
  float4 v[HELD];
  float sum = 0;
#pragma unroll
  for (int j = 0; j < HELD; j++) v[j] = four_at(x, (j * 256 + thread) * 4, p.cols);
  if (p.cols <= NARROW) sum = square_narrow(x, p.cols, 0);
  else {
#pragma unroll
    for (int j = 0; j < HELD; j++) {
      const int k = (j * 256 + thread) * 4;
      if (k < p.cols) sum = add_squares(sum, v[j], k, p.cols, 0);
    }
    for (int k = (HELD * 256 + thread) * 4; k < p.cols; k += 1024) sum = add_squares(sum, four_at(x, k, p.cols), k, p.cols, 0);
    sum = warp_sum(sum);
    if (thread % 32 == 0) partial[m & 1][thread / 32] = sum;
    asm volatile("bar.sync 3, 256;" ::: "memory");
    sum = add_parts(partial[m & 1]);
  }
  const float root = inverse_root(sum, p.cols, p.eps);
  auto put = [&](int k, float4 v, float4 w) { // zeros behind the end stay zeros
    *(uint2*)(to + k) = make_uint2(pair_half(normalised(v.x, root, w.x), normalised(v.y, root, w.y), BF), pair_half(normalised(v.z, root, w.z), normalised(v.w, root, w.w), BF));
  };
#pragma unroll
  for (int j = 0; j < HELD; j++)
    if ((j * 256 + thread) * 4 < width) put((j * 256 + thread) * 4, v[j], scale[j]);
  for (int k = (HELD * 256 + thread) * 4; k < width; k += 1024) put(k, four_at(x, k, p.cols), four_at(norm, k, p.cols));
}

// What a warp multiplies at once: a unit of V tiles, and the input's rows and 64 columns.
template <int B, int V> struct Operands {
  u32 b[V][8], a[B / 16][16];
};

template <int F, int B, int V> DEVICE void load_operands(Operands<B, V>& o, const char* from, int apart, u32 x, const u32* x_at, int u, int lane) {
#pragma unroll
  for (int v = 0; v < V; v++) expand_unit<F>(o.b[v], from + v * apart + u * Unit<F>::bytes, lane);
#pragma unroll
  for (int j = 0; j < B / 16; j++)
#pragma unroll
    for (int k = 0; k < 4; k++) load_blocks(o.a[j] + 4 * k, x + x_at[j] + u * 128 + k * 32);
}

// A chain over the columns for each tile and every 16 rows of the input.
template <int F, int B, int V> DEVICE void multiply(float (*c)[B / 16][4], const Operands<B, V>& o) {
#pragma unroll
  for (int k = 0; k < 4; k++)
#pragma unroll
    for (int j = 0; j < B / 16; j++)
#pragma unroll
      for (int v = 0; v < V; v++) mma<F == BF16>(c[v][j], o.a[j] + 4 * k, o.b[v][2 * k], o.b[v][2 * k + 1]);
}

// A stage of a tile, or of the two of a gate, which lie apart. The operands of its first unit are
// there already, and where load_next says so those of the next stage's first are at the end.
template <int F, int B, int V, class Next> DEVICE void take(float (*c)[B / 16][4], Operands<B, V>& o, const char* from, int apart, u32 x, const u32* x_at, int units, int lane, Next load_next) {
  constexpr int stage = Unit<F>::stage;
  if (B * V < 32 && units == stage) { // more have no registers for two units, and chains beside each other
    Operands<B, V> other;
#pragma unroll
    for (int u = 0; u < stage; u += 2) {
      load_operands<F, B, V>(other, from, apart, x, x_at, u + 1, lane);
      multiply<F, B, V>(c, o);
      if (u + 2 < stage) load_operands<F, B, V>(o, from, apart, x, x_at, u + 2, lane);
      else load_next(o);
      multiply<F, B, V>(c, other);
    }
  } else {
#pragma unroll 1
    for (int u = 0; u < units; u++) {
      multiply<F, B, V>(c, o);
      if (u + 1 < units) load_operands<F, B, V>(o, from, apart, x, x_at, u + 1, lane);
    }
  }
}

// B rows at most: 16 or 32. Shared memory: the ring, then the input, whole [rows][cols+8]
// or (streamed) slots of [rows][stage columns + 8].
template <int F, int B> DEVICE void few(const Products& all) {
  constexpr int stage = Unit<F>::stage, slot_bytes = Unit<F>::bytes * stage, columns = stage * 64;
  constexpr int tiles = B / 16; // of 16 rows
  extern __shared__ __align__(1024) char memory[];
#if HOPPER
  __shared__ u64 full[MAX_SLOTS], empty[MAX_SLOTS], x_full[X_SLOTS], x_empty[X_SLOTS], x_whole;
  __shared__ u32 filled[MAX_SLOTS], taken[MAX_SLOTS]; // how often, modulo 2, when a product begins
#endif
  __shared__ float partial[2][8];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, slots = min(all.ring / slot_bytes, MAX_SLOTS);
  char* xs = memory + all.ring;
  auto x_row_of = [&](const Product& p, const Plan& work) { return (p.streamed ? columns : work.units * 64) * 2 + 16; }; // bytes; 16 more spread the banks

#if HOPPER
  if (threadIdx.x < MAX_SLOTS) {
    barrier_init(full + threadIdx.x, 1);
    barrier_init(empty + threadIdx.x, 1);
    filled[threadIdx.x] = taken[threadIdx.x] = 0;
  }
  if (threadIdx.x < X_SLOTS) { barrier_init(x_full + threadIdx.x, 1); barrier_init(x_empty + threadIdx.x, WARPS); }
  if (threadIdx.x == 0) barrier_init(&x_whole, 1);
  barriers_ready();
  __syncthreads();
  let_next_begin();

  if (warp >= WARPS && warp < WARPS + COPIERS) { // a lane copies a stream: more warps, since a copy takes them long
    const u64 policy = read_once();
    for (int n = 0; n < all.count; n++) {
      const Product& p = all.products[n];
      const Plan work = plan<F>(p, slots);
      const bool gated = p.epilogue == GATED;
      const size_t tile_bytes = (size_t)work.units * Unit<F>::bytes;
      const int stream = lane * COPIERS + warp - WARPS;
      if (stream < work.streams) {
        const int own = gated ? stream / 2 : stream, first = stream * work.depth;
        int slot = 0, copied = 0;
        u32 round = 1; // nothing is in the slots at first
        for (int i = own; i < work.items; i += work.active) {
          const Item item = item_at(p, work.first + i, tile_bytes);
          const char* from = gated && stream & 1 ? item.tile[1] : item.tile[0];
          for (int q = 0; q < work.steps; q++, from += slot_bytes, copied++) {
            const int at = first + slot;
            barrier_wait(empty + at, filled[at] ^ round);
            u32 bytes = min(stage, work.units - q * stage) * Unit<F>::bytes;
            barrier_expect(full + at, bytes);
            copy_bulk_once(shared_address(memory + at * slot_bytes), from, bytes, full + at, policy);
            if (++slot == work.depth) { slot = 0; round ^= 1; }
          }
        }
        for (int c = 0; c < work.depth && c < copied; c++) filled[first + c] ^= (copied - c + work.depth - 1) / work.depth & 1;
      }
      if (all.count > 1) asm volatile("bar.sync 4, %0;" ::"n"(COPIERS * 32) : "memory"); // the next product may divide the slots otherwise
      __syncwarp();
    }
    wait_for_input();
    return;
  }

  if (warp == WARPS + COPIERS) { // and a warp copies the input: whole, or where it is too large in pieces
    wait_for_input();
    int slot = 0;
    u32 phase = 1;
    for (int n = 0; n < all.count; n++) {
      const Product& p = all.products[n];
      const Plan work = plan<F>(p, slots);
      const int x_row = x_row_of(p, work);
      if (n) {
        asm volatile("bar.sync 2, %0;" ::"n"(THREADS + 32) : "memory");
        asm volatile("fence.proxy.async;" ::: "memory");
      }
      if (p.norm) continue;
      if (!p.streamed) {
        if (lane == 0) barrier_expect(&x_whole, p.rows * work.units * 128);
        __syncwarp();
        for (int m = lane; m < p.rows; m += 32) copy_bulk(shared_address(xs + m * x_row), p.x + (size_t)m * p.x_stride * 2, work.units * 128, &x_whole);
        continue;
      }
      for (int i = 0; i < work.items; i += work.active)
        for (int q = 0; q < work.steps; q++) {
          u32 bytes = min(stage, work.units - q * stage) * 128;
          if (lane == 0) { barrier_wait(x_empty + slot, phase); barrier_expect(x_full + slot, bytes * p.rows); }
          __syncwarp();
          for (int m = lane; m < p.rows; m += 32)
            copy_bulk(shared_address(xs + (slot * p.rows + m) * x_row), p.x + ((size_t)m * p.x_stride + q * columns) * 2, bytes, x_full + slot);
          if (++slot == X_SLOTS) { slot = 0; phase ^= 1; }
        }
    }
    return;
  }
#else
  let_next_begin();
#endif

  const int g = lane / 4, t = lane % 4;
  int x_slot = 0;
#if HOPPER
  u32 x_phase = 0, whole_phase = 0;
#endif
  for (int n = 0; n < all.count; n++) {
    const Product& p = all.products[n];
    const Plan work = plan<F>(p, slots);
    const int rows = p.rows;
    const bool gated = p.epilogue == GATED, adds = p.epilogue == ADD, streamed = p.streamed;
    const size_t tile_bytes = (size_t)work.units * Unit<F>::bytes;
    const int x_row = x_row_of(p, work);
    float4 scale[HELD];
    if (p.norm && warp < 8)
#pragma unroll
      for (int j = 0; j < HELD; j++) scale[j] = four_at((const float*)p.norm, (j * 256 + threadIdx.x) * 4, p.cols);
    if (n == 0) wait_for_input();
#if HOPPER
    else { // all blocks meet
      __threadfence();
      asm volatile("bar.sync 1, %0;" ::"n"(THREADS) : "memory");
      if (threadIdx.x == 0) {
        const u64 here = atomicAdd(all.meetings, 1), until = (here / gridDim.x + 1) * gridDim.x;
        u64 now;
        do asm volatile("ld.acquire.gpu.u64 %0, [%1];" : "=l"(now) : "l"(all.meetings) : "memory");
        while (now < until);
        __threadfence();
      }
      asm volatile("bar.sync 2, %0;" ::"n"(THREADS + 32) : "memory");
    }
#endif
    if (p.norm) {
      if (warp < 8)
        for (int m = 0; m < rows; m++) put_norm<F == BF16>(p, scale, (u16*)(xs + m * x_row), m, work.units * 64, partial);
      asm volatile("bar.sync 1, %0;" ::"n"(THREADS) : "memory");
    }
#if HOPPER
    else if (!p.streamed) {
      barrier_wait(&x_whole, whole_phase);
      whole_phase ^= 1;
    }
#else
    else {
      for (int m = 0; m < p.rows; m++)
        for (int i = threadIdx.x; i < work.units * 8; i += 256) *(uint4*)(xs + m * x_row + i * 16) = __ldcg((const uint4*)(p.x + (size_t)m * p.x_stride * 2) + i);
      asm volatile("bar.sync 1, %0;" ::"n"(THREADS) : "memory");
    }
#endif

    // Rows that are not there read the last one: what they give is never written.
    u32 x_at[tiles];
    for (int i = 0; i < tiles; i++) x_at[i] = min(i * 16 + lane % 16, rows - 1) * x_row + lane / 16 * 16;
    const u32 xb = shared_address(xs);
    const int first_slot = (gated ? 2 * warp : warp) * work.depth;
    int slot = 0, stages = 0;
    u32 round = 0;
#if HOPPER
    // How often each slot was taken before, modulo 2: bits, since a warp has 32 slots at most.
    u32 before = 0;
    if (all.count > 1)
      for (int c = 0; c < work.depth * (gated ? 2 : 1); c++) before |= taken[(first_slot + c) % MAX_SLOTS] << c;
    auto taken_before = [&](int c) { return before >> c & 1; };
#endif

#if !HOPPER
    // Without bulk copies each warp copies its own tiles ahead.
    int ahead_item = warp, ahead_step = 0, ahead_slot = 0;
    auto copy_next = [&]() {
      if (ahead_item < work.items && warp < work.active) {
        Item item = item_at(p, work.first + ahead_item, tile_bytes);
        int bytes = min(stage, work.units - ahead_step * stage) * Unit<F>::bytes;
        for (int v = 0; v < (gated ? 2 : 1); v++) {
          u32 to = shared_address(memory + (first_slot + v * work.depth + ahead_slot) * slot_bytes);
          const char* from = (v ? item.tile[1] : item.tile[0]) + (size_t)ahead_step * slot_bytes;
          for (int i = lane * 16; i < bytes; i += 512) copy16(to + i, from + i);
        }
        if (++ahead_step == work.steps) { ahead_step = 0; ahead_item += work.active; }
        if (++ahead_slot == work.depth) ahead_slot = 0;
      }
      copies_end();
    };
    for (int i = 0; i < 3; i++) copy_next(); // the depth is 3 at least
#endif

    for (int begun = 0; begun < work.items; begun += work.active) {
      const int i = begun + warp;
      const bool real = warp < work.active && i < work.items; // a warp without a tile of its own still passes the input on
      if (!real && !streamed) break;
      const Item item = item_at(p, work.first + min(i, work.items - 1), tile_bytes);
      const Segment& s = p.segments[item.segment];
      const int column = item.row + 2 * t;
      float c[2][tiles][4] = {}, old[tiles][4];
      if (adds && real) // the residual is on its way meanwhile
#pragma unroll
        for (int j = 0; j < tiles; j++)
#pragma unroll
          for (int e = 0; e < 4; e++) {
            int m = j * 16 + g + e / 2 * 8;
            old[j][e] = m < rows && column + e % 2 < s.rows ? __ldcg((const float*)s.out + (size_t)m * s.stride + column + e % 2) : 0;
          }
      auto walk = [&](auto& o) {
        constexpr int V = sizeof(o.b) / sizeof(o.b[0]);
        auto wait = [&](int slot, u32 round) {
#if HOPPER
#pragma unroll
          for (int v = 0; v < V; v++) barrier_wait(full + first_slot + v * work.depth + slot, taken_before(v * work.depth + slot) ^ round);
#else
          copies_wait<2>();
          __syncwarp();
#endif
        };
        for (int q = 0; q < work.steps; q++) {
          const int units = min(stage, work.units - q * stage);
          const char* from = memory + (first_slot + slot) * slot_bytes;
          u32 x = xb + (streamed ? x_slot * rows * x_row : q * columns * 2);
#if HOPPER
          if (streamed) barrier_wait(x_full + x_slot, x_phase);
#endif
          const int next_slot = slot + 1 == work.depth ? 0 : slot + 1;
          const u32 next_round = slot + 1 == work.depth ? round ^ 1 : round;
          if (real) {
            // Where the next stage needs nothing but weights, its first unit comes early.
            const bool ahead = HOPPER && B * V < 32 && !streamed, last = q + 1 == work.steps;
            if (!ahead || q == 0) {
              wait(slot, round);
              load_operands<F, B, V>(o, from, work.depth * slot_bytes, x, x_at, 0, lane);
            }
            take<F, B, V>(c, o, from, work.depth * slot_bytes, x, x_at, units, lane, [&](auto& o) {
              if (!ahead || last) return;
              wait(next_slot, next_round);
              load_operands<F, B, V>(o, memory + (first_slot + next_slot) * slot_bytes, work.depth * slot_bytes, x + columns * 2, x_at, 0, lane);
            });
            __syncwarp();
#if HOPPER
            if (lane < V) barrier_arrive(empty + first_slot + lane * work.depth + slot);
#else
            copy_next();
#endif
            stages++;
            slot = next_slot;
            round = next_round;
          }
          if (streamed) {
#if HOPPER
            __syncwarp();
            if (lane == 0) barrier_arrive(x_empty + x_slot);
            if (++x_slot == X_SLOTS) { x_slot = 0; x_phase ^= 1; }
#endif
          }
        }
      };
      if (gated) {
        Operands<B, 2> o;
        walk(o);
      } else {
        Operands<B, 1> o;
        walk(o);
      }
      if (!real) continue;
#pragma unroll
      for (int j = 0; j < tiles; j++)
#pragma unroll
        for (int e = 0; e < 4; e += 2) {
          const int m = j * 16 + g + e / 2 * 8;
          if (m >= rows) continue;
          finish(p, s, c[0][j] + e, c[1][j] + e, old[j] + e, m, column);
        }
    }
#if HOPPER
    __syncwarp();
    if (all.count > 1) // the next product may divide the slots otherwise
      for (int c = lane; c < work.depth && c < stages; c += 32) {
        const u32 often = (stages - c + work.depth - 1) / work.depth & 1;
        taken[first_slot + c] ^= often;
        if (gated) taken[first_slot + work.depth + c] ^= often;
      }
#endif
  }
}

#define FEW(name, F) \
  KERNEL __launch_bounds__(BLOCK) void product_##name##_16(const __grid_constant__ Products p) { few<F, 16>(p); } \
  KERNEL __launch_bounds__(BLOCK) void product_##name##_32(const __grid_constant__ Products p) { few<F, 32>(p); }
FEW(f16, F16)
FEW(bf16, BF16)
FEW(f8, F8)
FEW(q8, Q8)
FEW(q6, Q6)
FEW(q4, Q4)
