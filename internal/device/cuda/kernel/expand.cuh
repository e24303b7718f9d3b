// Packed weights in registers: what a lane 4g + t holds of a unit of 8 rows and 64 columns,
// as the second operand of four products: b[2j] columns 16j+2t and +1, b[2j+1] 16j+2t+8
// and +9, of row g.
// Products of few rows copy so many units at once, twice as many of 8 bits, four times of 4.
#if HOPPER
#define STAGE 2
#else
#define STAGE 1
#endif
template <int F> struct Unit;
template <> struct Unit<F16> { static const int bytes = 1024, stage = STAGE; };
template <> struct Unit<BF16> { static const int bytes = 1024, stage = STAGE; };
template <> struct Unit<F8> { static const int bytes = 512, stage = 2 * STAGE; };
template <> struct Unit<Q8> { static const int bytes = 544, stage = 2 * STAGE; };
template <> struct Unit<Q6> { static const int bytes = 576, stage = 2 * STAGE; };
template <> struct Unit<Q4> { static const int bytes = 320, stage = 4 * STAGE; };

DEVICE u32 unit_bytes(int f) { return f <= BF16 ? 1024 : f == F8 ? 512 : f == Q8 ? 544 : f == Q6 ? 576 : 320; }

// Two e4m3 numbers in f16, exactly.
DEVICE u32 pair_f8(u16 v) {
#if __CUDA_ARCH__ >= 890
  u32 r;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(r) : "h"(v));
  return r;
#else
  u32 w = (u32)(v & 0xff) | (u32)(v >> 8) << 16; // the exponent of e4m3 is 8 less than that of f16
  return mul2((w & 0x00800080) << 8 | (w & 0x007f007f) << 7, 0x5c005c00);
#endif
}

// Four codes of 8 bits, biased by 128, as two pairs of f16.
DEVICE void pairs_q8(u32 w, u32& a, u32& b) {
  a = sub2(__byte_perm(w, 0x64646464, 0x4140), 0x64806480);
  b = sub2(__byte_perm(w, 0x64646464, 0x4342), 0x64806480);
}

// Up to four words of shared memory.
DEVICE void shared_get(u32* v, u32 at, int count) {
  if (count == 4) asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3]) : "r"(at) : "memory");
  else if (count == 2) asm volatile("ld.shared.v2.u32 {%0,%1}, [%2];" : "=r"(v[0]), "=r"(v[1]) : "r"(at) : "memory");
  else asm volatile("ld.shared.u32 %0, [%1];" : "=r"(v[0]) : "r"(at) : "memory");
}

// A lane's share of a unit as it is stored, of formats that have codes. 16 bytes of codes of 8 bits: byte 4j+i is b[2j + i/2],
// element i%2.
template <int F> struct Codes { u32 w[4], s[2]; };

// From shared memory.
template <int F> DEVICE void load_codes(Codes<F>& c, u32 unit, int lane) {
  if (F == Q4) {
    shared_get(c.w, unit + lane * 8, 2);
    shared_get(c.s, unit + 256 + lane / 4 * 8, 2);
  } else {
    shared_get(c.w, unit + lane * 16, 4);
    if (F == Q8) shared_get(c.s, unit + 512 + lane / 4 * 4, 1);
    if (F == Q6) shared_get(c.s, unit + 512 + lane / 4 * 8, 2);
  }
}

// From any memory.
template <int F> DEVICE void load_codes(Codes<F>& c, const char* unit, int lane) {
  const u32 *w = (const u32*)(unit + lane * (F == Q4 ? 8 : 16)), *s = (const u32*)(unit + (F == Q4 ? 256 : 512) + lane / 4 * (F == Q8 ? 4 : 8));
#pragma unroll
  for (int i = 0; i < (F == Q4 ? 2 : 4); i++) c.w[i] = w[i];
#pragma unroll
  for (int i = 0; i < (F == F8 ? 0 : F == Q8 ? 1 : 2); i++) c.s[i] = s[i];
}

// (a & b) | c, which has no room for two constants where they are written as such.
DEVICE u32 and_or(u32 a, u32 b, u32 c) { u32 r; asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(r) : "r"(a), "r"(b), "r"(c)); return r; }

// A half twice, and both with the other sign: as the assembler can fold them into products.
DEVICE u32 twice(u32 s, int half) {
  u32 r;
  if (half) asm("{.reg .b16 l, h; mov.b32 {l, h}, %1; mov.b32 %0, {h, h};}" : "=r"(r) : "r"(s));
  else asm("{.reg .b16 l, h; mov.b32 {l, h}, %1; mov.b32 %0, {l, l};}" : "=r"(r) : "r"(s));
  return r;
}
DEVICE u32 negative2(u32 a) { u32 r; asm("neg.f16x2 %0, %1;" : "=r"(r) : "r"(a)); return r; }

// The second operand of product k of a unit: a is b[2k], b is b[2k+1].
template <int F> DEVICE void expand_step(u32& a, u32& b, const Codes<F>& c, int k) {
  if constexpr (F == F8) {
    a = pair_f8((u16)c.w[k]);
    b = pair_f8((u16)(c.w[k] >> 16));
  } else if constexpr (F == Q8 || F == Q6) {
    const u32 s = F == Q8 ? c.s[0] : c.s[k / 2], d = twice(s, F == Q8 ? k / 2 : k % 2);
    pairs_q8(c.w[k], a, b);
    a = mul2(a, d);
    b = mul2(b, d);
  } else { // Q4: bits 4i and 4i+16 of word h are a pair of b[4h + i]
    const u32 s = c.s[k / 2], d = twice(s, 0), m = negative2(twice(s, 1)), w = c.w[k / 2] >> k % 2 * 8;
    // 1024 + code, or 1024 + 16 code, which needs no shift: either way the code, exactly.
    a = fma2(sub2(and_or(w, 0x000f000f, 0x64006400), 0x64006400), d, m);
    b = fma2(fma2(and_or(w, 0x00f000f0, 0x64006400), 0x2c002c00, 0xd400d400), d, m);
  }
}
