// White noise through filters that change every hop.
#pragma once

#include <algorithm>
#include <vector>

#include "simd.hpp"

namespace NFX_ARCH {

// From magnitudes to the taps of a filter. basis: (bands, taps). filter: (taps).
inline void noise_filter(const float* basis, const float* magnitudes, int bands, int taps, float* filter) {
    std::fill(filter, filter + taps, 0.0f);
    for (int m = 0; m < bands; ++m) {
        const float level = magnitudes[m];
        for (int t = 0; t < taps; ++t) filter[t] += level * basis[size_t(m) * taps + t];
    }
}

// Add a hop of filtered noise to `sum`: outputs i of the convolution for i below hop + taps.
// noise: (hop). filter: the taps, with `noise_margin()` zeros before and after them. sum: room for
// `noise_room(hop, taps)`. The taps slide past the noise, so that no load waits for a store.
constexpr int NOISE_TOGETHER = 4;  // vectors of output at once
constexpr int noise_margin() { return NOISE_TOGETHER * W; }
inline int noise_room(int hop, int taps) {
    const int step = NOISE_TOGETHER * W;
    return (hop + taps + step - 1) / step * step;
}
inline void convolve_noise(const float* noise, int hop, const float* filter, int taps, float* sum) {
    const int step = NOISE_TOGETHER * W;
    for (int start = 0; start < hop + taps; start += step) {
        vec total[NOISE_TOGETHER];
        for (int j = 0; j < NOISE_TOGETHER; ++j) total[j] = load(sum + start + j * W);
        const int end = std::min(hop, start + step);
        for (int i = std::max(0, start - taps); i < end; ++i) {
            const vec x = all(noise[i]);
            for (int j = 0; j < NOISE_TOGETHER; ++j) total[j] += x * load(filter + start - i + j * W);
        }
        for (int j = 0; j < NOISE_TOGETHER; ++j) store(sum + start + j * W, total[j]);
    }
}

// Filter noise by bands.
//   basis: (bands, taps), from magnitudes to the windowed filter.
//   magnitudes: (hops, bands).
//   white: (hops, hop), where hop is a multiple of 16.
//   tail: (taps), the rest of earlier hops. It is read and replaced.
//   out: (hops, hop).
inline void filtered_noise(const float* basis, const float* magnitudes, const float* white, int hops, int bands,
                           int taps, int hop, float* tail, float* out) {
    std::vector<float> filter(size_t(taps + 2 * noise_margin()));
    std::vector<float> sum(size_t(noise_room(hop, taps)));
    std::copy(tail, tail + taps, sum.begin());
    for (int h = 0; h < hops; ++h) {
        noise_filter(basis, magnitudes + size_t(h) * bands, bands, taps, filter.data() + noise_margin());
        std::fill(sum.begin() + taps, sum.end(), 0.0f);
        convolve_noise(white + size_t(h) * hop, hop, filter.data() + noise_margin(), taps, sum.data());
        std::copy(sum.begin(), sum.begin() + hop, out + size_t(h) * hop);
        std::copy(sum.begin() + hop, sum.begin() + hop + taps, sum.begin());
    }
    std::copy(sum.begin(), sum.begin() + taps, tail);
}

}  // namespace NFX_ARCH
