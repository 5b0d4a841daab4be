// The batch of a step: which images, their pixels, and the clock that says so.

// index = order[i], lr = rates[i], beta = betas[i], for step i of an epoch.
extern "C" __global__ void begin_step(
    const integer* i, const integer* order, const double* rates, const double* betas,
    integer* index, integer batch_size, double* lr, double* beta) {
    for (integer k = first(); k < batch_size; k += stride()) index[k] = order[*i * batch_size + k];
    if (first() == 0) {
        *lr = rates[*i];
        *beta = betas[*i];
    }
}

// losses[i] = loss; then the clock moves on. One thread: no other may read it meanwhile.
extern "C" __global__ void end_step(integer* t, integer* i, const real* loss, real* losses) {
    if (first() == 0) {
        losses[*i] = *loss;
        *t += 1;
        *i += 1;
    }
}

// out = images[index] / max_level
template <class Pixel>
__device__ inline void gather(
    const Pixel* images, const integer* index, double max_level,
    real* out, integer rows, integer pixels) {
    for (integer k = first(); k < rows * pixels; k += stride())
        out[k] = (real)images[index[k / pixels] * pixels + k % pixels] / (real)max_level;
}
extern "C" __global__ void gather_uint8(
    const unsigned char* images, const integer* index, double max_level,
    real* out, integer rows, integer pixels) {
    gather(images, index, max_level, out, rows, pixels);
}
extern "C" __global__ void gather_float32(
    const float* images, const integer* index, double max_level,
    real* out, integer rows, integer pixels) {
    gather(images, index, max_level, out, rows, pixels);
}
extern "C" __global__ void gather_float64(
    const double* images, const integer* index, double max_level,
    real* out, integer rows, integer pixels) {
    gather(images, index, max_level, out, rows, pixels);
}
