// Products of few rows. A sum over k is four chains, of a quarter of the columns each, added in
// order. A group of four warps takes two tiles of 8 weight rows, each warp one chain of both: they
// are the 16 rows of the first operand, and 8 rows of the input are the second. On Hopper other
// warps copy weights ahead into a ring in shared memory and never wait for the input, so that the
// weights of the next product arrive while the one in front of it ends. A stream is what one warp
// reads; its slots belong to that warp, since a wait cannot tell two rounds of a slot apart.

#if HOPPER
#define GROUPS 3
#define COPIERS 2   // of weights
#define X_COPIERS 2 // of an input in pieces
#else
#define GROUPS 2
#endif
#define WARPS (GROUPS * CHAINS)
#define THREADS (WARPS * 32)
#if HOPPER
#define BLOCK (THREADS + (COPIERS + X_COPIERS) * 32) // 16 warps of 128 registers
#else
#define BLOCK THREADS
#endif
#define MAX_SLOTS 96
#define X_PIECE 272 // bytes of a row in a piece of the input: 128 columns, and 16 bytes that spread the banks

// How a product's items are shared out: the first blocks have one more than the others, and divide
// their items among so many groups, with slots of so many stages.
struct Share { int items, more, active, depth, active_more, depth_more; };

struct Few { Product p; Share share; int ring, _; };

struct Item { const char* tile[2]; int segment, index, tiles; };

// The item'th two tiles, counted through the segments: of a gate one of each matrix. The second
// of a segment that ends with one is the first again, whose sums nobody writes.
DEVICE Item item_at(const Product& p, int item, size_t tile_bytes) {
  Item r{{}, 0, item, (p.segments[0].rows + 7) / 8};
  if (p.epilogue == GATED) {
    r.tile[0] = p.segments[0].w + item * tile_bytes;
    r.tile[1] = p.segments[1].w + item * tile_bytes;
    return r;
  }
#pragma unroll 1
  while (r.segment + 1 < p.count && 2 * r.index >= r.tiles) {
    r.index -= (r.tiles + 1) / 2;
    r.tiles = (p.segments[++r.segment].rows + 7) / 8;
  }
  r.tile[0] = p.segments[r.segment].w + 2 * r.index * tile_bytes;
  r.tile[1] = 2 * r.index + 1 < r.tiles ? r.tile[0] + tile_bytes : r.tile[0];
  return r;
}

// The one behind it, if there is one.
DEVICE void next_item(Item& r, const Product& p, size_t tile_bytes) {
  r.index++;
  if (p.epilogue == GATED) {
    r.tile[0] += tile_bytes;
    r.tile[1] += tile_bytes;
    return;
  }
  if (2 * r.index < r.tiles) r.tile[0] += 2 * tile_bytes;
  else if (r.segment + 1 < p.count) {
    const Segment& s = p.segments[++r.segment];
    r.index = 0;
    r.tiles = (s.rows + 7) / 8;
    r.tile[0] = s.w;
  }
  r.tile[1] = 2 * r.index + 1 < r.tiles ? r.tile[0] + tile_bytes : r.tile[0];
}

// A block's share: the same for those that copy and those that compute.
struct Plan { int first, items, active, depth, units; };

DEVICE Plan plan(const Product& p, const Share& s) {
  const int block = blockIdx.x;
  const bool more = block < s.more;
  return Plan{block * s.items + min(block, s.more), s.items + more, more ? s.active_more : s.active, more ? s.depth_more : s.depth, (p.cols + 63) / 64};
}

// Where a chain begins, and where the one in front of it ends.
DEVICE int chain_at(int chain, int units) { return chain * units / CHAINS; }

// An address in shared memory as a number that is not made again wherever it is needed, which takes
// longer than what it is needed for.
DEVICE u32 kept(const void* p) { return __shfl_sync(~0u, shared_address(p), 0); }

#if HOPPER
// What this thread has copied (copy16) arrives, at a barrier that counts 32 threads.
DEVICE void arrive_copied(u32 barrier) { asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(barrier) : "memory"); }
#endif

// The norms of all rows, by 256 threads, into the input's place in shared memory. Where rows are
// whole 16 bytes a thread keeps HELD times four numbers.
#define HELD 4
template <bool BF, bool EVEN> DEVICE void put_norms(const float* x, const float* norm, int rows, int cols, int x_stride, float eps, char* to, int x_row, float (*partial)[8]) {
  constexpr int held = EVEN ? HELD : 0, room = HELD;
  const int first = threadIdx.x * 4, width = (cols + 63) / 64 * 64;
  auto get = [&](const float* from, int k) { return !EVEN ? four_at(from, k, cols) : k < cols ? __ldcg((const float4*)(from + k)) : make_float4(0, 0, 0, 0); };
  float4 v[room], scale[room];
#pragma unroll 1
  for (int m = 0; m < rows; m++, x += x_stride, to += x_row) {
#pragma unroll
    for (int j = 0; j < held; j++) v[j] = get(x, j * 1024 + first);
    if (m == 0)
#pragma unroll
      for (int j = 0; j < held; j++) scale[j] = get(norm, j * 1024 + first);
    float sum = 0;
    if (cols <= NARROW) sum = square_narrow(x, cols, 0);
    else {
#pragma unroll
      for (int j = 0; j < held; j++)
        if (j * 1024 + first < cols) sum = add_squares(sum, v[j], j * 1024 + first, cols, 0);
#pragma unroll 1
      for (int k = held * 1024 + first; k < cols; k += 1024) sum = add_squares(sum, get(x, k), k, cols, 0);
      sum = warp_sum(sum);
      if (threadIdx.x % 32 == 0) partial[m & 1][threadIdx.x / 32] = sum;
      asm volatile("bar.sync 3, 256;" ::: "memory");
      sum = add_parts(partial[m & 1]);
    }
    const float root = inverse_root(sum, cols, eps);
    auto put = [&](int k, float4 v, float4 w) { // zeros behind the end stay zeros
      *(uint2*)(to + k * 2) = make_uint2(pair_half(normalised(v.x, root, w.x), normalised(v.y, root, w.y), BF), pair_half(normalised(v.z, root, w.z), normalised(v.w, root, w.w), BF));
    };
#pragma unroll
    for (int j = 0; j < held; j++)
      if (j * 1024 + first < width) put(j * 1024 + first, v[j], scale[j]);
#pragma unroll 1
    for (int k = held * 1024 + first; k < width; k += 1024) put(k, get(x, k), get(norm, k));
  }
}

// What a warp multiplies at once: a unit of both tiles, and the input's rows and 64 columns.
template <int F> struct Pair { Codes<F> tile[2]; };
template <> struct Pair<F16> { u32 w[4][4]; };
template <> struct Pair<BF16> { u32 w[4][4]; };
template <int F, int B> struct Operands { Pair<F> w; u32 x[B / 8][8]; };

template <int F, int B> DEVICE void load_operands(Operands<F, B>& o, u32 w, u32 x, const u32* x_at, int lane) {
  constexpr int apart = Unit<F>::stage * Unit<F>::bytes;
  if constexpr (F == F16 || F == BF16) {
    w += lane / 8 % 2 * apart + swizzled(lane % 8, lane / 16);
#pragma unroll
    for (int k = 0; k < 4; k++) load_blocks(o.w.w[k], w ^ 32 * k); // two blocks further each
  } else {
    load_codes<F>(o.w.tile[0], w, lane);
    load_codes<F>(o.w.tile[1], w + apart, lane);
  }
#pragma unroll
  for (int j = 0; j < B / 8; j++) {
    load_blocks(o.x[j], x + x_at[j]);
    load_blocks(o.x[j] + 4, x + x_at[j] + 64);
  }
}

// c[j]: of 8 rows of the input, weight rows g and g + 8, as mma says.
template <int F, int B> DEVICE void multiply(float (*c)[4], const Operands<F, B>& o) {
#pragma unroll
  for (int k = 0; k < 4; k++) {
    u32 w[4];
    if constexpr (F == F16 || F == BF16) {
#pragma unroll
      for (int i = 0; i < 4; i++) w[i] = o.w.w[k][i];
    } else {
      expand_step<F>(w[0], w[2], o.w.tile[0], k);
      expand_step<F>(w[1], w[3], o.w.tile[1], k);
    }
#pragma unroll
    for (int j = 0; j < B / 8; j++) mma<F == BF16>(c[j], w, o.x[j][2 * k], o.x[j][2 * k + 1]);
  }
}

// What a lane that finishes sums needs besides them, of its two weight rows: it is read before.
struct End { float old[4], scale[2], bias[2]; };

#if HOPPER
struct Barriers {
  u64 full[MAX_SLOTS], empty[MAX_SLOTS], x_full[CHAINS * 4], x_empty[CHAINS * 4];
};
#define OFFSET(field) (u32)(size_t)&((Barriers*)0)->field
#endif

// B rows at most: 8 or 16. Shared memory: the ring, then the input, whole [rows][cols + 8] or
// (streamed) in pieces, [chains][slots][rows][X_PIECE].
template <int F, int B> DEVICE void few(const Few& all) {
  constexpr int stage = Unit<F>::stage, tile_slot = Unit<F>::bytes * stage, slot_bytes = 2 * tile_slot;
  extern __shared__ __align__(1024) char memory[];
#if HOPPER
  constexpr int x_slots = 4;
  __shared__ Barriers barriers;
#endif
  __shared__ float partial[2][8];
  __shared__ u32 place[WARPS];
  const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0), lane = threadIdx.x % 32; // the compiler shall see that it is one number
  const u32 base = kept(memory);
#if HOPPER
  const int x_offset = all.ring;
#else
  const int x_offset = all.ring + WARPS * B * 64; // sums have a place of their own
#endif
  const u32 xb = base + x_offset;
  const Product& p = all.p;
  const Plan work = plan(p, all.share);
  const bool streamed = HOPPER && p.streamed;
  const int rows = p.rows, x_row = streamed ? X_PIECE : work.units * 128 + 16; // bytes; 16 more spread the banks
  const size_t tile_bytes = (size_t)work.units * Unit<F>::bytes, x_stride = (size_t)p.x_stride * 2;

#if HOPPER
  const u32 at_full = kept(&barriers), at_x_full = at_full + OFFSET(x_full), at_x_empty = at_full + OFFSET(x_empty);
  // One barrier an instruction: those of many lanes at once take turns all the same.
  const bool copies = warp >= WARPS && warp < WARPS + COPIERS;
  if (warp < WARPS && lane == 0)
#pragma unroll 1
    for (int i = warp, slots = min(all.ring / slot_bytes, MAX_SLOTS); i < slots; i += WARPS) {
      barrier_init(barriers.full + i, 1);
      barrier_init(barriers.empty + i, 1);
    }
  if (warp >= WARPS + COPIERS && lane == 0)
#pragma unroll 1
    for (int i = warp - WARPS - COPIERS; i < CHAINS * x_slots; i += X_COPIERS) {
      barrier_init(barriers.x_full + i, 32);
      barrier_init(barriers.x_empty + i, GROUPS);
    }
  barriers_ready();
  if (!copies) {
    __syncthreads();
    let_next_begin();
  }

  if (copies) { // one thread copies the weights of two chains: it is what copies cost
    constexpr int own = CHAINS / COPIERS;
    const int copier = warp - WARPS;
    const u64 policy = read_once();
    Item item = item_at(p, work.first, tile_bytes);
    __syncthreads(); // until then the others have made the barriers
    let_next_begin();
    const int longest = (work.units + CHAINS - 1) / CHAINS;
    int slot[own] = {};
    u32 phases[own][GROUPS] = {}; // a bit each slot
    for (int begun = 0; begun < work.items; begun += work.active) {
      const int here = min(work.active, work.items - begun);
      const char* tile[GROUPS][2];
#pragma unroll
      for (int a = 0; a < GROUPS; a++)
        if (a < here) {
          tile[a][0] = item.tile[0];
          tile[a][1] = item.tile[1];
          next_item(item, p, tile_bytes);
        }
#pragma unroll 1
      for (int v = 0; v < longest; v += stage)
#pragma unroll
        for (int h = 0; h < own; h++) {
          const int chain = copier + h * COPIERS, u = chain_at(chain, work.units) + v, units = min(stage, chain_at(chain + 1, work.units) - u);
          if (units <= 0) continue;
          const u32 bytes = units * Unit<F>::bytes, from = u * Unit<F>::bytes;
#pragma unroll
          for (int a = 0; a < GROUPS; a++)
            if (a < here) {
              const int at = (a * CHAINS + chain) * work.depth + slot[h];
              const u32 to = base + at * slot_bytes, barrier = at_full + at * 8;
              wait_at(barrier + OFFSET(empty), (phases[h][a] >> slot[h] & 1) ^ 1);
              phases[h][a] ^= 1u << slot[h];
              if (lane == 0) {
                expect_at(barrier, 2 * bytes);
                copy_bulk_once(to, tile[a][0] + from, bytes, barrier, policy);
                copy_bulk_once(to + tile_slot, tile[a][1] + from, bytes, barrier, policy);
              }
            }
          if (++slot[h] == work.depth) slot[h] = 0;
        }
    }
    wait_for_input();
    return;
  }

  if (warp >= WARPS + COPIERS) { // others copy an input in pieces, which all groups of a chain read
    constexpr int own = CHAINS / X_COPIERS;
    const int copier = warp - WARPS - COPIERS, half = lane / 16, k = lane % 16 * 16;
    int slot[own] = {};
    u32 phase[own];
#pragma unroll
    for (int h = 0; h < own; h++) phase[h] = 1;
    wait_for_input();
    if (!streamed) return;
    const int longest = (work.units + CHAINS - 1) / CHAINS;
    int there[own]; // those that compute have copied the first ones
#pragma unroll
    for (int h = 0; h < own; h++) there[h] = x_slots;
    for (int begun = 0; begun < work.items; begun += work.active)
#pragma unroll 1
      for (int v = 0; v < longest; v += 2)
#pragma unroll
        for (int h = 0; h < own; h++) {
          const int chain = copier + h * X_COPIERS, u = chain_at(chain, work.units) + v, bytes = min(2, chain_at(chain + 1, work.units) - u) * 128;
          if (bytes <= 0) continue;
          const int at = chain * x_slots + slot[h];
          if (there[h]) there[h]--;
          else {
            wait_at(at_x_empty + at * 8, phase[h]);
            if (k < bytes) {
              const u32 to = xb + (at * rows + half) * X_PIECE + k;
              const char* from = p.x + u * 128 + k + half * x_stride;
#pragma unroll
              for (int m = 0; m < B; m += 2)
                if (m + half < rows) copy16(to + m * X_PIECE, from + m * x_stride);
            }
            arrive_copied(at_x_full + at * 8);
          }
          if (++slot[h] == x_slots) { slot[h] = 0; phase[h] ^= 1; }
        }
    return;
  }
#else
  let_next_begin();
#endif

  const int group = warp / CHAINS, chain = warp % CHAINS, g = lane / 4, t = lane % 4;
#if HOPPER
  int x_slot = 0; // of the input in pieces
  u32 x_phase = 0;
#endif
  const int first_unit = chain_at(chain, work.units), units = chain_at(chain + 1, work.units) - first_unit;
  const bool gated = p.epilogue == GATED, adds = p.epilogue == ADD;
  const char* x_from = p.x + first_unit * 128;
  // Rows that are not there read the last one: what they give is never written.
  u32 x_at[B / 8];
#pragma unroll
  for (int j = 0; j < B / 8; j++) x_at[j] = min(j * 8 + lane % 8, rows - 1) * x_row + lane / 8 * 16;
  const int first_slot = warp * work.depth;
  const u32 first_place = base + first_slot * slot_bytes;
  int slot = 0;
  if (p.norm && threadIdx.x * 32 < p.cols) asm volatile("prefetch.global.L2 [%0];" ::"l"(p.norm + threadIdx.x * 128));
  wait_for_input();
  if (p.norm) {
    if (warp < 8) {
      const bool even = p.cols % 4 == 0 && p.x_stride % 4 == 0 && ((size_t)p.x | (size_t)p.norm) % 16 == 0;
      if (even) put_norms<F == BF16, true>((const float*)p.x, (const float*)p.norm, rows, p.cols, p.x_stride, p.eps, memory + x_offset, x_row, partial);
      else put_norms<F == BF16, false>((const float*)p.x, (const float*)p.norm, rows, p.cols, p.x_stride, p.eps, memory + x_offset, x_row, partial);
    }
  } else if (!streamed) {
    for (int m = group; m < rows; m += GROUPS) {
      const u32 to = xb + m * x_row + first_unit * 128;
      const char* from = x_from + m * x_stride;
#pragma unroll 4
      for (int k = lane * 16; k < units * 128; k += 512) copy16(to + k, from + k);
    }
    asm volatile("cp.async.wait_all;" ::: "memory");
  }
#if HOPPER
  // Of an input in pieces all copy the first ones, since they have nothing else to do.
  const int pieces = streamed ? min(x_slots, (work.items + work.active - 1) / work.active * ((units + 1) / 2)) : 0;
  for (int i = 0, v = 0; i < pieces; i++, v = v + 2 < units ? v + 2 : 0) {
    const int at = chain * x_slots + (x_slot + i) % x_slots, k = lane % 16 * 16;
    if (k < min(2, units - v) * 128)
#pragma unroll 4
      for (int m = 2 * group + lane / 16; m < rows; m += 2 * GROUPS) copy16(xb + (at * rows + m) * X_PIECE + k, x_from + v * 128 + k + m * x_stride);
  }
  if (streamed) asm volatile("cp.async.wait_all;" ::: "memory");
#endif
  asm volatile("bar.sync 1, %0;" ::"n"(THREADS) : "memory");
#if HOPPER
  if (group == 0)
    for (int i = 0; i < pieces; i++) arrive_at(at_x_full + (chain * x_slots + (x_slot + i) % x_slots) * 8);
#endif

#if HOPPER
  const u32 first_full = at_full + first_slot * 8;
  u32 phases = 0; // a bit each slot
#else
  // Without bulk copies each warp copies its own stream ahead.
  int ahead_item = group, ahead_unit = 0, ahead_slot = 0;
  auto copy_next = [&]() {
    if (group < work.active && ahead_item < work.items && units) {
      const Item item = item_at(p, work.first + ahead_item, tile_bytes);
      const int bytes = min(stage, units - ahead_unit) * Unit<F>::bytes;
      for (int v = 0; v < 2; v++) {
        const u32 to = first_place + ahead_slot * slot_bytes + v * tile_slot;
        const char* from = item.tile[v] + (size_t)(first_unit + ahead_unit) * Unit<F>::bytes;
        for (int i = lane * 16; i < bytes; i += 512) copy16(to + i, from + i);
      }
      if ((ahead_unit += stage) >= units) { ahead_unit = 0; ahead_item += work.active; }
      if (++ahead_slot == work.depth) ahead_slot = 0;
    }
    copies_end();
  };
  for (int i = 0; i < 3; i++) copy_next(); // the depth is 3 at least
#endif
  // The slot that was read may be filled again.
  auto release = [&]() {
    __syncwarp();
#if HOPPER
    if (lane == 0) arrive_at(first_full + (MAX_SLOTS + slot) * 8);
    phases ^= 1u << slot;
#else
    copy_next();
#endif
    if (++slot == work.depth) slot = 0;
  };
#if HOPPER
  auto pass_input = [&]() {
    __syncwarp();
    if (lane == 0) arrive_at(at_x_empty + (chain * x_slots + x_slot) * 8);
    if (++x_slot == x_slots) { x_slot = 0; x_phase ^= 1; }
  };
#endif

  for (int begun = 0; begun < work.items; begun += work.active) {
    const int i = begun + group;
    if (group >= work.active || i >= work.items) { // without an item it still passes the input on
      if (!streamed) break;
#if HOPPER
      for (int v = 0; v < units; v += 2) {
        wait_at(at_x_full + (chain * x_slots + x_slot) * 8, x_phase);
        pass_input();
      }
#endif
      continue;
    }
    const Item item = item_at(p, work.first + i, tile_bytes);
    const int m0 = chain * 8 + 2 * t, first_row = item.index * (gated ? 8 : 16) + g;
    const bool finishes = chain * 8 < rows;
    End end;
    if (finishes)
#pragma unroll
      for (int h = 0; h < 2; h++) {
        const Segment& s = p.segments[gated ? h : item.segment];
        const int row = first_row + (gated ? 0 : 8 * h);
        const bool there = row < s.rows;
        end.scale[h] = there && s.scale ? s.scale[row] : 1;
        end.bias[h] = there && s.bias ? s.bias[row] : 0;
#pragma unroll
        for (int e = 0; e < 2; e++) end.old[2 * h + e] = adds && there && m0 + e < rows ? __ldcg((const float*)s.out + (size_t)(m0 + e) * s.stride + row) : 0;
      }

    float c[B / 8][4] = {};
    u32 x = xb + first_unit * 128; // and 128 bytes a unit
    auto wait_for_stage = [&]() {
#if HOPPER
      wait_at(first_full + slot * 8, phases >> slot & 1);
#else
      copies_wait<2>();
      __syncwarp();
#endif
    };
    // Unit v, the u'th of its stage.
    auto load = [&](Operands<F, B>& o, int v, int u) {
#if HOPPER
      if (streamed && u % 2 == 0) {
        wait_at(at_x_full + (chain * x_slots + x_slot) * 8, x_phase);
        x = xb + (chain * x_slots + x_slot) * rows * X_PIECE - v * 128;
      }
#endif
      load_operands<F, B>(o, first_place + slot * slot_bytes + u * Unit<F>::bytes, x + v * 128, x_at, lane);
#if HOPPER
      if (streamed && (u % 2 || v + 1 == units)) pass_input();
#endif
    };
    Operands<F, B> o;
    int v = 0;
    if constexpr (B < 32 && stage > 1) { // more rows have no registers for what comes next
      Operands<F, B> other;
#pragma unroll 1
      for (; v + stage <= units; v += stage) {
        wait_for_stage();
#pragma unroll
        for (int u = 0; u < stage; u += 2) {
          load(o, v + u, u);
          if (u || v) multiply<F, B>(c, other);
          load(other, v + u + 1, u + 1);
          if (u + 2 == stage && v + stage < units) release(); // the last slot stays: it has room for sums
          multiply<F, B>(c, o);
        }
      }
      if (v) multiply<F, B>(c, other);
    } else {
#pragma unroll 1
      for (; v + stage <= units; v += stage) {
        wait_for_stage();
#pragma unroll
        for (int u = 0; u < stage; u++) {
          load(o, v + u, u);
          if (u + 1 == stage && v + stage < units) release();
          multiply<F, B>(c, o);
        }
      }
    }
    if (v < units) {
      wait_for_stage();
#pragma unroll 1
      for (int u = 0; v < units; v++, u++) {
        load(o, v, u);
        multiply<F, B>(c, o);
      }
    }
#if HOPPER
    const u32 mine = first_place + slot * slot_bytes;
#else
    const u32 mine = base + all.ring + warp * B * 64;
#endif
    // The chains meet. One without columns has no slot, and nothing in it.
    if (units) {
#pragma unroll
      for (int j = 0; j < B / 8; j++)
        if (j * 8 < rows) asm volatile("st.shared.v4.f32 [%0], {%1,%2,%3,%4};" ::"r"(mine + j * 512 + lane * 16), "f"(c[j][0]), "f"(c[j][1]), "f"(c[j][2]), "f"(c[j][3]) : "memory");
      if (lane == 0) place[warp] = mine;
#if HOPPER
      fence_copies();
#endif
    }
    asm volatile("bar.sync %0, 128;" ::"r"(6 + group) : "memory");
    float y[4] = {};
    if (finishes)
#pragma unroll
      for (int i = 0; i < CHAINS; i++)
        if (chain_at(i, work.units) < chain_at(i + 1, work.units)) {
          float d[4];
          asm volatile("ld.shared.v4.f32 {%0,%1,%2,%3}, [%4];" : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3]) : "r"(place[group * CHAINS + i] + chain * 512 + lane * 16) : "memory");
#pragma unroll
          for (int e = 0; e < 4; e++) y[e] = __fadd_rn(y[e], d[e]);
        }
    asm volatile("bar.sync %0, 128;" ::"r"(6 + group) : "memory");
    if (units) release();
    if (!finishes) continue;
    const Segment& s = p.segments[item.segment];
#pragma unroll
    for (int e = 0; e < 4; e++) {
      const int m = m0 + e % 2, row = first_row + (gated ? 0 : e / 2 * 8);
      if (m >= rows || row >= s.rows || (gated && e >= 2)) continue;
      float v = scaled(y[e], end.scale[e / 2], end.bias[e / 2]);
      if (adds) v = __fadd_rn(end.old[e], v);
      if (p.epilogue >= GATED) v = activate(p.activation, v);
      if (gated) v = __fmul_rn(v, scaled(y[(e + 2) % 4], end.scale[1], end.bias[1]));
      const size_t at = (size_t)m * s.stride + row;
      if (p.epilogue >= GATED) ((u16*)s.out)[at] = to_half(v, F == BF16);
      else ((float*)s.out)[at] = v;
    }
  }
}

#define FEW(name, F) \
  KERNEL __launch_bounds__(BLOCK, 1) void product_##name##_8(const __grid_constant__ Few p) { few<F, 8>(p); } \
  KERNEL __launch_bounds__(BLOCK, 1) void product_##name##_16(const __grid_constant__ Few p) { few<F, 16>(p); }
FEW(f16, F16)
FEW(bf16, BF16)
FEW(f8, F8)
FEW(q8, Q8)
FEW(q6, Q6)
FEW(q4, Q4)
