// The Bernoulli likelihood of logits: rows of `columns` numbers each. Whatever is broadcast against
// the logits is described by how it is read.

struct Read {
    const real* at;
    integer repeat, row_step, column_step;
    __device__ real operator()(integer row, integer column) const {
        return at[row / repeat * row_step + column * column_step];
    }
};

// E18: log(1 + e^a) - x a, stable for every a.
__device__ inline real bernoulli_nll_term(real a, real x) {
    return (a > 0 ? a : (real)0) + log1p(exp(-fabs(a))) - x * a;
}

extern "C" __global__ void bernoulli_nll_terms(
    const real* a, const real* x, integer x_repeat, integer x_row, integer x_column,
    real* out, integer rows, integer columns) {
    Read pixel = {x, x_repeat, x_row, x_column};
    for (integer k = first(); k < rows * columns; k += stride())
        out[k] = bernoulli_nll_term(a[k], pixel(k / columns, k % columns));
}

// E18 and E19 in one pass, a block per row: nll = the row's sum, da = sigmoid(a) - x.
extern "C" __global__ void bernoulli_nll_and_grad(
    const real* a, const real* x, integer x_repeat, integer x_row, integer x_column,
    real* nll, real* da, integer rows, integer columns) {
    Read pixel = {x, x_repeat, x_row, x_column};
    for (integer row = blockIdx.x; row < rows; row += gridDim.x) {
        real sum = 0;
        for (integer j = threadIdx.x; j < columns; j += THREADS) {
            real v = a[row * columns + j], shown = pixel(row, j), e = exp(-fabs(v));
            real mean = v > 0 ? 1 / (1 + e) : e / (1 + e);
            sum += bernoulli_nll_term(v, shown);
            da[row * columns + j] = mean - shown;
        }
        sum = block_sum(sum);
        if (threadIdx.x == 0) nll[row] = sum;
    }
}
