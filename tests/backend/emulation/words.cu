// For tests alone: the words themselves, which the shipped kernels never show.

extern "C" __global__ void words_of(
    word* out, word c0, word c1, word c2, word c3, word key0, word key1) {
    Block b = philox({{c0, c1, c2, c3}}, key0, key1);
    if (first() < 4) out[first()] = b.w[first()];
}

extern "C" __global__ void words_of_stream(
    word* out, integer n, word seed, word purpose, integer step, word lane) {
    for (integer k = first(); k < n; k += stride())
        out[k] = stream_words(k / 4, seed, purpose, step, lane).w[k % 4];
}

extern "C" __global__ void stored_uniforms(real* out, const double* u, integer n, double below_one) {
    for (integer k = first(); k < n; k += stride()) out[k] = stored(u[k], below_one);
}
