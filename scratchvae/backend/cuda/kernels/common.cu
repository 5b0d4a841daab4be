// What all kernels share. These files are compiled one after the other as one source, once for
// each float type: REAL is float or double. Scalars arrive as long long, double or 64-bit words.

typedef REAL real;
typedef long long integer;
typedef unsigned long long word;

#define THREADS 256  // of every block

// A thread's elements are first(), first() + stride(), ...: any grid covers any array.
__device__ inline integer first() { return (integer)blockIdx.x * THREADS + threadIdx.x; }
__device__ inline integer stride() { return (integer)gridDim.x * THREADS; }

// A number of the host; or, where there is an address, the one that the device's clock put there.
__device__ inline double number(const double* at, double given) { return at ? *at : given; }
__device__ inline integer number(const integer* at, integer given) { return at ? *at : given; }

// The sum of x over the threads of a block, for the first of them; always in the same order, so
// that a rerun gives the same bits.
__device__ inline real block_sum(real x) {
    __shared__ real part[THREADS];
    __syncthreads();  // an earlier sum may still be read
    part[threadIdx.x] = x;
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    }
    return part[0];
}

// The largest x over the threads of a block, for all of them.
__device__ inline real block_max(real x) {
    __shared__ real part[THREADS];
    __syncthreads();  // an earlier maximum may still be read
    part[threadIdx.x] = x;
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            part[threadIdx.x] = fmax(part[threadIdx.x], part[threadIdx.x + half]);
        }
    }
    __syncthreads();
    return part[0];
}
