// The update rules on flat buffers, in place. Learning rate and step may be the clock's.

// A moment too small to matter is zero; a NaN stays one.
__device__ inline real flushed(real moment, double threshold) {
    return fabs(moment) <= (real)threshold ? (real)0 : moment;
}

// E24. m and v hold the paper's moments divided by 1 - beta1 and by 1 - beta2.
extern "C" __global__ void adam(
    real* p, const real* g, real* m, real* v, integer n, const double* lr_at, double lr,
    double beta1, double beta2, double eps, integer bias_correction, integer eps_hat,
    const integer* t_at, integer t, integer flush_every, double m_threshold,
    double v_threshold) {
    __shared__ real rate, offset;
    t = number(t_at, t);
    if (threadIdx.x == 0) {  // the powers once a block, in double: 1 - beta2^t cancels in float
        double seen1 = bias_correction ? 1 - pow(beta1, (double)t) : 1;
        double seen2 = bias_correction ? 1 - pow(beta2, (double)t) : 1;
        double root = sqrt((1 - beta2) / seen2);  // of v hat over v
        rate = (real)(number(lr_at, lr) * (1 - beta1) / seen1 / root);
        offset = (real)(eps / (eps_hat ? sqrt(seen2) : 1) / root);
    }
    __syncthreads();
    bool flush = t % flush_every == 0;
    for (integer k = first(); k < n; k += stride()) {
        real mk = m[k] * (real)beta1 + g[k], vk = v[k] * (real)beta2 + g[k] * g[k];
        if (flush) {
            mk = flushed(mk, m_threshold);
            vk = flushed(vk, v_threshold);
        }
        m[k] = mk;
        v[k] = vk;
        p[k] -= rate * (mk / (sqrt(vk) + offset));
    }
}

// E41. r holds the average of squares divided by 1 - rho.
extern "C" __global__ void rmsprop(
    real* p, const real* g, real* r, integer n, const double* lr_at, double lr,
    double rho, double eps, integer eps_inside, const integer* t_at, integer t,
    integer flush_every, double threshold) {
    double root = sqrt(1 - rho);
    real rate = (real)(number(lr_at, lr) / root);
    real inside = eps_inside ? (real)(eps / (1 - rho)) : (real)0;
    real outside = eps_inside ? (real)0 : (real)(eps / root);
    bool flush = number(t_at, t) % flush_every == 0;
    for (integer k = first(); k < n; k += stride()) {
        real rk = r[k] * (real)rho + g[k] * g[k];
        r[k] = rk = flush ? flushed(rk, threshold) : rk;
        p[k] -= rate * (g[k] / (sqrt(rk + inside) + outside));
    }
}

// E42. Without momentum there is no v.
extern "C" __global__ void sgd(
    real* p, const real* g, real* v, integer n, const double* lr_at, double lr, double momentum,
    integer nesterov, const integer* t_at, integer t, integer flush_every, double threshold) {
    real rate = (real)number(lr_at, lr), mu = (real)momentum;
    bool flush = number(t_at, t) % flush_every == 0;
    for (integer k = first(); k < n; k += stride()) {
        real move = g[k];
        if (v) {
            real vk = v[k] * mu + g[k];
            v[k] = vk = flush ? flushed(vk, threshold) : vk;
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

// E44: a norm is scale * sqrt(squares), with squares the sum of (g / scale)^2, so that no square
// leaves the range of a float. A scale is a power of two, by which a division is exact; 0 where
// all of g is 0.
__device__ inline real power_of_two_below(real peak) {
    return peak > 0 ? ldexp((real)1, ilogb(peak)) : (real)0;
}
__device__ inline real divisor(real scale) { return scale > 0 ? scale : (real)1; }

// In two passes, without atomics: each block's share of the norm, then all of it.
extern "C" __global__ void norm_by_block(const real* g, integer n, real* shares) {
    real peak = 0, sum = 0;
    for (integer k = first(); k < n; k += stride()) peak = fmax(peak, fabs(g[k]));
    real scale = power_of_two_below(block_max(peak)), by = divisor(scale);
    for (integer k = first(); k < n; k += stride()) {
        real x = g[k] / by;  // a NaN, which fmax passes over, is in the sum
        sum += x * x;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        shares[2 * blockIdx.x] = scale;
        shares[2 * blockIdx.x + 1] = sum;
    }
}
extern "C" __global__ void join_norms(
    const real* shares, integer count, real* scale, real* squares) {
    real largest = 0, sum = 0;
    for (integer k = threadIdx.x; k < count; k += THREADS) largest = fmax(largest, shares[2 * k]);
    largest = block_max(largest);
    for (integer k = threadIdx.x; k < count; k += THREADS) {
        real relative = shares[2 * k] / divisor(largest);
        sum += shares[2 * k] > 0 ? shares[2 * k + 1] * relative * relative : shares[2 * k + 1];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        *scale = largest;
        *squares = sum;
    }
}

// E44: g times min(1, limit / norm), from the norms of all parts; a norm that is NaN makes g so.
extern "C" __global__ void clip(
    real* g, integer n, const real* scales, const real* squares, integer count, double limit) {
    real largest = 0, sum = 0;
    for (integer k = 0; k < count; ++k) largest = fmax(largest, scales[k]);
    real by = divisor(largest);
    for (integer k = 0; k < count; ++k) {
        real relative = scales[k] / by;
        sum += scales[k] > 0 ? squares[k] * relative * relative : squares[k];
    }
    real length = sqrt(sum), factor = (real)limit / length;
    if ((real)limit / by / length >= 1) return;
    for (integer k = first(); k < n; k += stride()) g[k] = g[k] / by * factor;
}
