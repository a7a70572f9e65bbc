// A bank of harmonics, as in DDSP. Each harmonic is the one below, rotated by the fundamental, so only the fundamental
// needs a sine. Amplitudes are linear between frames.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "simd.hpp"

namespace NFX_ARCH {

// sin(2 pi x) for x in [-0.5, 0.5], within 6e-8.
inline vec sine_of_turn(vec x) {
    x = pick(x > all(0.25f), all(0.5f) - x, pick(x < all(-0.25f), all(-0.5f) - x, x)) * 6.28318530717958648f;
    const vec s = x * x;
    vec p = all(-2.50521083854417e-8f);
    p = p * s + 2.75573192239859e-6f;
    p = p * s - 1.98412698412698e-4f;
    p = p * s + 8.33333333333333e-3f;
    p = p * s - 1.66666666666667e-1f;
    return x + x * (s * p);
}

// Return W samples of the fundamental as a point (c, s) on the unit circle, from n <= W phases in turns.
inline void point(const double* turns, int n, vec& c, vec& s) {
    alignas(64) float x[W] = {};
    for (int i = 0; i < n; ++i) x[i] = float(turns[i] - std::floor(turns[i] + 0.5));
    const vec v = load(x), quarter = v + 0.25f;
    s = sine_of_turn(v);
    c = sine_of_turn(pick(quarter > all(0.5f), quarter - 1.0f, quarter));
}

// Return the position of W samples between one frame and the next, 0 to 1.
inline vec between_frames(int at, int hop) {
    alignas(64) float x[W];
    for (int i = 0; i < W; ++i) x[i] = float(at + i) / float(hop);
    return load(x);
}

// COUNT vectors of samples of a hop. Several at once, because each rotation waits for the one before.
template <int COUNT>
inline void harmonics_part(const double* turns, const float* from, const float* to, int at, int hop, int count,
                           float* out) {
    vec c[COUNT], s[COUNT], zc[COUNT], zs[COUNT], t[COUNT], sum[COUNT];
    for (int j = 0; j < COUNT; ++j) {
        point(turns + at + j * W, std::min(W, hop - at - j * W), c[j], s[j]);
        zc[j] = c[j];
        zs[j] = s[j];
        t[j] = between_frames(at + j * W, hop);
        sum[j] = vec{};
    }
    for (int k = 0; k < count; ++k) {
        const float begin = from[k];
        const float change = to[k] - from[k];
        for (int j = 0; j < COUNT; ++j) {
            sum[j] += (begin + change * t[j]) * zs[j];
            const vec next = zc[j] * c[j] - zs[j] * s[j];
            zs[j] = zc[j] * s[j] + zs[j] * c[j];
            zc[j] = next;
        }
    }
    for (int j = 0; j < COUNT; ++j) {
        alignas(64) float y[W];
        store(y, sum[j]);
        std::copy_n(y, std::min(W, hop - at - j * W), out + at + j * W);
    }
}

// turns: phases of the fundamental, hops * hop. amplitudes: (hops + 1, count). out: hops * hop samples.
inline void harmonics(const double* turns, const float* amplitudes, int hops, int hop, int count, float* out) {
    constexpr int TOGETHER = 4;
    for (int h = 0; h < hops; ++h) {
        const float* from = amplitudes + size_t(h) * count;
        const double* now = turns + size_t(h) * hop;
        float* to = out + size_t(h) * hop;
        int at = 0;
        for (; at + TOGETHER * W <= hop; at += TOGETHER * W)
            harmonics_part<TOGETHER>(now, from, from + count, at, hop, count, to);
        for (; at < hop; at += W) harmonics_part<1>(now, from, from + count, at, hop, count, to);
    }
}

// Write the gradient of the amplitudes, (hops + 1, count), from the gradient of the audio.
inline void harmonics_adjoint(const double* turns, const float* d_out, int hops, int hop, int count, float* gradients) {
    std::vector<float> sums(size_t(2) * count * W + W);
    float* at64 = reinterpret_cast<float*>((reinterpret_cast<size_t>(sums.data()) + W * 4 - 1) / (W * 4) * (W * 4));
    std::fill(gradients, gradients + size_t(hops + 1) * count, 0.0f);
    for (int h = 0; h < hops; ++h) {
        std::fill(at64, at64 + size_t(2) * count * W, 0.0f);
        for (int at = 0; at < hop; at += W) {
            const int n = std::min(W, hop - at);
            alignas(64) float g[W] = {};
            std::copy(d_out + size_t(h) * hop + at, d_out + size_t(h) * hop + at + n, g);
            vec c, s;
            point(turns + size_t(h) * hop + at, n, c, s);
            const vec d = load(g), to_next = d * between_frames(at, hop), to_this = d - to_next;
            vec zc = c, zs = s;
            for (int k = 0; k < count; ++k) {
                float* sum = at64 + size_t(2) * k * W;
                store(sum, load(sum) + to_this * zs);
                store(sum + W, load(sum + W) + to_next * zs);
                const vec next = zc * c - zs * s;
                zs = zc * s + zs * c;
                zc = next;
            }
        }
        float* to = gradients + size_t(h) * count;
        for (int k = 0; k < count; ++k)
            for (int i = 0; i < W; ++i) {
                to[k] += at64[size_t(2) * k * W + i];
                to[count + k] += at64[size_t(2) * k * W + W + i];
            }
    }
}

}  // namespace NFX_ARCH
