// Weights that follow knobs, while the knobs turn.
#pragma once

#include "rows.hpp"

namespace NFX_ARCH {

// Scales and shifts of a network's layers, which move from one set of values to another over GRID samples.
// The values of an array are (scale - 1, shift) of the input of each layer's activation, then scale - 1 of the input of
// the head.
struct Modulation {
    static constexpr int GRID = 64;  // as neural_fx/formats/knobbed.py
    const float* from = nullptr;
    const float* to = nullptr;
    int at = 0;  // samples since the movement began
    bool moving = false;

    explicit operator bool() const { return to; }

    // Return the part after the first `count` values.
    Modulation skip(int count) const { return {from + count, to + count, at, moving}; }

    // Return the progress of the movement, 0 to 1, at the W samples from `t` on.
    vec progress(int t) const {
        vec fraction;
        for (int k = 0; k < W; ++k) fraction[k] = float(at + t + k + 1) * (1.0f / GRID);
        return fraction;
    }

    void scale(Rows x, int channels, int n) const {
        for (int c = 0; c < channels; ++c) {
            const float begin = moving ? from[c] : to[c];
            for (int t = 0; t < n; t += W)
                store(x.row(c) + t, load(x.row(c) + t) * (1.0f + begin + (to[c] - begin) * progress(t)));
        }
    }
    void scale_and_shift(Rows x, int channels, int n) const {
        scale(x, channels, n);
        for (int c = channels; c < 2 * channels; ++c)
            for (int t = 0; t < n; t += W) {
                float* p = x.row(c - channels) + t;
                store(p, load(p) + from[c] + (to[c] - from[c]) * progress(t));
            }
    }
};

}  // namespace NFX_ARCH
