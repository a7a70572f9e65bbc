// tanh and sigmoid with little latency, for recurrent networks on AVX-512.
#pragma once

#include <cmath>

#include "simd.hpp"

#if defined(__AVX512DQ__)

namespace NFX_ARCH {

// tanh and sigmoid as 32 polynomials, each for a quarter of a unit of |x| (sigmoid: a half). They interpolate at the
// zeros of a Chebyshev polynomial. Coefficients come from tables in registers.
//
// Each sample of a recurrent network waits for the one before, so latency matters most. It is two thirds of that of a
// rational function. The error is within 3e-7 for degree 4, and within 6e-6 for degree 3.
template <int DEGREE>
class Pieces {
    static constexpr float TOP = 7.874f;  // a rounding below the end of the last piece
    struct alignas(64) Table {
        float c[DEGREE + 1][32];
    };
    Table of_tanh;
    Table of_sigmoid;  // of sigmoid - 1/2, which is odd

    // Evaluate the odd function of a table, in pieces 2^-BITS wide.
    template <int BITS>
    [[gnu::always_inline]] static vec pieces(const Table& table, vec x) {
        constexpr float wide = 4.0f / (1 << BITS);
        // The smaller of |x| and the top.
        const __m512 a = _mm512_range_ps((__m512)x, _mm512_set1_ps(TOP * wide), 0b1010);
        // Adding 1.5 * 2^23 rounds to an integer, which is the piece's number in the lowest bits.
        const __m512 piece = _mm512_fmadd_ps(a, _mm512_set1_ps(4 / wide), _mm512_set1_ps(12582912.0f));
        const vec d = (vec)_mm512_reduce_ps(a, BITS << 4);  // distance from the middle of the piece
        const auto c = [&](int j) {
            const float* of = table.c[j];
            return (vec)_mm512_permutex2var_ps(_mm512_load_ps(of), (__m512i)piece, _mm512_load_ps(of + 16));
        };
        const vec d2 = d * d;
        const vec low = c(1) * d + c(0);
        vec high = c(3) * d + c(2);
        if constexpr (DEGREE == 4) high = c(4) * d2 + high;
        const __m512i sign = _mm512_set1_epi32(int(0x80000000u));
        // The sign of x: value | (x & sign).
        return (vec)_mm512_ternarylogic_epi32((__m512i)(high * d2 + low), (__m512i)x, sign, 0xf8);
    }

public:
    Pieces() {
        constexpr int n = DEGREE + 1;
        for (int k = 0; k < 32; ++k) {
            double at[n], value[n], c[n] = {};
            for (int i = 0; i < n; ++i) {
                at[i] = 0.125 * std::cos((2 * i + 1) * 3.14159265358979323846 / (2 * n));
                value[i] = std::tanh(0.25 * k + at[i]);
            }
            for (int j = 1; j < n; ++j)  // Newton's divided differences
                for (int i = n - 1; i >= j; --i) value[i] = (value[i] - value[i - 1]) / (at[i] - at[i - j]);
            for (int i = n - 1; i >= 0; --i) {  // c = c * (d - at[i]) + value[i]
                for (int j = n - 1; j > 0; --j) c[j] = c[j - 1] - at[i] * c[j];
                c[0] = value[i] - at[i] * c[0];
            }
            for (int j = 0; j < n; ++j) {
                of_tanh.c[j][k] = float(c[j]);
                of_sigmoid.c[j][k] = float(std::ldexp(c[j], -j - 1));  // tanh(x / 2) / 2
            }
        }
    }
    vec tanh(vec x) const { return pieces<2>(of_tanh, x); }
    vec sigmoid(vec x) const { return 0.5f + pieces<1>(of_sigmoid, x); }
};

}  // namespace NFX_ARCH

#endif
