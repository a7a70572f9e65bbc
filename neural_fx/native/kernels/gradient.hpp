// Training windows of WaveNets: tanh or leaky ReLU, plain or gated by a sigmoid, with the input as the condition.
//
// The forward pass keeps what the backward pass needs. Blocks of time run through all layers while they are in the
// cache, forwards and then backwards. Weights may differ from window to window, so a model whose weights depend on
// knobs trains as easily as one with fixed weights.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "activations.hpp"
#include "memory.hpp"
#include "nets.hpp"
#include "trained_conv.hpp"

namespace NFX_ARCH {

class WaveNetTape final : public nfx::Tape {
    static constexpr int SPAN = 256;  // samples that run through all layers at a time

    struct Layer {
        Trained conv, mixin, residual, head;
        nfx::Buffer input;   // of the convolution
        nfx::Buffer shaped;  // the activations' outputs; on the way back, the gradient before the activations
        int from = 0;        // the first sample whose receptive field lies in the window
        bool gated = false;
        bool tanh = true;
        float slope = 0;

        int width() const { return conv.spec.out / (gated ? 2 : 1); }
    };
    struct Array {
        Trained rechannel;
        Trained head;
        std::vector<Layer> layers;
        nfx::Buffer sum;      // what the head reads
        nfx::Buffer leaving;  // the residual signal that the next array reads
    };

    std::vector<Array> arrays;
    nfx::Buffer audio;
    nfx::Buffer scratch;
    nfx::Buffer head_out;
    int inputs;
    int length;
    int before = 0;   // zeros before the window, for convolutions to read
    int context = 0;  // the receptive field without the present sample
    size_t stride = 0;
    size_t count = 0;  // parameters
    float scale;
    Rows gradient, shaped_gradient, head_gradient, product, ones, none;

    Rows at(nfx::Buffer& buffer, int t) const { return {buffer.get() + before + t, stride}; }

public:
    WaveNetTape(const nfx::WaveNet& net, int length) : inputs(net.in), length(length), scale(net.head_scale) {
        int widest = net.in;
        for (const auto& a : net.arrays) {
            Array made{Trained(a.rechannel, count), {}, {}, {}, {}};
            widest = std::max({widest, a.rechannel.out, a.head.in, a.head.out});
            for (const auto& l : a.layers) {
                Layer layer;
                layer.conv = Trained(l.conv, count);
                layer.mixin = Trained(l.mixin, count);
                layer.residual = Trained(l.residual, count);
                layer.head = Trained(l.head, count);
                layer.gated = l.gating == nfx::Gating::gated;
                layer.tanh = l.activation.kind == nfx::Act::tanh;
                layer.slope = layer.tanh ? 0.0f : l.activation.params[0];
                layer.from = context += layer.conv.history();
                before = std::max(before, layer.conv.history());
                widest = std::max({widest, l.conv.out, l.residual.out});
                made.layers.push_back(std::move(layer));
            }
            made.head = Trained(a.head, count);
            context += made.head.history();
            before = std::max(before, made.head.history());
            arrays.push_back(std::move(made));
        }
        before = (before + 63) / 64 * 64;
        stride = size_t(before) + (length + SPAN - 1) / SPAN * SPAN + before + SLACK;
        audio = nfx::Buffer(stride * net.in);
        for (auto& a : arrays) {
            for (auto& l : a.layers) {
                l.input = nfx::Buffer(stride * l.conv.spec.in);
                l.shaped = nfx::Buffer(stride * l.conv.spec.out);
            }
            a.sum = nfx::Buffer(stride * a.head.spec.in);
            a.leaving = nfx::Buffer(stride * a.rechannel.spec.out);
        }
        const size_t row = SPAN + SLACK;
        const size_t rows = widest * row;
        scratch = nfx::Buffer(6 * rows);
        Rows* const parts[] = {&gradient, &shaped_gradient, &head_gradient, &product, &ones, &none};
        for (int i = 0; i < 6; ++i) *parts[i] = {scratch.get() + i * rows, row};
        std::fill(ones.row(0), ones.row(0) + SPAN, 1.0f);
    }

    size_t parameters() const override { return count; }
    int receptive_field() const override { return context + 1; }

    // x: (inputs, length); y: (length - context), the outputs whose whole past is in the window.
    void forward(const float* parameters, const float* x, float* y) override {
        for (auto& a : arrays) {
            a.rechannel.load(parameters);
            for (auto& l : a.layers) {
                l.mixin.load(parameters);
                l.conv.load(parameters, &l.mixin.spec);
                l.residual.load(parameters);
                l.head.load(parameters);
            }
            a.head.load(parameters);
        }
        for (int c = 0; c < inputs; ++c)
            std::copy(x + size_t(c) * length, x + size_t(c + 1) * length, at(audio, 0).row(c));
        for (int t = 0; t < length; t += SPAN) ahead(t);
        const float* out = at(last_head(), context).row(0);
        for (int t = 0; t < length - context; ++t) y[t] = scale * out[t];
    }

    // The gradient of the weights for a gradient of the outputs, after `forward`.
    void backward(const float* dy, float* gradients) override {
        float* out = at(last_head(), 0).row(0);
        std::fill(out, out + stride - before, 0.0f);
        for (int t = context; t < length; ++t) out[t] = scale * dy[t - context];
        for (int t = (length - 1) / SPAN * SPAN; t >= 0; t -= SPAN) back(t);
        std::fill(gradients, gradients + count, 0.0f);
        for (auto& a : arrays) {
            a.rechannel.store_gradient(gradients);
            for (auto& l : a.layers) {
                l.conv.store_gradient(gradients);
                l.mixin.store_gradient(gradients);
                l.residual.store_gradient(gradients);
                if (l.head.exists()) l.head.store_gradient(gradients);
            }
            a.head.store_gradient(gradients);
        }
    }

private:
    nfx::Buffer& last_head() {
        if (!head_out.size()) head_out = nfx::Buffer(stride);
        return head_out;
    }

    // Run SPAN samples from t on through all layers.
    void ahead(int t) {
        Rows x = at(audio, t);
        const Rows condition = x;
        for (size_t i = 0; i < arrays.size(); ++i) {
            Array& a = arrays[i];
            const Rows sum = at(a.sum, t);
            if (i == 0)
                for (int c = 0; c < a.head.spec.in; ++c) std::fill(sum.row(c), sum.row(c) + SPAN, 0.0f);
            else
                conv(arrays[i - 1].head.forward, at(arrays[i - 1].sum, t), sum, SPAN);
            conv(a.rechannel.forward, x, at(a.layers[0].input, t), SPAN);
            for (size_t j = 0; j < a.layers.size(); ++j) {
                Layer& l = a.layers[j];
                const Rows next = at(j + 1 < a.layers.size() ? a.layers[j + 1].input : a.leaving, t);
                if (t + SPAN <= l.from) break;  // no output of the window depends on this
                const Rows now = at(l.input, t);
                const Rows shaped = at(l.shaped, t);
                conv(l.conv.forward, now, shaped, SPAN, nullptr, condition);
                activate(l, shaped);
                const Rows output = l.gated ? multiplied(l, shaped) : shaped;
                if (l.head.exists())
                    conv(l.head.forward, output, sum, SPAN, &sum);
                else
                    plus(sum, output, l.width(), SPAN);
                conv(l.residual.forward, output, next, SPAN, &now);
            }
            x = at(a.leaving, t);
        }
        conv(arrays.back().head.forward, at(arrays.back().sum, t), at(last_head(), t), SPAN);
    }

    void activate(const Layer& l, Rows x) const {
        for (int c = 0; c < l.conv.spec.out; ++c) {
            const bool gate = l.gated && c >= l.width();
            const float slope = l.slope;
            if (gate)
                each(x.row(c), SPAN, vsigmoid);
            else if (l.tanh)
                each(x.row(c), SPAN, vtanh);
            else
                each(x.row(c), SPAN, [slope](vec v) { return pick(v > 0, v, v * slope); });
        }
    }

    Rows multiplied(const Layer& l, Rows x) const {
        for (int c = 0; c < l.width(); ++c)
            for (int k = 0; k < SPAN; k += W)
                store(product.row(c) + k, load(x.row(c) + k) * load(x.row(l.width() + c) + k));
        return product;
    }

    // Replace the activations' outputs x by the gradient before the activations. g: the gradient of the layer's output.
    static void deactivate(const Layer& l, Rows x, Rows g) {
        for (int c = 0; c < l.width(); ++c) {
            float *s = x.row(c), *gate = l.gated ? x.row(l.width() + c) : nullptr;
            for (int k = 0; k < SPAN; k += W) {
                const vec v = load(s + k);
                vec d = load(g.row(c) + k);
                if (gate) {
                    const vec w = load(gate + k);
                    store(gate + k, d * v * w * (1.0f - w));
                    d = d * w;
                }
                store(s + k, l.tanh ? d * (1.0f - v * v) : pick(v > 0, d, d * l.slope));
            }
        }
    }

    // Run the gradients of SPAN samples from t on back through all layers.
    void back(int t) {
        Rows out = at(last_head(), t);  // the gradient of the head's output
        for (size_t i = arrays.size(); i-- > 0;) {
            Array& a = arrays[i];
            const bool last = i + 1 == arrays.size();
            const int width = a.rechannel.spec.out;
            a.head.gather(out, at(a.sum, t), ones, SPAN);
            a.head.to_input(out, none, SPAN, nullptr);
            std::swap(none, head_gradient);
            if (last)
                for (int c = 0; c < width; ++c) std::fill(gradient.row(c), gradient.row(c) + SPAN, 0.0f);
            for (size_t j = a.layers.size(); j-- > 0;) {
                Layer& l = a.layers[j];
                if (t + SPAN <= l.from - l.conv.history()) continue;
                const Rows shaped = at(l.shaped, t);
                if (t + SPAN <= l.from) {  // its output is not needed here, but its convolution read this past
                    l.conv.to_input(shaped, gradient, SPAN, &gradient);
                    continue;
                }
                const Rows output = l.gated ? multiplied(l, shaped) : shaped;
                if (!last || j + 1 < a.layers.size()) l.residual.gather(gradient, output, ones, SPAN);
                if (l.head.exists()) {
                    l.head.gather(head_gradient, output, ones, SPAN);
                    conv(l.residual.backward, gradient, shaped_gradient, SPAN);
                    conv(l.head.backward, head_gradient, shaped_gradient, SPAN, &shaped_gradient);
                } else {
                    conv(l.residual.backward, gradient, shaped_gradient, SPAN, &head_gradient);
                }
                deactivate(l, shaped, shaped_gradient);
                l.conv.gather(shaped, at(l.input, t), ones, SPAN);
                l.mixin.gather(shaped, at(audio, t), ones, SPAN);
                l.conv.to_input(shaped, gradient, SPAN, &gradient);
            }
            a.rechannel.gather(gradient, i ? at(arrays[i - 1].leaving, t) : at(audio, t), ones, SPAN);
            if (i) {
                conv(a.rechannel.backward, gradient, shaped_gradient, SPAN);
                std::swap(gradient, shaped_gradient);
            }
            out = head_gradient;
        }
    }
};

}  // namespace NFX_ARCH
