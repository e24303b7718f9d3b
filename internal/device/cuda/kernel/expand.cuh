// Packed weights in registers: what a lane 4g + t holds of a unit of 8 rows and 64 columns,
// as the second operand of four products: b[2j] columns 16j+2t and +1, b[2j+1] 16j+2t+8
// and +9, of row g.
// Products take so many units at once, or twice as many of quantised weights.
#if HOPPER
#define STAGE 4
#else
#define STAGE 2
#endif
template <int F> struct Unit;
template <> struct Unit<F16> { static const int bytes = 1024, stage = STAGE; };
template <> struct Unit<BF16> { static const int bytes = 1024, stage = STAGE; };
template <> struct Unit<F8> { static const int bytes = 512, stage = 2 * STAGE; };
template <> struct Unit<Q8> { static const int bytes = 544, stage = 2 * STAGE; };
template <> struct Unit<Q6> { static const int bytes = 576, stage = 2 * STAGE; };
template <> struct Unit<Q4> { static const int bytes = 320, stage = 2 * STAGE; };

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

// 16 bytes of a lane's codes of 8 bits: byte 4j+i is b[2j + i/2], element i%2.
template <int F> DEVICE void expand_unit(u32* b, const char* unit, int lane) {
  if (F == F16 || F == BF16) {
    load_blocks(b, shared_address(unit) + swizzled(lane % 8, lane / 8));
    load_blocks(b + 4, shared_address(unit) + swizzled(lane % 8, lane / 8 + 4));
  } else if (F == F8) {
    uint4 v = *(const uint4*)(unit + lane * 16);
    u32 w[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int j = 0; j < 4; j++) { b[2 * j] = pair_f8((u16)w[j]); b[2 * j + 1] = pair_f8((u16)(w[j] >> 16)); }
  } else if (F == Q8 || F == Q6) {
    uint4 v = *(const uint4*)(unit + lane * 16);
    u32 w[4] = {v.x, v.y, v.z, v.w}, d[4];
    if (F == Q8) {
      u32 s = *(const u32*)(unit + 512 + lane / 4 * 4);
      d[0] = d[1] = __byte_perm(s, s, 0x1010);
      d[2] = d[3] = __byte_perm(s, s, 0x3232);
    } else {
      uint2 s = *(const uint2*)(unit + 512 + lane / 4 * 8);
      d[0] = __byte_perm(s.x, s.x, 0x1010);
      d[1] = __byte_perm(s.x, s.x, 0x3232);
      d[2] = __byte_perm(s.y, s.y, 0x1010);
      d[3] = __byte_perm(s.y, s.y, 0x3232);
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
      pairs_q8(w[j], b[2 * j], b[2 * j + 1]);
      b[2 * j] = mul2(b[2 * j], d[j]);
      b[2 * j + 1] = mul2(b[2 * j + 1], d[j]);
    }
  } else { // Q4: bits 4i and 4i+16 of word h are a pair of b[4h + i]
    uint2 v = *(const uint2*)(unit + lane * 8), s = *(const uint2*)(unit + 256 + lane / 4 * 8);
    u32 w[2] = {v.x, v.y}, p[2] = {s.x, s.y};
#pragma unroll
    for (int h = 0; h < 2; h++) {
      u32 d = __byte_perm(p[h], p[h], 0x1010), m = __byte_perm(p[h], p[h], 0x3232) ^ 0x80008000;
#pragma unroll
      for (int i = 0; i < 4; i++) b[4 * h + i] = fma2(sub2((w[h] >> 4 * i & 0x000f000f) | 0x64006400, 0x64006400), d, m);
    }
  }
}
