// Portable vectors (GCC and Clang extensions) and the functions networks need on them.
// Every instruction set compiles this file for itself, in a namespace of its own (NFX_ARCH).
#pragma once

#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#ifndef NFX_ARCH
#define NFX_ARCH generic
#endif

// For functions in inner loops, where a call costs more than its work.
#define NFX_INLINE [[gnu::always_inline]] inline
#define NFX_BODY __attribute__((always_inline))  // of a lambda

namespace NFX_ARCH {

#if defined(__AVX512F__)
constexpr int W = 16;  // floats in a vector
constexpr int V = 4;   // vectors of time in a tile: 4 outputs x 4 vectors of 32 registers
#elif defined(__AVX2__)
constexpr int W = 8;
constexpr int V = 2;
#elif defined(__aarch64__)
constexpr int W = 4;
constexpr int V = 4;
#else
constexpr int W = 4;
constexpr int V = 2;
#endif

typedef float vec __attribute__((vector_size(W * sizeof(float))));
typedef int mask __attribute__((vector_size(W * sizeof(int))));

NFX_INLINE vec load(const float* p) {
    vec v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
NFX_INLINE void store(float* p, vec v) { std::memcpy(p, &v, sizeof v); }
NFX_INLINE vec all(float x) { return x - vec{}; }
NFX_INLINE vec pick(mask m, vec a, vec b) { return m ? a : b; }
// One instruction, for which compilers make a comparison and a blend. If an operand is NaN, the result is the second
// one.
#if defined(__AVX512F__)
NFX_INLINE vec vmin(vec a, vec b) { return (vec)_mm512_min_ps((__m512)a, (__m512)b); }
NFX_INLINE vec vmax(vec a, vec b) { return (vec)_mm512_max_ps((__m512)a, (__m512)b); }
#elif defined(__AVX2__)
NFX_INLINE vec vmin(vec a, vec b) { return (vec)_mm256_min_ps((__m256)a, (__m256)b); }
NFX_INLINE vec vmax(vec a, vec b) { return (vec)_mm256_max_ps((__m256)a, (__m256)b); }
#else
NFX_INLINE vec vmin(vec a, vec b) { return pick(a < b, a, b); }
NFX_INLINE vec vmax(vec a, vec b) { return pick(a > b, a, b); }
#endif

// Limit to [-limit, limit].
NFX_INLINE vec clamp(vec x, float limit) {
#if defined(__AVX512DQ__)
    return (vec)_mm512_range_ps((__m512)x, _mm512_set1_ps(limit), 2);  // the smaller magnitude, with the sign of x
#else
    return vmax(vmin(x, all(limit)), all(-limit));
#endif
}

NFX_INLINE vec divide(vec a, vec b) {
#if defined(__AVX512F__)
    // An estimate of 14 bits and one Newton step: 28 bits, a quarter of the time of a division.
    const __m512 q = (__m512)b;
    __m512 r = _mm512_rcp14_ps(q);
    r = _mm512_mul_ps(r, _mm512_fnmadd_ps(q, r, _mm512_set1_ps(2.0f)));
    return a * (vec)r;
#else
    return a / b;
#endif
}

// tanh as a rational of degrees 7 and 8 on [-8.2, 8.2], its relative error minimised by Lawson's iteration (1.8e-7; in
// float32, and clamped, within 4e-7 of tanh).
NFX_INLINE vec vtanh(vec x) {
    x = clamp(x, 8.2f);
    const vec s = x * x;
    vec p = all(1.122305371e-05f);
    p = p * s + 2.932029926e-03f;
    p = p * s + 1.290798964e-01f;
    p = p * s + 9.999998205e-01f;
    vec q = all(2.393597416e-07f);
    q = q * s + 2.359834570e-04f;
    q = q * s + 2.373787601e-02f;
    q = q * s + 4.624118024e-01f;
    q = q * s + 1.0f;
    return x * p / q;  // the divider is idle here, and the estimate of `divide` would keep the multipliers busy
}
// tanh for recurrent networks, in which errors feed back: a rational of degrees 13 and 6 on [-9, 9], the minimax fit
// that Eigen uses. It is within 4e-7, and six times closer than `vtanh` on average. Terms are summed in pairs. That
// takes more multiplications and half the latency, and latency matters because each step waits for the one before.
NFX_INLINE vec quick_tanh(vec x) {
    x = clamp(x, 9.0f);
    const vec s = x * x, s2 = s * s, s4 = s2 * s2;
    const vec p0 = 6.37261928875436e-04f * s + 4.89352455891786e-03f;
    const vec p2 = 5.12229709037114e-08f * s + 1.48572235717979e-05f;
    const vec p4 = 2.00018790482477e-13f * s - 8.60467152213735e-11f;
    const vec q0 = 2.26843463243900e-03f * s + 4.89352518554385e-03f;
    const vec q2 = 1.19825839466702e-06f * s + 1.18534705686654e-04f;
    const vec p = (p2 * s2 + p0) + s4 * (-2.76076847742355e-16f * s2 + p4);
    return divide(x * p, q2 * s2 + q0);
}
NFX_INLINE vec quick_sigmoid(vec x) { return 0.5f + 0.5f * quick_tanh(0.5f * x); }

// tanh for "cpu-fast": a rational of degrees 7 and 6 on [-7.5, 7.5], within 1.5e-6. ROUGH replaces the division by an
// estimate of 14 bits where the processor has one. That is too rough for recurrent networks, in which errors feed back.
template <bool ROUGH>
NFX_INLINE vec faster_tanh(vec x) {
    x = clamp(x, 7.5f);
    const vec s = x * x, s2 = s * s;
    const vec p = (3.662975599e-06f * s + 2.218719175e-03f) * s2 + (1.223588992e-01f * s + 9.999929147e-01f);
    const vec q = (1.361041503e-04f * s + 2.079786485e-02f) * s2 + (4.556688410e-01f * s + 1.0f);
#if defined(__AVX512F__)
    if constexpr (ROUGH) return x * p * (vec)_mm512_rcp14_ps((__m512)q);
#endif
    return divide(x * p, q);
}
NFX_INLINE vec fast_tanh(vec x) { return faster_tanh<true>(x); }
NFX_INLINE vec fast_sigmoid(vec x) { return 0.5f + 0.5f * fast_tanh(0.5f * x); }
NFX_INLINE vec vsigmoid(vec x) { return 0.5f + 0.5f * vtanh(0.5f * x); }
NFX_INLINE vec vsqrt(vec x) {
#if defined(__AVX512F__)
    return (vec)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX2__)
    return (vec)_mm256_sqrt_ps((__m256)x);
#else
    for (int i = 0; i < W; ++i) x[i] = __builtin_sqrtf(x[i]);
    return x;
#endif
}
// exp(x) for x of at most 88, within 2 units in the last place. Below -87 it is 0.
// x = n ln 2 + r; a polynomial for exp(r) (Cephes), and n goes into the exponent.
NFX_INLINE vec vexp(vec x) {
    const vec bounded = vmax(x, all(-87.0f));
    const vec round = all(12582912.0f);  // 1.5 * 2^23: adding it rounds to whole numbers
    const vec n = (bounded * 1.44269504f + round) - round;
    const vec r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;
    vec p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const vec power = (vec)((__builtin_convertvector(n, mask) + 127) << 23);
    return pick(x < all(-87.0f), vec{}, p * power);
}
// log(1 + x) for x in [0, 1], within 2 units in the last place: 2 artanh(x / (2 + x)) as a series.
NFX_INLINE vec vlog1p_unit(vec x) {
    const vec z = x / (2.0f + x);
    const vec s = z * z;
    vec p = all(2.0f / 15);
    p = p * s + 2.0f / 13;
    p = p * s + 2.0f / 11;
    p = p * s + 2.0f / 9;
    p = p * s + 2.0f / 7;
    p = p * s + 2.0f / 5;
    p = p * s + 2.0f / 3;
    p = p * s + 2.0f;
    return z * p;
}
NFX_INLINE vec vabs(vec x) { return vmax(x, -x); }

}  // namespace NFX_ARCH
