// Convolutions by vectors: time is contiguous, and a tile of 4 outputs x V vectors of time stays in registers while the
// loop runs over taps and inputs.
#pragma once

#include <vector>

#include "rows.hpp"

namespace NFX_ARCH {

// Weights in the order in which the kernel reads them: for each group of up to 4 outputs, for each tap and input, one
// weight for each output. A 1x1 convolution of another signal (the condition) may be joined. Its weights follow those
// of each group.
struct Packed {
    int out = 0;
    int in = 0;
    int taps = 1;
    int dilation = 1;
    int joined = 0;  // channels of the other signal
    std::vector<float> weight;
    std::vector<float> bias;

    explicit Packed(const nfx::Conv& c, const nfx::Conv* other = nullptr)
        : out(c.out), in(c.in), taps(c.taps), dilation(c.dilation), joined(other ? other->in : 0), bias(c.bias) {
        if (out == 0) return;
        bias.resize(out, 0.0f);
        for (int g = 0; g < out; g += width(g)) {
            for (int k = 0; k < taps; ++k)
                for (int i = 0; i < in; ++i)
                    for (int o = g; o < g + width(g); ++o) weight.push_back(c.weight[(size_t(o) * in + i) * taps + k]);
            for (int i = 0; i < joined; ++i)
                for (int o = g; o < g + width(g); ++o) weight.push_back(other->weight[size_t(o) * joined + i]);
        }
    }

    // Return the size of the group that begins at output `g`: 4, but 6 outputs are 3 + 3, because 4 + 2 is slower.
    int width(int g) const {
        const int left = out - g;
        return left == 6 ? 3 : left >= 4 ? 4 : left;
    }

    // Samples before the present one that the convolution reads.
    int history() const { return (taps - 1) * dilation; }

    // Set the weights to those of `base` with scaled and shifted outputs.
    void scale_outputs(const Packed& base, const float* scale, const float* shift) {
        float* w = weight.data();
        const float* from = base.weight.data();
        for (int g = 0; g < out; g += width(g))
            for (int i = 0; i < taps * in + joined; ++i)
                for (int o = 0; o < width(g); ++o) *w++ = *from++ * scale[g + o];
        for (int o = 0; o < out; ++o) bias[o] = base.bias[o] * scale[o] + shift[o];
    }
};

// sum[o] = bias[o] + conv(in)[o] + joined(other)[o], for O outputs from `g` on and T vectors of time from `t0` on.
// A single loop nest keeps the sums in registers, and `end` takes them from there.
template <int O, int T, class End>
inline void tile(const Packed& c, const float* w, int g, Rows in, Rows other, int t0, End end) {
    vec sum[O][T];
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o)
#pragma GCC unroll 4
        for (int t = 0; t < T; ++t) sum[o][t] = all(c.bias[g + o]);
    const float* past = in.p + t0 - ptrdiff_t(c.taps - 1) * c.dilation;
    const int parts = c.taps + (c.joined > 0);  // the joined convolution is one more tap, of another signal
    for (int k = 0; k < parts; ++k, past += c.dilation) {
        const bool own = k < c.taps;
        const float* x = own ? past : other.p + t0;
        const size_t stride = own ? in.stride : other.stride;
        const int count = own ? c.in : c.joined;
#pragma GCC unroll 8
        for (int i = 0; i < count; ++i, x += stride, w += O) {
            vec now[T];
#pragma GCC unroll 4
            for (int t = 0; t < T; ++t) now[t] = load(x + t * W);
#pragma GCC unroll 4
            for (int o = 0; o < O; ++o)
#pragma GCC unroll 4
                for (int t = 0; t < T; ++t) sum[o][t] += w[o] * now[t];
        }
    }
    end(sum, g, t0);
}

// All samples of a group of outputs.
template <int O, class End>
inline void group(const Packed& c, const float* w, int g, Rows in, Rows other, int n, End end) {
    int t = 0;
    for (; n - t > (V - 1) * W; t += V * W) tile<O, V>(c, w, g, in, other, t, end);
    for (; t < n; t += W) tile<O, 1>(c, w, g, in, other, t, end);
}

// All outputs and samples.
template <class End>
inline void conv_to(const Packed& c, Rows in, Rows other, int n, End end) {
    const float* w = c.weight.data();
    for (int g = 0, o = 0; g < c.out; g += o) {
        o = c.width(g);
        switch (o) {
            case 1: group<1>(c, w, g, in, other, n, end); break;
            case 2: group<2>(c, w, g, in, other, n, end); break;
            case 3: group<3>(c, w, g, in, other, n, end); break;
            default: group<4>(c, w, g, in, other, n, end);
        }
        w += size_t(o) * (size_t(c.taps) * c.in + c.joined);
    }
}

// Call f(output, offset in time, vector) for each of the O x T vectors of a tile.
template <int O, int T, class F>
NFX_INLINE void each_of(const vec (&sum)[O][T], F f) {
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o)
#pragma GCC unroll 4
        for (int t = 0; t < T; ++t) f(o, t * W, sum[o][t]);
}

// out = add + conv(in) + joined(other). `add` and `other` are optional.
inline void conv(const Packed& c, Rows in, Rows out, int n, const Rows* add = nullptr, Rows other = {}) {
    if (add)
        conv_to(c, in, other, n, [out, &add = *add](const auto& sum, int g, int t0) NFX_BODY {
            each_of(sum, [&](int o, int t, vec v)
                             NFX_BODY { store(out.row(g + o) + t0 + t, v + load(add.row(g + o) + t0 + t)); });
        });
    else
        conv_to(c, in, other, n, [out](const auto& sum, int g, int t0) NFX_BODY {
            each_of(sum, [&](int o, int t, vec v) NFX_BODY { store(out.row(g + o) + t0 + t, v); });
        });
}

}  // namespace NFX_ARCH
