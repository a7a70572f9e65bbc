// What a core can do at most: multiply-adds, and reading memory.
#pragma once

#include <chrono>

#include "memory.hpp"
#include "simd.hpp"

// Make the compiler believe that a vector register is used, so that it does not remove a measurement.
#if defined(__AVX512F__)
#define NFX_KEEP(v) asm volatile("" : "+v"(v))
#elif defined(__x86_64__)
#define NFX_KEEP(v) asm volatile("" : "+x"(v))
#elif defined(__aarch64__)
#define NFX_KEEP(v) asm volatile("" : "+w"(v))
#else
#define NFX_KEEP(v) asm volatile("" : "+m"(v))
#endif

namespace NFX_ARCH {

inline double fma_peak() {
    // Enough chains to hide the latency of a multiply-add, and few enough to stay in registers.
    constexpr int chains = W == 16 ? 24 : 12;
    vec acc[chains];
#pragma GCC unroll 24
    for (int i = 0; i < chains; ++i) acc[i] = all(0.5f + i);
    const vec a = all(0.999f);
    const vec b = all(0.001f);
    const long rounds = 400000;
    const auto began = std::chrono::steady_clock::now();
    for (long r = 0; r < rounds; ++r) {
#pragma GCC unroll 24
        for (int i = 0; i < chains; ++i) {
            acc[i] = acc[i] * a + b;
            NFX_KEEP(acc[i]);
        }
    }
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - began;
    return 2e-9 * W * chains * rounds / spent.count();
}

// Read `bytes` again and again.
inline double read_peak(size_t bytes) {
    constexpr int chains = 8;
    const size_t step = chains * W;
    const size_t floats = (bytes / sizeof(float) + step - 1) / step * step;
    const nfx::Buffer memory(floats);
    const long rounds = long(4e8 / double(floats * sizeof(float))) + 1;
    double best = 0;
    // The best of several, because other programs share the cache.
    for (int attempt = 0; attempt < 4; ++attempt) {
        const auto began = std::chrono::steady_clock::now();
        for (long r = 0; r < rounds; ++r)
            for (const float* p = memory.get(); p < memory.get() + floats; p += step)
#pragma GCC unroll 8
                for (int i = 0; i < chains; ++i) {
                    vec v = load(p + i * W);
                    NFX_KEEP(v);
                }
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - began;
        best = std::max(best, 1e-9 * double(rounds) * double(floats * sizeof(float)) / spent.count());
    }
    return best;
}

}  // namespace NFX_ARCH
