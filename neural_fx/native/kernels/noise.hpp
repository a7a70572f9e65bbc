// White noise through filters that change every hop.
#pragma once

#include <algorithm>
#include <vector>

#include "simd.hpp"

namespace NFX_ARCH {

// Filter noise by bands.
//   basis: (bands, taps), from magnitudes to the windowed filter.
//   magnitudes: (hops, bands).
//   white: (hops, hop), where hop is a multiple of 16.
//   tail: (taps), the rest of earlier hops. It is read and replaced.
//   out: (hops, hop).
inline void filtered_noise(const float* basis, const float* magnitudes, const float* white, int hops, int bands,
                           int taps, int hop, float* tail, float* out) {
    std::vector<float> filter(size_t(taps) + W);
    std::vector<float> sum(size_t(hop + taps) + W);
    std::copy(tail, tail + taps, sum.begin());
    for (int h = 0; h < hops; ++h) {
        std::fill(filter.begin(), filter.end(), 0.0f);
        for (int m = 0; m < bands; ++m) {
            const float level = magnitudes[size_t(h) * bands + m];
            for (int t = 0; t < taps; ++t) filter[t] += level * basis[size_t(m) * taps + t];
        }
        std::fill(sum.begin() + taps, sum.end(), 0.0f);
        const float* x = white + size_t(h) * hop;
        for (int i = 0; i < hop; ++i) {
            const vec v = all(x[i]);
            float* to = sum.data() + i;
            for (int t = 0; t < taps; t += W) store(to + t, load(to + t) + v * load(filter.data() + t));
        }
        std::copy(sum.begin(), sum.begin() + hop, out + size_t(h) * hop);
        std::copy(sum.begin() + hop, sum.begin() + hop + taps, sum.begin());
    }
    std::copy(sum.begin(), sum.begin() + taps, tail);
}

}  // namespace NFX_ARCH
