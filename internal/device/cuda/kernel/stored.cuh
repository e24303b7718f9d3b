// Weights as files store them.

// How many bytes a row of so many columns takes.
DEVICE size_t stored_bytes(int stored, int cols) {
  switch (stored) {
  case STORED_F32: return (size_t)cols * 4;
  case STORED_Q8_0: return (size_t)cols / 32 * 34;
  case STORED_Q4_0: return (size_t)cols / 32 * 18;
  case STORED_Q4_1: return (size_t)cols / 32 * 20;
  case STORED_Q4_K: return (size_t)cols / 256 * 144;
  case STORED_Q6_K: return (size_t)cols / 256 * 210;
  }
  return (size_t)cols * 2;
}

// A code, its scale and what is taken off: scale·code - minimum is the number.
struct Code { int code; float scale, minimum; };

DEVICE u16 u16_at(const char* p) { return (u16)((u8)p[0] | (u8)p[1] << 8); } // blocks are not aligned

static __device__ __noinline__ Code code_at(const char* row, int stored, int k) {
  Code c = {0, 0, 0};
  if (stored == STORED_Q8_0) {
    const char* b = row + k / 32 * 34;
    c.code = (signed char)b[2 + k % 32];
    c.scale = from_f16(u16_at(b));
  } else if (stored == STORED_Q4_0 || stored == STORED_Q4_1) {
    const int head = stored == STORED_Q4_0 ? 2 : 4;
    const char* b = row + k / 32 * (head + 16);
    u8 v = (u8)b[head + k % 16];
    c.code = k % 32 < 16 ? v & 15 : v >> 4;
    c.scale = from_f16(u16_at(b));
    c.minimum = stored == STORED_Q4_0 ? 8 * c.scale : -from_f16(u16_at(b + 2));
  } else if (stored == STORED_Q4_K) {
    const char* b = row + k / 256 * 144;
    const u8* s = (const u8*)b + 4;
    int j = k % 256 / 32, scale, minimum;
    if (j < 4) { scale = s[j] & 63; minimum = s[j + 4] & 63; }
    else { scale = (s[j + 4] & 15) | (s[j - 4] >> 6) << 4; minimum = s[j + 4] >> 4 | (s[j] >> 6) << 4; }
    u8 v = (u8)b[16 + k % 256 / 64 * 32 + k % 32];
    c.code = j % 2 ? v >> 4 : v & 15;
    c.scale = from_f16(u16_at(b)) * scale;
    c.minimum = from_f16(u16_at(b + 2)) * minimum;
  } else { // Q6_K
    const char* b = row + k / 256 * 210;
    int i = k % 256, half = i / 128, r = i % 128, l = r % 32, part = r / 32;
    u8 low = (u8)b[half * 64 + l + part % 2 * 32], high = (u8)b[128 + half * 32 + l];
    c.code = ((part < 2 ? low & 15 : low >> 4) | (high >> 2 * part & 3) << 4) - 32;
    c.scale = from_f16(u16_at(b + 208)) * (signed char)b[192 + half * 8 + l / 16 + part * 2];
  }
  return c;
}

// The number that a row has at column k.
static __device__ __noinline__ float stored_number(const char* row, int stored, int k) {
  if (stored == STORED_F32) return ((const float*)row)[k];
  if (stored == STORED_F16) return from_f16(((const u16*)row)[k]);
  if (stored == STORED_BF16) return from_bf16(((const u16*)row)[k]);
  Code c = code_at(row, stored, k);
  return c.scale * c.code - c.minimum;
}
