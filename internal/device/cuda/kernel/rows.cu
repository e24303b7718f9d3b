// What is done row by row: look-ups, norms, functions of single numbers, low-rank updates.

struct Embed { const int* tokens; const char* table; float* x; int rows, width, stride, stored, sum, _; };
KERNEL void embed(const __grid_constant__ Embed p) {
  let_next_begin();
  wait_for_input();
  int k = blockIdx.x * 256 + threadIdx.x, token = p.tokens[blockIdx.y];
  if (k >= p.width || token < 0) return;
  float v = stored_number(p.table + (size_t)token * stored_bytes(p.stored, p.width), p.stored, k);
  float* to = p.x + (size_t)blockIdx.y * p.stride + k;
  *to = p.sum ? __fadd_rn(*to, v) : v;
}

struct Gather { const int* index; const float* from; float* to; int rows, width, stride, _; };
KERNEL void gather(const __grid_constant__ Gather p) {
  let_next_begin();
  wait_for_input();
  int k = blockIdx.x * 256 + threadIdx.x;
  if (k < p.width) p.to[(size_t)blockIdx.y * p.stride + k] = p.from[(size_t)p.index[blockIdx.y] * p.stride + k];
}

struct Norm { const float* x; char* to; const float *scale, *bias; int rows, width, x_stride, to_stride; float eps; int layer, half, sum; };

DEVICE void put_normalised(const Norm& p, const float* x, int row, float mean, float root, int k) {
  float v = normalised(__fsub_rn(__ldcg(x + k), mean), root, p.scale[k]);
  if (p.bias) v = __fadd_rn(v, p.bias[k]);
  size_t at = (size_t)row * p.to_stride + k;
  if (p.half) ((u16*)p.to)[at] = to_half(v, p.half == 2);
  else if (p.sum) ((float*)p.to)[at] = __fadd_rn(((float*)p.to)[at], v);
  else ((float*)p.to)[at] = v;
}

KERNEL void norm_narrow(const __grid_constant__ Norm p) {
  let_next_begin();
  wait_for_input();
  int row = blockIdx.x * 4 + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= p.rows) return;
  const float* x = p.x + (size_t)row * p.x_stride;
  float mean = 0;
  if (p.layer) {
    for (int k = lane; k < p.width; k += 32) mean = __fadd_rn(mean, __ldcg(x + k));
    mean = __fdiv_rn(warp_sum(mean), (float)p.width);
  }
  float root = inverse_root(square_narrow(x, p.width, mean), p.width, p.eps);
  for (int k = lane; k < p.width; k += 32) put_normalised(p, x, row, mean, root, k);
}

KERNEL __launch_bounds__(256) void norm_wide(const __grid_constant__ Norm p) {
  __shared__ float partial[8];
  let_next_begin();
  wait_for_input();
  const float* x = p.x + (size_t)blockIdx.x * p.x_stride;
  float mean = 0;
  if (p.layer) {
    for (int k = threadIdx.x; k < p.width; k += 256) mean = __fadd_rn(mean, __ldcg(x + k));
    mean = warp_sum(mean);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = mean;
    __syncthreads();
    mean = __fdiv_rn(add_parts(partial), (float)p.width);
    __syncthreads();
  }
  float s = square_part(x, p.width, mean, threadIdx.x);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = s;
  __syncthreads();
  float root = inverse_root(add_parts(partial), p.width, p.eps);
  for (int k = threadIdx.x; k < p.width; k += 256) put_normalised(p, x, blockIdx.x, mean, root, k);
}

enum { OP_COPY, OP_ADD, OP_SCALE, OP_CAP, OP_ACTIVATE };
struct Elementwise { const float *x, *y; char* to; int rows, width, x_stride, y_stride, to_stride, half, op; float by; };
KERNEL void elementwise(const __grid_constant__ Elementwise p) {
  let_next_begin();
  wait_for_input();
  int k = blockIdx.x * 256 + threadIdx.x;
  if (k >= p.width) return;
  float v = __ldcg(p.x + (size_t)blockIdx.y * p.x_stride + k);
  float y = p.y ? __ldcg(p.y + (size_t)blockIdx.y * p.y_stride + k) : 0;
  if (p.op == OP_ADD) v = __fadd_rn(v, y);
  else if (p.op == OP_SCALE) v = __fmul_rn(v, p.by);
  else if (p.op == OP_CAP) v = __fmul_rn(p.by, tanhf(__fdiv_rn(v, p.by)));
  else if (p.op >= OP_ACTIVATE) {
    v = activate(p.op - OP_ACTIVATE, v);
    if (p.y) v = __fmul_rn(v, y);
  }
  size_t at = (size_t)blockIdx.y * p.to_stride + k;
  if (p.half) ((u16*)p.to)[at] = to_half(v, p.half == 2);
  else ((float*)p.to)[at] = v;
}

struct Update { const float *a, *b; float* to; float scale; int rank, out, stride; };
struct LowRank { Update updates[3]; const char* x; float* middle; int count, rows, cols, x_stride, max_rank, max_out, half, _; };

// A warp computes one number of x·Aᵀ.
KERNEL void lowrank_down(const __grid_constant__ LowRank p) {
  let_next_begin();
  wait_for_input();
  const Update& u = p.updates[blockIdx.z];
  int j = blockIdx.x * 4 + threadIdx.x / 32, row = blockIdx.y;
  if (j >= u.rank) return;
  float s = 0;
  for (int k = threadIdx.x % 32; k < p.cols; k += 32) {
    size_t at = (size_t)row * p.x_stride + k;
    float x = p.half ? from_half(((const u16*)p.x)[at], p.half == 2) : ((const float*)p.x)[at];
    s = __fmaf_rn(u.a[(size_t)j * p.cols + k], x, s);
  }
  s = warp_sum(s);
  if (threadIdx.x % 32 == 0) p.middle[((size_t)blockIdx.z * p.rows + row) * p.max_rank + j] = s;
}

KERNEL void lowrank_up(const __grid_constant__ LowRank p) {
  let_next_begin();
  wait_for_input();
  const Update& u = p.updates[blockIdx.z];
  int n = blockIdx.x * 256 + threadIdx.x, row = blockIdx.y;
  if (n >= u.out) return;
  const float* middle = p.middle + ((size_t)blockIdx.z * p.rows + row) * p.max_rank;
  float s = 0;
  for (int j = 0; j < u.rank; j++) s = __fmaf_rn(u.b[(size_t)n * u.rank + j], __ldcg(middle + j), s);
  float* to = u.to + (size_t)row * u.stride + n;
  *to = __fmaf_rn(u.scale, s, *to);
}
