// CUDA on a CPU, for tests: the blocks of a grid one after another, the threads of a block as
// fibres that take turns at every barrier. It shows wrong indices, missing barriers between a
// block's own phases (each fibre runs to its next barrier undisturbed) and wrong arithmetic; not
// races between blocks, and nothing about speed.
#pragma once
#include <setjmp.h>
#include <ucontext.h>
#include <cmath>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static  // blocks run one after another: one static copy is one block's memory

struct dim3 { unsigned x = 1, y = 1, z = 1; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;

using std::cos; using std::exp; using std::fabs; using std::fmax; using std::ilogb;
using std::ldexp; using std::log; using std::log1p; using std::pow; using std::sin; using std::sqrt;
static unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}

// ---- fibres --------------------------------------------------------------------------------------

struct Fibre { ucontext_t start; jmp_buf here; bool started, done; std::vector<char> stack; };
static std::vector<Fibre> fibres;
static jmp_buf scheduler;
static void (*body)(void*);
static void* arguments;
static const unsigned STACK = 32768;

// Contexts begin a fibre; from then on jumps switch stacks, since they ask nothing of the system.
static void __syncthreads() {
    if (!_setjmp(fibres[threadIdx.x].here)) _longjmp(scheduler, 1);
}
static void run_fibre() {
    body(arguments);
    fibres[threadIdx.x].done = true;
    _longjmp(scheduler, 1);
}
static void resume(Fibre& f) {
    if (_setjmp(scheduler)) return;
    if (f.started) _longjmp(f.here, 1);
    f.started = true;
    setcontext(&f.start);
}

// `backwards`: the threads of a block take turns from the last to the first; what a kernel computes
// must not depend on it.
static void run_block(unsigned threads, bool backwards) {
    fibres.resize(threads);
    for (Fibre& f : fibres) {
        f.started = f.done = false;
        f.stack.resize(STACK);
        getcontext(&f.start);
        f.start.uc_stack.ss_sp = f.stack.data();
        f.start.uc_stack.ss_size = STACK;
        makecontext(&f.start, run_fibre, 0);
    }
    for (bool running = true; running;) {
        running = false;
        for (unsigned k = 0; k < threads; ++k) {
            threadIdx.x = backwards ? threads - 1 - k : k;
            Fibre& f = fibres[threadIdx.x];
            if (!f.done) resume(f);
            running |= !f.done;
        }
    }
}

// ---- launches: a kernel by its name, its arguments as addresses of their values ------------------------

template <class... A> struct Call { void (*kernel)(A...); void** values; };
template <class... A, std::size_t... I>
static void unpack(Call<A...>* call, std::index_sequence<I...>) {
    call->kernel(*(A*)call->values[I]...);
}
template <class... A> static void enter(void* call) {
    unpack((Call<A...>*)call, std::index_sequence_for<A...>());
}
template <class... A>
static int launch(void (*kernel)(A...), unsigned blocks, unsigned threads, bool backwards,
                  void** values, int count) {
    if (count != (int)sizeof...(A)) return 1;
    Call<A...> call{kernel, values};
    body = enter<A...>;
    arguments = &call;
    gridDim.x = blocks;
    blockDim.x = threads;
    for (unsigned b = 0; b < blocks; ++b) {
        blockIdx.x = backwards ? blocks - 1 - b : b;
        run_block(threads, backwards);
    }
    return 0;
}
