// wgmma of 64 weight rows, N rows of the input and 16 columns, with its lists of registers.
#define HALF1 "%32, %33, %34, %35, %36, %37, %38, %39"
#define LIST0 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define LIST1 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define LIST2 "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define LIST3 "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define LIST00 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define HALF2 "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define C4(i) "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3])
#define C16(i) C4(i), C4(i + 4), C4(i + 8), C4(i + 12)
#define C32(i) C16(i), C16(i + 16)
#define WGMMA(size, type, list, a, b, one, ...) \
  asm volatile("{.reg .pred p; setp.ne.b32 p, " one ", 0; wgmma.mma_async.sync.aligned." size "k16.f32." type "." type " {" list "}, " a ", " b ", p, 1, 1, 0, 0;}" \
               : __VA_ARGS__ : "l"(w), "l"(x), "r"(1))
#define WGMMA_32(type) WGMMA("m64n32", type, LIST00, "%16", "%17", "%18", C16(0))
#define WGMMA_80(type) WGMMA("m64n80", type, LIST0 ", " HALF1, "%40", "%41", "%42", C32(0), C4(32), C4(36))
#define WGMMA_160(type) WGMMA("m64n160", type, LIST0 ", " LIST1 ", " HALF2, "%80", "%81", "%82", C32(0), C32(32), C16(64))
#define WGMMA_256(type) WGMMA("m64n256", type, LIST0 ", " LIST1 ", " LIST2 ", " LIST3, "%128", "%129", "%130", C32(0), C32(32), C32(64), C32(96))

template <int N, bool BF> struct Multiply;
#define MULTIPLY(N) \
  template <> struct Multiply<N, false> { static DEVICE void run(float* c, u64 w, u64 x) { WGMMA_##N("f16"); } }; \
  template <> struct Multiply<N, true> { static DEVICE void run(float* c, u64 w, u64 x) { WGMMA_##N("bf16"); } };
MULTIPLY(32)
MULTIPLY(80)
MULTIPLY(160)
MULTIPLY(256)
template <int N, bool BF> DEVICE void wgmma(float* c, u64 w, u64 x) { Multiply<N, BF>::run(c, w, x); }

// Until the last product has ended, nobody may look at the sums.
template <int N> DEVICE void wgmma_end(float* c) {
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
  for (int i = 0; i < N / 2; i++) asm volatile("" : "+f"(c[i])::"memory");
}
