// wgmma of 64 weight rows, N rows of the input and 16 columns, with its lists of registers: N / 2
// sums a lane. The weights are in shared memory, or four registers a lane, in f16.
#define HALF0 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define LIST0 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define LIST1 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define LIST2 "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define C4(i) "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3])
#define C16(i) C4(i), C4(i + 4), C4(i + 8), C4(i + 12)
#define C32(i) C16(i), C16(i + 16)
#define WGMMA(size, type, list, a, b, one, ...) \
  asm volatile("{.reg .pred p; setp.ne.b32 p, " one ", 0; wgmma.mma_async.sync.aligned." size "k16.f32." type "." type " {" list "}, " a ", " b ", p, 1, 1, 0, 0;}" \
               : __VA_ARGS__ : "l"(w), "l"(x), "r"(1))
// c is, or where there is more grows by, w times x; across: x lies row by row of k.
#define WGMMA_HELD(size, list, a, b, more_at, across, ...) \
  asm volatile("{.reg .pred p; setp.ne.b32 p, " more_at ", 0; wgmma.mma_async.sync.aligned." size "k16.f32.f16.f16 {" list "}, {" a "}, " b ", p, 1, 1, " across ";}" \
               : __VA_ARGS__ : "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]), "l"(x), "r"(more))
#define WGMMA_16(type) WGMMA("m64n16", type, "%0, %1, %2, %3, %4, %5, %6, %7", "%8", "%9", "%10", C4(0), C4(4))
#define WGMMA_32(type) WGMMA("m64n32", type, HALF0, "%16", "%17", "%18", C16(0))
#define WGMMA_HELD_16 WGMMA_HELD("m64n16", "%0, %1, %2, %3, %4, %5, %6, %7", "%8, %9, %10, %11", "%12", "%13", "0", C4(0), C4(4))
#define WGMMA_HELD_32 WGMMA_HELD("m64n32", HALF0, "%16, %17, %18, %19", "%20", "%21", "0", C16(0))
#define WGMMA_64(type) WGMMA("m64n64", type, LIST0, "%32", "%33", "%34", C32(0))
#define WGMMA_96(type) WGMMA("m64n96", type, LIST0 ", " "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47", "%48", "%49", "%50", C32(0), C16(32))
#define WGMMA_128(type) WGMMA("m64n128", type, LIST0 ", " LIST1, "%64", "%65", "%66", C32(0), C32(32))
#define WGMMA_152(type) WGMMA("m64n152", type, LIST0 ", " LIST1 ", " "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75", "%76", "%77", "%78", C32(0), C32(32), C4(64), C4(68), C4(72))
#define WGMMA_160(type) WGMMA("m64n160", type, LIST0 ", " LIST1 ", " "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79", "%80", "%81", "%82", C32(0), C32(32), C16(64))
#define WGMMA_192(type) WGMMA("m64n192", type, LIST0 ", " LIST1 ", " LIST2, "%96", "%97", "%98", C32(0), C32(32), C32(64))
#define WGMMA_HELD_64 WGMMA_HELD("m64n64", LIST0, "%32, %33, %34, %35", "%36", "%37", "0", C32(0))
#define WGMMA_HELD_96 WGMMA_HELD("m64n96", LIST0 ", " "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47", "%48, %49, %50, %51", "%52", "%53", "0", C32(0), C16(32))
#define WGMMA_HELD_128 WGMMA_HELD("m64n128", LIST0 ", " LIST1, "%64, %65, %66, %67", "%68", "%69", "0", C32(0), C32(32))
#define WGMMA_HELD_152 WGMMA_HELD("m64n152", LIST0 ", " LIST1 ", " "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75", "%76, %77, %78, %79", "%80", "%81", "0", C32(0), C32(32), C4(64), C4(68), C4(72))
#define WGMMA_HELD_160 WGMMA_HELD("m64n160", LIST0 ", " LIST1 ", " "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79", "%80, %81, %82, %83", "%84", "%85", "0", C32(0), C32(32), C16(64))

template <int N, bool BF> struct Multiply;
template <int N> struct MultiplyHeld;
#define MULTIPLY(N) \
  template <> struct Multiply<N, false> { static DEVICE void run(float* c, u64 w, u64 x) { WGMMA_##N("f16"); } }; \
  template <> struct Multiply<N, true> { static DEVICE void run(float* c, u64 w, u64 x) { WGMMA_##N("bf16"); } };
#define MULTIPLY_HELD(N) \
  template <> struct MultiplyHeld<N> { static DEVICE void run(float* c, const u32* w, u64 x) { const int more = 1; WGMMA_HELD_##N; } };
MULTIPLY(16)
MULTIPLY(32)
MULTIPLY(64)
MULTIPLY(96)
MULTIPLY(128)
MULTIPLY(152)
MULTIPLY(160)
MULTIPLY(192)
MULTIPLY_HELD(16)
MULTIPLY_HELD(32)
MULTIPLY_HELD(64)
MULTIPLY_HELD(96)
MULTIPLY_HELD(128)
MULTIPLY_HELD(152)
MULTIPLY_HELD(160)
template <int N, bool BF> DEVICE void wgmma(float* c, u64 w, u64 x) { Multiply<N, BF>::run(c, w, x); }
template <int N> DEVICE void wgmma_held(float* c, const u32* w, u64 x) { MultiplyHeld<N>::run(c, w, x); }

// Products are asked for between these two; so many groups of them may still be under way then.
DEVICE void wgmma_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void wgmma_asked() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int UNDER_WAY> DEVICE void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(UNDER_WAY) : "memory"); }

// Until products have ended, nobody may look at the sums, N numbers.
template <int N> DEVICE void sums_held(float* c) {
#pragma unroll
  for (int i = 0; i < N; i++) asm volatile("" : "+f"(c[i])::"memory");
}
