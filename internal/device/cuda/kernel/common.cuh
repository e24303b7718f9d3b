// What all kernels share: types, the instructions that C++ has no word for, and loads.
// No headers: NVRTC needs no include path.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define DEVICE __device__ __forceinline__
#define KERNEL extern "C" __global__
#define HOPPER (__CUDA_ARCH__ >= 900)
#define INFINITE __int_as_float(0x7f800000)

// The formats of packed weights, the stored types, epilogues and activations, as in Go.
enum { F16, BF16, F8, Q8, Q6, Q4 };
enum { STORED_F32, STORED_F16, STORED_BF16, STORED_Q8_0, STORED_Q4_0, STORED_Q4_1, STORED_Q4_K, STORED_Q6_K };
enum { STORE, ADD, GATED, ACTIVATED };
enum { SILU, GELU_TANH, RELU };

// A kernel that may begin before the one in front of it has ended waits here before it
// touches what that one writes, and lets the next one begin.
DEVICE void wait_for_input() {
#if HOPPER
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
DEVICE void let_next_begin() {
#if HOPPER
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// --- 16-bit numbers ---

DEVICE float from_f16(u16 h) { float f; asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h)); return f; }
DEVICE float from_bf16(u16 h) { return __int_as_float((int)((u32)h << 16)); }
DEVICE u16 to_f16(float f) { u16 h; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f)); return h; }
DEVICE u16 to_bf16(float f) { u16 h; asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(f)); return h; }
DEVICE u32 pair_f16(float low, float high) { u32 r; asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low)); return r; }
DEVICE u32 pair_bf16(float low, float high) { u32 r; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low)); return r; }
DEVICE u32 sub2(u32 a, u32 b) { u32 r; asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b)); return r; }
DEVICE u32 mul2(u32 a, u32 b) { u32 r; asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b)); return r; }
DEVICE u32 fma2(u32 a, u32 b, u32 c) { u32 r; asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c)); return r; }

// Numbers of 16 bits as a kernel's field says: 1 or f16, 2 or bf16.
DEVICE u16 to_half(float f, bool bf) { return bf ? to_bf16(f) : to_f16(f); }
DEVICE u32 pair_half(float low, float high, bool bf) { return bf ? pair_bf16(low, high) : pair_f16(low, high); }
DEVICE float from_half(u16 h, bool bf) { return bf ? from_bf16(h) : from_f16(h); }

// --- tensor cores ---

// c[0], c[1]: row g, columns 2t and 2t+1; c[2], c[3]: row g+8, where lane = 4g + t.
template <bool BF> DEVICE void mma(float* c, const u32* a, u32 b0, u32 b1) {
  if (BF)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

DEVICE u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// Blocks [8][8] of 16 bits, whose rows' addresses lanes 0-7, 8-15, 16-23 and 24-31 give.
DEVICE void load_blocks(u32* r, u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}
DEVICE void load_blocks_across(u32* r, u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}

// Where 8 columns of a row are in rows of 64 columns, 128 bytes: in turns, so that the same
// columns of 8 rows lie in different banks. Units begin at multiples of 1024 bytes.
DEVICE u32 swizzled(int row, int columns8) { return row * 128 + ((columns8 ^ row % 8) << 4); }

// --- copies to shared memory ---

DEVICE void copy16(u32 to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}
DEVICE void copies_end() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> DEVICE void copies_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

#if HOPPER
// Barriers in shared memory that count arrivals and bytes. A wait on a phase cannot tell
// two phases apart, so nobody may be two phases behind.
DEVICE void barrier_init(u64* b, int count) { asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(count) : "memory"); }
DEVICE void barriers_ready() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
// Addresses in shared memory are made once, since making one takes longer than what it is for.
DEVICE void arrive_at(u32 barrier) { asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(barrier) : "memory"); }
DEVICE void expect_at(u32 barrier, u32 bytes) { asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory"); }
DEVICE void wait_at(u32 barrier, u32 phase) {
  asm volatile("{.reg .pred p; AGAIN: mbarrier.try_wait.parity.shared.b64 p, [%0], %1; @p bra DONE; bra AGAIN; DONE: }" ::"r"(barrier), "r"(phase) : "memory");
}
// Between other accesses and those of copies and of wgmma.
DEVICE void fence_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
// A copy of a multiple of 16 bytes that the barrier sees arrive.
DEVICE void copy_bulk(u32 to, const void* from, u32 bytes, u32 barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
               ::"r"(to), "l"(from), "r"(bytes), "r"(barrier) : "memory");
}
// The same, of what nobody will read again soon.
DEVICE void copy_bulk_once(u32 to, const void* from, u32 bytes, u32 barrier, u64 policy) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;"
               ::"r"(to), "l"(from), "r"(bytes), "r"(barrier), "l"(policy) : "memory");
}
DEVICE u64 read_once() { u64 p; asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(p)); return p; }
#endif

// --- sums and functions, whose order and rounding are the same wherever they are used ---

DEVICE float warp_sum(float x) {
  for (int o = 16; o; o >>= 1) x = __fadd_rn(x, __shfl_xor_sync(~0u, x, o));
  return x;
}
DEVICE float warp_max(float x) {
  for (int o = 16; o; o >>= 1) x = fmaxf(x, __shfl_xor_sync(~0u, x, o));
  return x;
}

// x / (1 + e^-2u) is x/2 · (1 + tanh u).
DEVICE float activate(int f, float x) {
  if (f == RELU) return fmaxf(x, 0.f);
  float u = x;
  if (f == GELU_TANH) u = __fmul_rn(1.5957691216057308f, __fmaf_rn(__fmul_rn(__fmul_rn(x, x), x), 0.044715f, x));
  return __fdividef(x, __fadd_rn(1.f, __expf(-u)));
}

// Rows up to this width are normalised by a warp, wider ones by 256 threads.
#define NARROW 256

// The sum of a row's squares, within a warp or among 256 threads; partial has 8 numbers.
DEVICE float square_narrow(const float* x, int width, float minus) {
  float s = 0;
  for (int k = threadIdx.x & 31; k < width; k += 32) { float v = __fsub_rn(__ldcg(x + k), minus); s = __fmaf_rn(v, v, s); }
  return warp_sum(s);
}
// Four numbers of a row from k on, zeros behind its end.
DEVICE float4 four_at(const float* x, int k, int width) {
  if (k + 3 < width && (size_t)(x + k) % 16 == 0) return __ldcg((const float4*)(x + k));
  return make_float4(k < width ? __ldcg(x + k) : 0, k + 1 < width ? __ldcg(x + k + 1) : 0, k + 2 < width ? __ldcg(x + k + 2) : 0, k + 3 < width ? __ldcg(x + k + 3) : 0);
}
// What four numbers from k on add to a sum of squares.
DEVICE float add_squares(float s, float4 v, int k, int width, float minus) {
  float a = k < width ? __fsub_rn(v.x, minus) : 0, b = k + 1 < width ? __fsub_rn(v.y, minus) : 0;
  float c = k + 2 < width ? __fsub_rn(v.z, minus) : 0, d = k + 3 < width ? __fsub_rn(v.w, minus) : 0;
  return __fmaf_rn(d, d, __fmaf_rn(c, c, __fmaf_rn(b, b, __fmaf_rn(a, a, s))));
}
DEVICE float square_part(const float* x, int width, float minus, int thread) {
  float s = 0;
#pragma unroll 4
  for (int k = thread * 4; k < width; k += 1024) s = add_squares(s, four_at(x, k, width), k, width, minus);
  return warp_sum(s);
}
DEVICE float add_parts(const float* partial) {
  float s = 0;
  for (int i = 0; i < 8; i++) s = __fadd_rn(s, partial[i]);
  return s;
}
DEVICE float inverse_root(float sum, int width, float eps) { return __frsqrt_rn(__fadd_rn(__fdiv_rn(sum, (float)width), eps)); }
DEVICE float normalised(float x, float root, float scale) { return __fmul_rn(__fmul_rn(x, root), scale); }
