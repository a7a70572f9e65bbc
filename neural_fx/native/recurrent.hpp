// LSTM and GRU over a stream, sample by sample: gates padded to vectors, one column of weights at a time.
#pragma once

#include "memory.hpp"
#include "nets.hpp"
#include "simd.hpp"

namespace NFX_ARCH {

// y = bias + M x for a matrix of `rows` (a multiple of W) x `columns`, stored by column.
struct Matrix {
    int rows, columns;
    nfx::Buffer weight, bias;

    // From torch's (gates * hidden, columns) with each gate padded to `padded` rows.
    Matrix(const std::vector<float>& w, const std::vector<float>& b, int gates, int hidden, int padded, int columns)
        : rows(gates * padded), columns(columns), weight(size_t(gates) * padded * columns), bias(size_t(gates) * padded) {
        for (int g = 0; g < gates; ++g)
            for (int h = 0; h < hidden; ++h) {
                const int row = g * hidden + h;
                bias.get()[g * padded + h] = b[row];
                for (int c = 0; c < columns; ++c) weight.get()[size_t(c) * rows + g * padded + h] = w[size_t(row) * columns + c];
            }
    }

    template <int R>
    void chunk(const float* x, float* y, int r0, bool add) const {
        vec even[R], odd[R];
        for (int r = 0; r < R; ++r) even[r] = load(add ? y + r0 + r * W : bias.get() + r0 + r * W), odd[r] = vec{};
        const float* w = weight.get() + r0;
        int c = 0;
        for (; c + 1 < columns; c += 2, w += 2 * rows)
            for (int r = 0; r < R; ++r) {
                even[r] += x[c] * load(w + r * W);
                odd[r] += x[c + 1] * load(w + rows + r * W);
            }
        if (c < columns)
            for (int r = 0; r < R; ++r) even[r] += x[c] * load(w + r * W);
        for (int r = 0; r < R; ++r) store(y + r0 + r * W, even[r] + odd[r]);
    }

    void multiply(const float* x, float* y, bool add = false) const {
        int r = 0;
        for (; r + 4 * W <= rows; r += 4 * W) chunk<4>(x, y, r, add);
        for (; r < rows; r += W) chunk<1>(x, y, r, add);
    }
};

class RecurrentStream final : public nfx::Stream {
    struct Layer {
        int hidden, padded;
        Matrix ih, hh;
        nfx::Buffer h, c, gates, other;
        std::vector<float> h0, c0;
    };
    bool lstm, skip;
    float input_gain, output_gain, head_bias;
    int inputs;
    std::vector<Layer> layers;
    nfx::Buffer head, x;

    static int pad(int n) { return (n + W - 1) / W * W; }

public:
    explicit RecurrentStream(const nfx::Recurrent& net)
        : lstm(net.lstm), skip(net.skip), input_gain(net.input_gain), output_gain(net.output_gain),
          head_bias(net.head_bias), inputs(net.layers[0].in), head(pad(net.head.size())), x(pad(inputs)) {
        const int gates = lstm ? 4 : 3;
        for (const auto& l : net.layers) {
            const int p = pad(l.hidden);
            std::vector<float> b_ih = l.b_ih, b_hh = l.b_hh;
            if (lstm)  // both biases at once
                for (size_t i = 0; i < b_ih.size(); ++i) b_ih[i] += b_hh[i], b_hh[i] = 0;
            layers.push_back({l.hidden, p, Matrix(l.w_ih, b_ih, gates, l.hidden, p, l.in),
                              Matrix(l.w_hh, b_hh, gates, l.hidden, p, l.hidden), nfx::Buffer(p), nfx::Buffer(p),
                              nfx::Buffer(gates * p), nfx::Buffer(gates * p), l.h0, l.c0});
        }
        std::copy(net.head.begin(), net.head.end(), head.get());
        reset();
    }

    void reset() override {
        for (auto& l : layers) {
            l.h.clear();
            l.c.clear();
            std::copy(l.h0.begin(), l.h0.end(), l.h.get());
            std::copy(l.c0.begin(), l.c0.end(), l.c.get());
        }
    }

    void process(const float* in, size_t in_stride, float* out, size_t, int n) override {
        for (int t = 0; t < n; ++t) {
            for (int i = 0; i < inputs; ++i) x.get()[i] = in[i * in_stride + t];
            x.get()[0] *= input_gain;
            const float* signal = x.get();
            for (auto& l : layers) {
                lstm ? lstm_step(l, signal) : gru_step(l, signal);
                signal = l.h.get();
            }
            vec sum{};
            for (int i = 0; i < layers.back().padded; i += W) sum += load(signal + i) * load(head.get() + i);
            float y = head_bias;
            for (int i = 0; i < W; ++i) y += sum[i];
            out[t] = output_gain * (skip ? y + x.get()[0] : y);
        }
    }

private:
    static void lstm_step(Layer& l, const float* x) {
        float* g = l.gates.get();
        l.ih.multiply(x, g);
        l.hh.multiply(l.h.get(), g, true);
        for (int i = 0; i < l.padded; i += W) {
            const vec in = vsigmoid(load(g + i)), forget = vsigmoid(load(g + l.padded + i));
            const vec cell = vtanh(load(g + 2 * l.padded + i)), show = vsigmoid(load(g + 3 * l.padded + i));
            const vec c = forget * load(l.c.get() + i) + in * cell;
            store(l.c.get() + i, c);
            store(l.h.get() + i, show * vtanh(c));
        }
    }

    static void gru_step(Layer& l, const float* x) {
        float *a = l.gates.get(), *b = l.other.get();
        l.ih.multiply(x, a);
        l.hh.multiply(l.h.get(), b);
        for (int i = 0; i < l.padded; i += W) {
            const int z0 = l.padded + i, n0 = 2 * l.padded + i;
            const vec r = vsigmoid(load(a + i) + load(b + i)), z = vsigmoid(load(a + z0) + load(b + z0));
            const vec fresh = vtanh(load(a + n0) + r * load(b + n0));
            store(l.h.get() + i, fresh + z * (load(l.h.get() + i) - fresh));
        }
    }
};

}  // namespace NFX_ARCH
