// Signals of several channels in blocks of up to BLOCK samples, and what is done to them sample by sample.
#pragma once

#include <type_traits>
#include <utility>

#include "memory.hpp"
#include "nets.hpp"
#include "simd.hpp"

namespace NFX_ARCH {

constexpr int BLOCK = 256;
constexpr int SLACK = 64;  // readable floats after the last sample of a row

struct Rows {
    float* p;
    size_t stride;
    float* row(int i) const { return p + i * stride; }
};

template <class F>
inline void each(float* x, int n, F f) {
    for (int t = 0; t < n; t += W) store(x + t, f(load(x + t)));
}

NFX_INLINE vec nam_fast_tanh(vec x) {  // the one that captures ask for by name
    const vec a = vabs(x), s = x * x;
    const vec top = x * (2.45550750702956f + 2.45550750702956f * a + (0.893229853513558f + 0.821226666969744f * a) * s);
    return top / (2.44506634652299f + (2.44506634652299f + s) * vabs(x + 0.814642734961073f * x * a));
}

// Activations as functions of a vector. `slopes`: prelu's, which has one per channel.
template <vec (*F)(vec)>
struct Plain {
    Plain(const nfx::Activation&, vec) {}
    NFX_INLINE vec operator()(vec v) const { return F(v); }
};
struct LeakyReLU {
    float slope;
    LeakyReLU(const nfx::Activation& act, vec) : slope(act.params[0]) {}
    NFX_INLINE vec operator()(vec v) const { return pick(v > 0, v, v * slope); }
};
struct PReLU {
    vec slopes;
    PReLU(const nfx::Activation&, vec slopes) : slopes(slopes) {}
    NFX_INLINE vec operator()(vec v) const { return pick(v > 0, v, v * slopes); }
};
struct LeakyHardtanh {
    float low, high, below, above;
    LeakyHardtanh(const nfx::Activation& act, vec)
        : low(act.params[0]), high(act.params[1]), below(act.params[2]), above(act.params[3]) {}
    NFX_INLINE vec operator()(vec v) const {
        return pick(v < low, (v - low) * below + low, pick(v > high, (v - high) * above + high, v));
    }
};
NFX_INLINE vec hardtanh(vec v) { return vmax(vmin(v, all(1)), all(-1)); }
NFX_INLINE vec relu(vec v) { return vmax(v, vec{}); }
NFX_INLINE vec silu(vec v) { return v * vsigmoid(v); }
NFX_INLINE vec hardswish(vec v) { return v * vmax(vmin(v + 3, all(6)), vec{}) * (1.0f / 6); }
NFX_INLINE vec softsign(vec v) { return divide(v, 1 + vabs(v)); }
NFX_INLINE vec linear(vec v) { return v; }

// Call `what` with the type of an activation.
template <class What>
inline void with_function(nfx::Act kind, What what) {
    switch (kind) {
        case nfx::Act::tanh: return what(std::type_identity<Plain<vtanh>>());
        case nfx::Act::tanh_fast: return what(std::type_identity<Plain<fast_tanh>>());
        case nfx::Act::fasttanh: return what(std::type_identity<Plain<nam_fast_tanh>>());
        case nfx::Act::hardtanh: return what(std::type_identity<Plain<hardtanh>>());
        case nfx::Act::relu: return what(std::type_identity<Plain<relu>>());
        case nfx::Act::leaky_relu: return what(std::type_identity<LeakyReLU>());
        case nfx::Act::prelu: return what(std::type_identity<PReLU>());
        case nfx::Act::sigmoid: return what(std::type_identity<Plain<vsigmoid>>());
        case nfx::Act::sigmoid_fast: return what(std::type_identity<Plain<fast_sigmoid>>());
        case nfx::Act::silu: return what(std::type_identity<Plain<silu>>());
        case nfx::Act::hardswish: return what(std::type_identity<Plain<hardswish>>());
        case nfx::Act::leaky_hardtanh: return what(std::type_identity<LeakyHardtanh>());
        case nfx::Act::softsign: return what(std::type_identity<Plain<softsign>>());
        case nfx::Act::linear: return what(std::type_identity<Plain<linear>>());
    }
}

// Past and present of a signal: rows of history, then room for blocks; moved to the front when the room is used up.
class Line {
    nfx::Buffer buffer;
    int channels = 0, history = 0, room = 0, at = 0;
    size_t stride = 0;

public:
    Line(int channels, int history) : channels(channels), history((history + 15) / 16 * 16) {
        room = std::max(512, this->history) + BLOCK;
        stride = size_t(this->history) + room + SLACK;
        buffer = nfx::Buffer(stride * channels);
        clear();
    }
    void clear() {
        buffer.clear();
        at = history;
    }
    Rows now() { return {buffer.get() + at, stride}; }
    void advance(int n) {
        at += n;
        if (at + BLOCK <= history + room) return;
        for (int c = 0; c < channels; ++c) {
            float* row = buffer.get() + c * stride;
            std::memmove(row, row + at - history, history * sizeof(float));
        }
        at = history;
    }
};

inline int padded(int n) { return (n + W - 1) / W * W; }

inline void plus(Rows x, Rows y, int channels, int n) {
    for (int c = 0; c < channels; ++c)
        for (int t = 0; t < n; t += W) store(x.row(c) + t, load(x.row(c) + t) + load(y.row(c) + t));
}

inline void copy(Rows from, Rows to, int channels, int n) {
    for (int c = 0; c < channels; ++c) std::memcpy(to.row(c), from.row(c), padded(n) * sizeof(float));
}

// A modulation of a network's layers, on its way from one set of values to another over GRID samples: per stack (scale
// - 1, shift) of what goes into each layer's activation, then the scale - 1 of what the head reads.
struct Modulation {
    static constexpr int GRID = 64;  // as neural_fx/formats/knobbed.py
    const float *from = nullptr, *to = nullptr;
    int at = 0;  // samples since the way began
    bool moving = false;

    explicit operator bool() const { return to; }
    Modulation skip(int count) const { return {from + count, to + count, at, moving}; }

    // How far on the way the W samples from `t` on are, 0 to 1.
    vec progress(int t) const {
        vec w;
        for (int k = 0; k < W; ++k) w[k] = float(at + t + k + 1) * (1.0f / GRID);
        return w;
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
