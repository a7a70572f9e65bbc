// A WaveNet of the commonest shape, in blocks of many sizes, and an LSTM, with weights and an input that any machine
// makes the same: prints their outputs, so that architectures can be compared.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

#include "nets.hpp"
#include "recurrent.hpp"
#include "wavenet.hpp"

static std::uint32_t state = 1;
static float random_one() {  // -1 to 1
    state = state * 1664525u + 1013904223u;
    return float(std::int32_t(state)) / 2147483648.0f;
}
static std::vector<float> values(std::size_t count, float scale) {
    std::vector<float> found(count);
    for (float& value : found) value = scale * random_one();
    return found;
}
static nfx::Conv conv(int out, int in, int taps, int dilation, bool bias) {
    nfx::Conv made;
    made.out = out, made.in = in, made.taps = taps, made.dilation = dilation;
    made.weight = values(std::size_t(out) * in * taps, 0.5f / std::sqrt(float(in * taps)));
    if (bias) made.bias = values(out, 0.1f);
    return made;
}
static void print(const std::vector<float>& signal) {
    for (std::size_t i = 0; i < signal.size(); i += 7) std::printf("%.9g\n", signal[i]);
}

int main() {
    nfx::WaveNet net;
    for (int channels : {16, 8}) {
        nfx::Array stack;
        stack.rechannel = conv(channels, channels == 16 ? 1 : 16, 1, 1, false);
        for (int dilation = 1; dilation <= 512; dilation *= 2) {
            nfx::Layer layer;
            layer.conv = conv(channels, channels, 3, dilation, true);
            layer.mixin = conv(channels, 1, 1, 1, false);
            layer.residual = conv(channels, channels, 1, 1, true);
            layer.activation.kind = nfx::Act::tanh;
            stack.layers.push_back(layer);
        }
        stack.head = conv(channels == 16 ? 8 : 1, channels, 1, 1, true);
        net.arrays.push_back(stack);
    }
    std::vector<float> in(20000), out(20000);
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = float(int(i % 126) - 63) / 126 + 0.1f * random_one();
    NFX_ARCH::WaveNetStream stream(net);
    stream.reset();
    for (std::size_t at = 0, size = 1; at < in.size(); size = size * 2 % 777 + 1) {
        const int count = int(std::min(size, in.size() - at));
        stream.process(&in[at], count, &out[at], count, count);
        at += count;
    }
    print(out);

    nfx::RecurrentLayer layer;
    layer.in = 1, layer.hidden = 16;
    layer.w_ih = values(64, 0.3f), layer.w_hh = values(64 * 16, 0.3f);
    layer.b_ih = values(64, 0.1f), layer.b_hh = values(64, 0.1f);
    layer.h0.assign(16, 0), layer.c0.assign(16, 0);
    nfx::Recurrent recurrent;
    recurrent.layers = {layer};
    recurrent.head = values(16, 0.5f);
    NFX_ARCH::RecurrentStream(recurrent).process(in.data(), in.size(), out.data(), out.size(), int(in.size()));
    print(out);
}
