// Matrix products for a few voices at a time. The voices share each load of weights.
#pragma once

#include <cstddef>
#include <utility>

#include "../simd.hpp"
#include "memory.hpp"

namespace NFX_ARCH {

// Keep a vector in a register, which compilers would rather load again for each use.
#if defined(__AVX512F__)
#define NFX_IN_REGISTER(v) asm("" : "+v"(v))
#elif defined(__x86_64__)
#define NFX_IN_REGISTER(v) asm("" : "+x"(v))
#elif defined(__aarch64__)
#define NFX_IN_REGISTER(v) asm("" : "+w"(v))
#else
#define NFX_IN_REGISTER(v)
#endif

constexpr int SHARING = 4;  // voices in a product; more would need more registers than there are

// Call `use` with groups of voices: run<COUNT>(first voice).
template <class Run>
NFX_INLINE void each_group(int voices, Run run) {
    int first = 0;
    for (; voices - first >= SHARING; first += SHARING) run.template operator()<SHARING>(first);
    switch (voices - first) {
        case 3: return run.template operator()<3>(first);
        case 2: return run.template operator()<2>(first);
        case 1: return run.template operator()<1>(first);
        default: return;
    }
}

// A matrix in the order in which it is read: chunks of up to V vectors of outputs, and in a chunk input by input.
//
// Each output is the sum of two chains, one for each half of the inputs, to hide the latency of the additions. The
// order of the additions is the same for any number of voices, so a voice does not depend on those beside it.
class Product {
    int ins = 0;   // inputs, rounded up to an even number
    int outs = 0;  // outputs, rounded up to whole vectors
    nfx::Buffer weight;

    // Return the first row of the chunk that contains a row, and its number of vectors.
    std::pair<int, int> chunk_of(int row) const {
        int first = row / (V * W) * V * W;
        if (first + V * W <= outs) return {first, V};
        if (V == 4 && first + 2 * W <= outs) {
            if (row < first + 2 * W) return {first, 2};
            first += 2 * W;
        }
        return {first, 1};
    }

    // Compute N vectors of outputs of R voices. Return the weights of the next chunk.
    template <int R, int N>
    NFX_INLINE const float* chunk(const float* w, const float* x, size_t xs, const float* from, size_t fs, float* y,
                                  size_t ys) const {
        const int half = ins / 2;
        const float* second = w + size_t(half) * N * W;
        vec a[R][N];
        vec b[R][N];
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
            for (int n = 0; n < N; ++n) {
                a[r][n] = load(from + r * fs + n * W);
                b[r][n] = vec{};
            }
        const auto add = [&](const float* weights, const float* inputs, vec(&sum)[R][N]) NFX_BODY {
            vec p[N];
#pragma GCC unroll 4
            for (int n = 0; n < N; ++n) {
                p[n] = load(weights + n * W);
                if constexpr (R > 1) NFX_IN_REGISTER(p[n]);
            }
#pragma GCC unroll 4
            for (int r = 0; r < R; ++r) {
                const vec v = all(inputs[r * xs]);
#pragma GCC unroll 4
                for (int n = 0; n < N; ++n) sum[r][n] += v * p[n];
            }
        };
        if constexpr (2 * R * N <= REGISTERS / 2) {
            for (int i = 0; i < half; ++i) {
                add(w + size_t(i) * N * W, x + i, a);
                add(second + size_t(i) * N * W, x + half + i, b);
            }
        } else {
            for (int i = 0; i < half; ++i) add(w + size_t(i) * N * W, x + i, a);
#pragma GCC unroll 4
            for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
                for (int n = 0; n < N; ++n) store(y + r * ys + n * W, a[r][n]);
            for (int i = 0; i < half; ++i) add(second + size_t(i) * N * W, x + half + i, b);
#pragma GCC unroll 4
            for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
                for (int n = 0; n < N; ++n) a[r][n] = load(y + r * ys + n * W);
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
            for (int n = 0; n < N; ++n) store(y + r * ys + n * W, a[r][n] + b[r][n]);
        return w + size_t(ins) * N * W;
    }

public:
#if defined(__AVX512F__) || defined(__aarch64__)
    static constexpr int REGISTERS = 32;
#else
    static constexpr int REGISTERS = 16;
#endif

    Product() = default;
    // Pack `weight` (outs, ins), of which `stride` floats are a row. `place` gives the row of y for an output.
    template <class Place>
    Product(const float* from, size_t stride, int outs, int ins, int wide, Place place)
        : ins((ins + 1) / 2 * 2), outs(wide), weight(size_t(this->ins) * wide) {
        for (int o = 0; o < outs; ++o) {
            const int row = place(o);
            const auto [first, vectors] = chunk_of(row);
            float* to = weight.get() + size_t(first) * this->ins + (row - first);
            for (int i = 0; i < ins; ++i) to[size_t(i) * vectors * W] = from[size_t(o) * stride + i];
        }
    }
    int inputs() const { return ins; }
    int outputs() const { return outs; }
    size_t floats() const { return weight.size(); }

    // y = from + M x for R voices, whose vectors are xs, fs and ys floats apart. y may be `from`, and not x.
    template <int R>
    NFX_INLINE void run(const float* x, size_t xs, const float* from, size_t fs, float* y, size_t ys) const {
        const float* w = weight.get();
        int o = 0;
        for (; o + V * W <= outs; o += V * W) w = chunk<R, V>(w, x, xs, from + o, fs, y + o, ys);
        if (V == 4 && o + 2 * W <= outs) {
            w = chunk<R, 2>(w, x, xs, from + o, fs, y + o, ys);
            o += 2 * W;
        }
        if (o < outs) chunk<R, 1>(w, x, xs, from + o, fs, y + o, ys);
    }
};

}  // namespace NFX_ARCH
