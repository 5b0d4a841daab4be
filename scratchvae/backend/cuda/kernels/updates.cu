// The update rules on flat buffers, in place. Learning rate and step may be the clock's.

// A moment too small to matter is zero; a NaN stays one.
__device__ inline real kept(real moment, double below) {
    return fabs(moment) <= (real)below ? (real)0 : moment;
}

// E24. m and v hold the paper's moments divided by 1 - beta1 and by 1 - beta2.
extern "C" __global__ void adam(
    real* p, const real* g, real* m, real* v, integer n, const double* lr_at, double lr,
    double beta1, double beta2, double eps, const integer* t_at, integer t,
    integer forget_every, double forget_below) {
    __shared__ real rate, offset;
    t = number(t_at, t);
    if (threadIdx.x == 0) {  // the powers once a block, in double: 1 - beta2^t cancels in float
        double root = sqrt((1 - beta2) / (1 - pow(beta2, (double)t)));  // of v hat over v
        rate = (real)(number(lr_at, lr) * (1 - beta1) / (1 - pow(beta1, (double)t)) / root);
        offset = (real)(eps / root);
    }
    __syncthreads();
    bool forget = t % forget_every == 0;
    for (integer k = first(); k < n; k += stride()) {
        real mk = m[k] * (real)beta1 + g[k], vk = v[k] * (real)beta2 + g[k] * g[k];
        if (forget) {
            mk = kept(mk, forget_below);
            vk = kept(vk, forget_below);
        }
        m[k] = mk;
        v[k] = vk;
        p[k] -= rate * (mk / (sqrt(vk) + offset));
    }
}

// E41. r holds the average of squares divided by 1 - rho.
extern "C" __global__ void rmsprop(
    real* p, const real* g, real* r, integer n, const double* lr_at, double lr,
    double rho, double eps,
    const integer* t_at, integer t, integer forget_every, double forget_below) {
    double root = sqrt(1 - rho);
    real rate = (real)(number(lr_at, lr) / root), offset = (real)(eps / root);
    bool forget = number(t_at, t) % forget_every == 0;
    for (integer k = first(); k < n; k += stride()) {
        real rk = r[k] * (real)rho + g[k] * g[k];
        r[k] = rk = forget ? kept(rk, forget_below) : rk;
        p[k] -= rate * (g[k] / (sqrt(rk) + offset));
    }
}

// E42. Without momentum there is no v.
extern "C" __global__ void sgd(
    real* p, const real* g, real* v, integer n, const double* lr_at, double lr, double momentum,
    integer nesterov, const integer* t_at, integer t, integer forget_every, double forget_below) {
    real rate = (real)number(lr_at, lr), mu = (real)momentum;
    bool forget = number(t_at, t) % forget_every == 0;
    for (integer k = first(); k < n; k += stride()) {
        real move = g[k];
        if (v) {
            real vk = v[k] * mu + g[k];
            v[k] = vk = forget ? kept(vk, forget_below) : vk;
            move = nesterov ? g[k] + mu * vk : vk;
        }
        p[k] -= rate * move;
    }
}

// E43.
extern "C" __global__ void adagrad(
    real* p, const real* g, real* s, integer n, const double* lr_at, double lr, double eps) {
    real rate = (real)number(lr_at, lr);
    for (integer k = first(); k < n; k += stride()) {
        s[k] += g[k] * g[k];
        p[k] -= rate * (g[k] / (sqrt(s[k]) + (real)eps));
    }
}

// E44 in two passes, without atomics: each block's share of the sum of squares, then their sum.
extern "C" __global__ void squares_by_block(const real* g, integer n, real* shares) {
    real sum = 0;
    for (integer k = first(); k < n; k += stride()) sum += g[k] * g[k];
    sum = block_sum(sum);
    if (threadIdx.x == 0) shares[blockIdx.x] = sum;
}
extern "C" __global__ void sum_shares(const real* shares, integer count, real* out) {
    real sum = 0;
    for (integer k = threadIdx.x; k < count; k += THREADS) sum += shares[k];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *out = sum;
}

// E44: g times min(1, limit / norm); a norm that is NaN makes g so.
extern "C" __global__ void clip(
    real* g, integer n, const real* squares, integer count, double limit, real* factor) {
    real sum = 0;
    for (integer k = 0; k < count; ++k) sum += squares[k];
    real f = (real)limit / sqrt(sum);
    f = f > 1 ? (real)1 : f;
    if (first() == 0) *factor = f;
    for (integer k = first(); k < n; k += stride()) g[k] *= f;
}
