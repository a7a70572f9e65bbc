// Numbers as two bfloat16 halves, and rows of lanes: the formats of the matrix units.
#pragma once

#include "../rows.hpp"

namespace NFX_ARCH {

constexpr int TILE_ROWS = 16;
constexpr int TILE = TILE_ROWS * W;  // floats in a tile

// Split each number into bfloat16 halves: the rounded upper 16 bits, and in the lower 16 bits the rest.
NFX_INLINE vec halves(vec x) {
    const __m512i half_unit = _mm512_set1_epi32(0x8000);
    const __m512i upper_bits = _mm512_set1_epi32(int(0xffff0000u));
    const __m512i upper = _mm512_and_si512(_mm512_add_epi32((__m512i)x, half_unit), upper_bits);
    const __m512i rest = _mm512_add_epi32((__m512i)(x - (vec)upper), half_unit);
    return (vec)_mm512_or_si512(upper, _mm512_srli_epi32(rest, 16));
}

// Repeat numbers by channel in the lanes of every sample of a row. Lanes beyond the channels are 0.
inline vec by_lane(const float* values, int channels, int lanes) {
    vec row{};
    for (int i = 0; i < W; ++i)
        if (i % lanes < channels) row[i] = values[i % lanes];
    return row;
}

// Convert rows of LANES vectors, 16 samples x LANES lanes each, to signals: a row of samples for each channel.
template <int LANES>
inline void transpose(const float* from, Rows to, int channels, int n) {
    const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odds = _mm512_add_epi32(evens, _mm512_set1_epi32(1));
    for (int t = 0; t < n; t += W, from += LANES * W) {
        __m512 rows[LANES];
        __m512 sorted[LANES];
        for (int i = 0; i < LANES; ++i) rows[i] = _mm512_loadu_ps(from + i * W);
        // A number's position is (sample, lane). Each round moves the lowest bit of the lane to the top, so after
        // log2(LANES) rounds the position is (lane, sample).
        for (int half = 1; half < LANES; half *= 2) {
            for (int i = 0; i < LANES / 2; ++i) {
                sorted[i] = _mm512_permutex2var_ps(rows[2 * i], evens, rows[2 * i + 1]);
                sorted[LANES / 2 + i] = _mm512_permutex2var_ps(rows[2 * i], odds, rows[2 * i + 1]);
            }
            std::copy(sorted, sorted + LANES, rows);
        }
        for (int c = 0; c < channels; ++c) _mm512_storeu_ps(to.row(c) + t, rows[c]);
    }
}

}  // namespace NFX_ARCH
