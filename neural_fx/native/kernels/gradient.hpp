// Training windows of WaveNets (tanh or leaky ReLU, plain or gated by a sigmoid, the input as the condition): forward
// keeps what backward needs.
//
// Blocks of time run through all layers while they are in the cache, forwards and then backwards; gradients of weights
// are sums over time of products of rows, kept as vectors until the end. Weights differ from window to window, so a
// model whose weights depend on knobs trains as easily as one with fixed weights.
#pragma once

#include "memory.hpp"
#include "nets.hpp"
#include "simd.hpp"
#include "wavenet.hpp"

namespace NFX_ARCH {

// Sums over time of the products of rows of one signal with rows of another: the gradient of a matrix.
class Outer {
    nfx::Buffer sums;  // a vector for each (row, column)
    int m = 0, n = 0;

    template <int M, int N>
    void tile(Rows a, Rows b, int i, int j, int count) {
        vec acc[M][N];
        for (int p = 0; p < M; ++p)
            for (int q = 0; q < N; ++q) acc[p][q] = load(at(i + p, j + q));
        for (int t = 0; t < count; t += W) {
            vec x[M], y[N];
#pragma GCC unroll 4
            for (int p = 0; p < M; ++p) x[p] = load(a.row(i + p) + t);
#pragma GCC unroll 4
            for (int q = 0; q < N; ++q) y[q] = load(b.row(j + q) + t);
#pragma GCC unroll 4
            for (int p = 0; p < M; ++p)
#pragma GCC unroll 4
                for (int q = 0; q < N; ++q) acc[p][q] += x[p] * y[q];
        }
        for (int p = 0; p < M; ++p)
            for (int q = 0; q < N; ++q) store(at(i + p, j + q), acc[p][q]);
    }
    template <int M>
    void strip(Rows a, Rows b, int i, int count) {
        int j = 0;
        for (; j + 4 <= n; j += 4) tile<M, 4>(a, b, i, j, count);
        for (; j < n; ++j) tile<M, 1>(a, b, i, j, count);
    }
    float* at(int i, int j) { return sums.get() + (size_t(i) * n + j) * W; }

public:
    Outer() = default;
    Outer(int m, int n) : sums(size_t(m) * n * W), m(m), n(n) {}
    void clear() { sums.clear(); }
    void add(Rows a, Rows b, int count) {
        int i = 0;
        for (; i + 4 <= m; i += 4) strip<4>(a, b, i, count);
        for (; i < m; ++i) strip<1>(a, b, i, count);
    }
    float total(int i, int j) {
        float sum = 0;
        for (int k = 0; k < W; ++k) sum += at(i, j)[k];
        return sum;
    }
};

// A convolution in training: packed both ways, its gradient, and where its weights stand in the flat list.
struct Trained {
    nfx::Conv spec;
    size_t place = 0;
    Packed forward{nfx::Conv{}}, backward{nfx::Conv{}};
    std::vector<Outer> taps;
    Outer bias;

    Trained() = default;
    Trained(const nfx::Conv& conv, size_t& at) : spec(conv), place(at), bias(conv.out, 1) {
        at += spec.weight.size() + spec.bias.size();
        for (int k = 0; k < spec.taps; ++k) taps.emplace_back(spec.out, spec.in);
    }
    bool exists() const { return spec.out > 0; }
    // Take the weights of this window.
    void load(const float* parameters, const nfx::Conv* joined = nullptr) {
        if (!exists()) return;
        const float* p = parameters + place;
        std::copy(p, p + spec.weight.size(), spec.weight.begin());
        std::copy(p + spec.weight.size(), p + spec.weight.size() + spec.bias.size(), spec.bias.begin());
        forward = Packed(spec, joined);
        // The transposed convolution looks ahead: taps in reverse order, from a base pointer moved by the history.
        nfx::Conv turned{spec.in, spec.out, spec.taps, spec.dilation, std::vector<float>(spec.weight.size()), {}};
        for (int o = 0; o < spec.out; ++o)
            for (int i = 0; i < spec.in; ++i)
                for (int k = 0; k < spec.taps; ++k)
                    turned.weight[(size_t(i) * spec.out + o) * spec.taps + spec.taps - 1 - k] =
                        spec.weight[(size_t(o) * spec.in + i) * spec.taps + k];
        backward = Packed(turned);
        for (auto& t : taps) t.clear();
        bias.clear();
    }
    int history() const { return (spec.taps - 1) * spec.dilation; }
    // g = [g +] the gradient of the input, for the gradient `out` of the output; `out` is read up to `history` ahead.
    void to_input(Rows out, Rows g, int n, const Rows* add) const {
        conv(backward, {out.p + history(), out.stride}, g, n, add);
    }
    void gather(Rows gradient, Rows input, Rows ones, int n) {
        for (int k = 0; k < spec.taps; ++k)
            taps[k].add(gradient, {input.p - ptrdiff_t(spec.taps - 1 - k) * spec.dilation, input.stride}, n);
        if (!spec.bias.empty()) bias.add(gradient, ones, n);
    }
    void store_gradient(float* gradients) {
        float* g = gradients + place;
        for (int o = 0; o < spec.out; ++o)
            for (int i = 0; i < spec.in; ++i)
                for (int k = 0; k < spec.taps; ++k) *g++ = taps[k].total(o, i);
        for (size_t o = 0; o < spec.bias.size(); ++o) *g++ = bias.total(int(o), 0);
    }
};

class WaveNetTape final : public nfx::Tape {
    static constexpr int SPAN = 256;  // samples that run through all layers at a time

    struct Layer {
        Trained conv, mixin, residual, head;
        nfx::Buffer input,
            shaped;    // what the convolution read; the activations' outputs, then the gradient before them
        int from = 0;  // the first sample whose output depends on nothing before the window
        bool gated = false, tanh = true;
        float slope = 0;

        int width() const { return conv.spec.out / (gated ? 2 : 1); }
    };
    struct Array {
        Trained rechannel, head;
        std::vector<Layer> layers;
        nfx::Buffer sum, leaving;  // of the head terms; the residual signal that leaves the stack
    };

    std::vector<Array> arrays;
    nfx::Buffer audio_, scratch_;
    int inputs, length, before = 0, context = 0;
    size_t stride = 0, count_ = 0;
    float scale;
    Rows gradient, shaped_gradient, head_gradient, product, ones, none;

    Rows at(nfx::Buffer& buffer, int t) const { return {buffer.get() + before + t, stride}; }

public:
    WaveNetTape(const nfx::WaveNet& net, int length) : inputs(net.in), length(length), scale(net.head_scale) {
        int widest = net.in;
        for (const auto& a : net.arrays) {
            Array made{Trained(a.rechannel, count_), {}, {}, {}, {}};
            widest = std::max({widest, a.rechannel.out, a.head.in, a.head.out});
            for (const auto& l : a.layers) {
                Layer layer;
                layer.conv = Trained(l.conv, count_);
                layer.mixin = Trained(l.mixin, count_);
                layer.residual = Trained(l.residual, count_);
                layer.head = Trained(l.head, count_);
                layer.gated = l.gating == nfx::Gating::gated;
                layer.tanh = l.activation.kind == nfx::Act::tanh;
                layer.slope = layer.tanh ? 0.0f : l.activation.params[0];
                layer.from = context += layer.conv.history();
                before = std::max(before, layer.conv.history());
                widest = std::max({widest, l.conv.out, l.residual.out});
                made.layers.push_back(std::move(layer));
            }
            made.head = Trained(a.head, count_);
            context += made.head.history();
            before = std::max(before, made.head.history());
            arrays.push_back(std::move(made));
        }
        before = (before + 63) / 64 * 64;
        stride = size_t(before) + (length + SPAN - 1) / SPAN * SPAN + before + SLACK;
        audio_ = nfx::Buffer(stride * net.in);
        for (auto& a : arrays) {
            for (auto& l : a.layers) {
                l.input = nfx::Buffer(stride * l.conv.spec.in);
                l.shaped = nfx::Buffer(stride * l.conv.spec.out);
            }
            a.sum = nfx::Buffer(stride * a.head.spec.in);
            a.leaving = nfx::Buffer(stride * a.rechannel.spec.out);
        }
        const size_t row = SPAN + SLACK, rows = widest * row;
        scratch_ = nfx::Buffer(6 * rows);
        Rows* const parts[] = {&gradient, &shaped_gradient, &head_gradient, &product, &ones, &none};
        for (int i = 0; i < 6; ++i) *parts[i] = {scratch_.get() + i * rows, row};
        std::fill(ones.row(0), ones.row(0) + SPAN, 1.0f);
    }

    size_t parameters() const override { return count_; }
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
            std::copy(x + size_t(c) * length, x + size_t(c + 1) * length, at(audio_, 0).row(c));
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
        std::fill(gradients, gradients + count_, 0.0f);
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
    nfx::Buffer head_out_;
    nfx::Buffer& last_head() {
        if (!head_out_.size()) head_out_ = nfx::Buffer(stride);
        return head_out_;
    }

    void ahead(int t) {
        Rows x = at(audio_, t), condition = at(audio_, t);
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
                if (t + SPAN <= l.from) break;  // nothing here is heard in the window
                const Rows now = at(l.input, t), shaped = at(l.shaped, t);
                conv(l.conv.forward, now, shaped, SPAN, nullptr, condition);
                activate(l, shaped);
                const Rows heard = l.gated ? multiplied(l, shaped) : shaped;
                if (l.head.exists())
                    conv(l.head.forward, heard, sum, SPAN, &sum);
                else
                    plus(sum, heard, l.width(), SPAN);
                conv(l.residual.forward, heard, next, SPAN, &now);
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

    // From the activations' outputs x and the gradient g of what the layer puts out to the gradient before them, in x.
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
                if (t + SPAN <= l.from) {  // its output is not heard here, but its convolution looks back to here
                    l.conv.to_input(shaped, gradient, SPAN, &gradient);
                    continue;
                }
                const Rows heard = l.gated ? multiplied(l, shaped) : shaped;
                if (!last || j + 1 < a.layers.size()) l.residual.gather(gradient, heard, ones, SPAN);
                if (l.head.exists()) {
                    l.head.gather(head_gradient, heard, ones, SPAN);
                    conv(l.residual.backward, gradient, shaped_gradient, SPAN);
                    conv(l.head.backward, head_gradient, shaped_gradient, SPAN, &shaped_gradient);
                } else {
                    conv(l.residual.backward, gradient, shaped_gradient, SPAN, &head_gradient);
                }
                deactivate(l, shaped, shaped_gradient);
                l.conv.gather(shaped, at(l.input, t), ones, SPAN);
                l.mixin.gather(shaped, at(audio_, t), ones, SPAN);
                l.conv.to_input(shaped, gradient, SPAN, &gradient);
            }
            a.rechannel.gather(gradient, i ? at(arrays[i - 1].leaving, t) : at(audio_, t), ones, SPAN);
            if (i) {
                conv(a.rechannel.backward, gradient, shaped_gradient, SPAN);
                std::swap(gradient, shaped_gradient);
            }
            out = head_gradient;
        }
    }
};

}  // namespace NFX_ARCH
