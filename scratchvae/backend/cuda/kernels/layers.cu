// ReLU, and the sum over the rows of a matrix.

// E10: what is not above 0 becomes 0; a NaN stays one.
extern "C" __global__ void relu(const real* x, real* out, integer n) {
    for (integer k = first(); k < n; k += stride()) out[k] = x[k] <= 0 ? (real)0 : x[k];
}

// E11: dx = dy where y > 0, else 0.
extern "C" __global__ void relu_grad(const real* y, const real* dy, real* dx, integer n) {
    for (integer k = first(); k < n; k += stride()) dx[k] = y[k] > 0 ? dy[k] : (real)0;
}

// out[j] = sum of a[i][j] over i. A block has 32 columns, and 8 threads for each of them.
extern "C" __global__ void sum_rows(const real* a, real* out, integer rows, integer columns) {
    __shared__ real part[THREADS];
    unsigned lane = threadIdx.x / 32;
    integer j = (integer)blockIdx.x * 32 + threadIdx.x % 32;
    real sum = 0;
    if (j < columns)
        for (integer i = lane; i < rows; i += THREADS / 32) sum += a[i * columns + j];
    part[threadIdx.x] = sum;
    __syncthreads();
    if (lane == 0 && j < columns) {
        for (unsigned other = 32; other < THREADS; other += 32) sum += part[threadIdx.x + other];
        out[j] = sum;
    }
}
