// What attention needs of Hopper besides: copies whose barrier is given by its address, turns of
// slots, and wgmma whose first operand is in registers.

DEVICE void fence_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); } // between other accesses and those of copies and wgmma
DEVICE void copy_bulk_at(u32 to, const void* from, u32 bytes, u32 b) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to), "l"(from), "r"(bytes), "r"(b) : "memory");
}

// Slots of a ring in turns, and the phase of their barriers.
struct Turn {
  int slot;
  u32 phase;
  DEVICE void next(int slots) {
    if (++slot == slots) { slot = 0; phase ^= 1; }
  }
};

// Blocks [8][8] of 16 bits lie 128 bytes each; a matrix of them as wgmma reads it, with the bytes
// from one block to the next along k and along the other side.
DEVICE u64 blocks_at(u32 address, u32 leading, u32 stride) { return (u64)(address >> 4 & 0x3fff) | (u64)(leading >> 4) << 16 | (u64)(stride >> 4) << 32; }

#define SUMS8(i) "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3]), "+f"(c[i + 4]), "+f"(c[i + 5]), "+f"(c[i + 6]), "+f"(c[i + 7])
#define SUMS16(i) SUMS8(i), SUMS8(i + 8)
#define NAMES4 "%0, %1, %2, %3"
#define NAMES16 NAMES4 ", %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define NAMES32 NAMES16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define NAMES64 NAMES32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
// c, of 64 rows, is or grows by a of 16 columns times b; across: b lies row by row of k.
#define MULTIPLY_16(n, names, A0, A1, A2, A3, B, MORE, across, ...) \
  asm volatile("{.reg .pred p; setp.ne.b32 p, " MORE ", 0; wgmma.mma_async.sync.aligned.m64n" n "k16.f32.f16.f16 {" names "}, {" A0 ", " A1 ", " A2 ", " A3 "}, " B ", p, 1, 1, " across ";}" \
               : __VA_ARGS__ : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(more))
DEVICE void multiply_ones(float* c, const u32* a, u64 b, int more) {
  MULTIPLY_16("8", NAMES4, "%4", "%5", "%6", "%7", "%8", "%9", "0", "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]));
}
DEVICE void multiply_page(float* c, const u32* a, u64 b, int more) {
  MULTIPLY_16("32", NAMES16, "%16", "%17", "%18", "%19", "%20", "%21", "0", SUMS16(0));
}
template <int WIDTH> DEVICE void multiply_across(float* c, const u32* a, u64 b, int more);
template <> DEVICE void multiply_across<64>(float* c, const u32* a, u64 b, int more) {
  MULTIPLY_16("64", NAMES32, "%32", "%33", "%34", "%35", "%36", "%37", "1", SUMS16(0), SUMS16(16));
}
template <> DEVICE void multiply_across<128>(float* c, const u32* a, u64 b, int more) {
  MULTIPLY_16("128", NAMES64, "%64", "%65", "%66", "%67", "%68", "%69", "1", SUMS16(0), SUMS16(16), SUMS16(32), SUMS16(48));
}

DEVICE void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
// Until products have ended, nobody may look at the sums.
template <int N> DEVICE void held(float* c) {
#pragma unroll
  for (int i = 0; i < N; i++) asm volatile("" : "+f"(c[i])::"memory");
}
DEVICE void products_end() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}
