// What attention needs of Hopper besides: turns of slots, and products whose first operand is in
// registers, by wgmma.cuh.

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

DEVICE void multiply_ones(float* c, const u32* w, u64 x, int more) {
  WGMMA_HELD("m64n8", "%0, %1, %2, %3", "%4, %5, %6, %7", "%8", "%9", "0", C4(0));
}
DEVICE void multiply_page(float* c, const u32* w, u64 x, int more) {
  WGMMA_HELD("m64n32", HALF0, "%16, %17, %18, %19", "%20", "%21", "0", C16(0));
}
template <int WIDTH> DEVICE void multiply_across(float* c, const u32* w, u64 x, int more);
template <> DEVICE void multiply_across<64>(float* c, const u32* w, u64 x, int more) {
  WGMMA_HELD("m64n64", LIST0, "%32, %33, %34, %35", "%36", "%37", "1", C32(0));
}
template <> DEVICE void multiply_across<128>(float* c, const u32* w, u64 x, int more) {
  WGMMA_HELD("m64n128", LIST0 ", " LIST1, "%64, %65, %66, %67", "%68", "%69", "1", C32(0), C32(32));
}
