// E26 on the device: the words of NumPy's Philox4x64-10 (Salmon et al. 2011), its uniforms to the
// bit, and normals by Box-Muller in double, rounded once to REAL.

struct Block { word w[4]; };

__device__ inline Block philox(Block c, word key0, word key1) {
    for (int round = 0; round < 10; ++round) {
        const word multiply0 = 0xD2E7470EE14C6C93ull, multiply1 = 0xCA5A826395121157ull;
        word high0 = __umul64hi(multiply0, c.w[0]), low0 = multiply0 * c.w[0];
        word high1 = __umul64hi(multiply1, c.w[2]), low1 = multiply1 * c.w[2];
        c = {{high1 ^ c.w[1] ^ key0, low1, high0 ^ c.w[3] ^ key1, low0}};
        key0 += 0x9E3779B97F4A7C15ull;
        key1 += 0xBB67AE8584CAA73Bull;
    }
    return c;
}

// The words 4k to 4k + 3 of a stream. NumPy counts up before it draws: hence k + 1.
__device__ inline Block stream_words(integer k, word seed, word purpose, word step, word lane) {
    return philox({{(word)k + 1, step, lane, 0}}, seed, purpose);
}

__device__ inline double unit(word w) { return (w >> 11) * (1.0 / 9007199254740992.0); }

// A uniform as it is stored: rounding to REAL must not reach 1.
__device__ inline real stored(double u, double below_one) {
    return (real)(u < below_one ? u : below_one);
}

extern "C" __global__ void uniform(
    real* out, integer n, double below_one,
    word seed, word purpose, const integer* step_at, integer step, word lane) {
    for (integer k = first(); 4 * k < n; k += stride()) {
        Block b = stream_words(k, seed, purpose, number(step_at, step), lane);
        for (int j = 0; j < 4 && 4 * k + j < n; ++j)
            out[4 * k + j] = stored(unit(b.w[j]), below_one);
    }
}

extern "C" __global__ void normal(
    real* out, integer n,
    word seed, word purpose, const integer* step_at, integer step, word lane) {
    for (integer k = first(); 4 * k < n; k += stride()) {
        Block b = stream_words(k, seed, purpose, number(step_at, step), lane);
        for (int j = 0; j < 4 && 4 * k + j < n; j += 2) {
            double radius = sqrt(-2.0 * log(1.0 - unit(b.w[j])));
            double angle = unit(b.w[j + 1]) * 6.283185307179586;
            out[4 * k + j] = (real)(radius * cos(angle));
            if (4 * k + j + 1 < n) out[4 * k + j + 1] = (real)(radius * sin(angle));
        }
    }
}

// E33: x = 1 where u < x, else 0.
extern "C" __global__ void binarize(
    real* x, integer n, double below_one,
    word seed, word purpose, const integer* step_at, integer step, word lane) {
    for (integer k = first(); 4 * k < n; k += stride()) {
        Block b = stream_words(k, seed, purpose, number(step_at, step), lane);
        for (int j = 0; j < 4 && 4 * k + j < n; ++j)
            x[4 * k + j] = stored(unit(b.w[j]), below_one) < x[4 * k + j];
    }
}
