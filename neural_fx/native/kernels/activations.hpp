// Activations: functions of a vector, and of rows in place.
#pragma once

#include <type_traits>

#include "rows.hpp"

namespace NFX_ARCH {

// The approximation that .nam files name "Fasttanh". Its errors are part of the sound, so it is copied exactly.
NFX_INLINE vec nam_fast_tanh(vec x) {
    const vec a = vabs(x), s = x * x;
    const vec top = x * (2.45550750702956f + 2.45550750702956f * a + (0.893229853513558f + 0.821226666969744f * a) * s);
    return top / (2.44506634652299f + (2.44506634652299f + s) * vabs(x + 0.814642734961073f * x * a));
}

// Activations as functions of a vector. Those with parameters are built from the description. `slopes` are for PReLU
// only, which has one for each channel.
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

// Call `use` with the type of an activation, so that the code for each kind is compiled for itself.
template <class Use>
inline void with_function(nfx::Act kind, Use use) {
    switch (kind) {
        case nfx::Act::tanh: return use(std::type_identity<Plain<vtanh>>());
        case nfx::Act::tanh_fast: return use(std::type_identity<Plain<fast_tanh>>());
        case nfx::Act::fasttanh: return use(std::type_identity<Plain<nam_fast_tanh>>());
        case nfx::Act::hardtanh: return use(std::type_identity<Plain<hardtanh>>());
        case nfx::Act::relu: return use(std::type_identity<Plain<relu>>());
        case nfx::Act::leaky_relu: return use(std::type_identity<LeakyReLU>());
        case nfx::Act::prelu: return use(std::type_identity<PReLU>());
        case nfx::Act::sigmoid: return use(std::type_identity<Plain<vsigmoid>>());
        case nfx::Act::sigmoid_fast: return use(std::type_identity<Plain<fast_sigmoid>>());
        case nfx::Act::silu: return use(std::type_identity<Plain<silu>>());
        case nfx::Act::hardswish: return use(std::type_identity<Plain<hardswish>>());
        case nfx::Act::leaky_hardtanh: return use(std::type_identity<LeakyHardtanh>());
        case nfx::Act::softsign: return use(std::type_identity<Plain<softsign>>());
        case nfx::Act::linear: return use(std::type_identity<Plain<linear>>());
    }
}

// Apply an activation to a row of a channel, or to rows.
inline void activate(const nfx::Activation& act, float* row, int channel, int n) {
    const vec slopes = act.kind == nfx::Act::prelu ? all(act.params[channel]) : vec{};
    with_function(act.kind, [&](auto function) { each(row, n, typename decltype(function)::type(act, slopes)); });
}
inline void activate(const nfx::Activation& act, Rows x, int channels, int n) {
    for (int c = 0; c < channels; ++c) activate(act, x.row(c), c, n);
}

}  // namespace NFX_ARCH
