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

    // R vectors of rows, with four sums each so that additions need not wait for each other.
    template <int R>
    void chunk(const float* x, float* y, int r0) const {
        vec sum[4][R];
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
            sum[0][r] = load(bias.get() + r0 + r * W);
            sum[1][r] = sum[2][r] = sum[3][r] = vec{};
        }
        const float* w = weight.get() + r0;
        int c = 0;
        for (; c + 3 < columns; c += 4)
#pragma GCC unroll 4
            for (int k = 0; k < 4; ++k, w += rows)
#pragma GCC unroll 4
                for (int r = 0; r < R; ++r) sum[k][r] += x[c + k] * load(w + r * W);
        for (; c < columns; ++c, w += rows)
#pragma GCC unroll 4
            for (int r = 0; r < R; ++r) sum[0][r] += x[c] * load(w + r * W);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) store(y + r0 + r * W, (sum[0][r] + sum[1][r]) + (sum[2][r] + sum[3][r]));
    }

    void multiply(const float* x, float* y) const {
        int r = 0;
        for (; r + 4 * W <= rows; r += 4 * W) chunk<4>(x, y, r);
        for (; r < rows; r += W) chunk<1>(x, y, r);
    }
};

class RecurrentStream final : public nfx::Stream {
    struct Layer {
        int in, hidden, padded;
        Matrix ih, hh;   // LSTM: ih reads the input and h together, hh is empty
        nfx::Buffer xh;  // the input, then h
        nfx::Buffer c, gates, other;
        std::vector<float> h0, c0;
        float* h() { return xh.get() + in; }
    };
    bool lstm, skip, fast;
    float input_gain, output_gain, head_bias;
    int inputs;
    std::vector<Layer> layers;
    nfx::Buffer head, x;

    static int pad(int n) { return (n + W - 1) / W * W; }

public:
    explicit RecurrentStream(const nfx::Recurrent& net)
        : lstm(net.lstm), skip(net.skip), fast(net.fast), input_gain(net.input_gain), output_gain(net.output_gain),
          head_bias(net.head_bias), inputs(net.layers[0].in), head(pad(net.head.size())), x(pad(inputs)) {
        const int gates = lstm ? 4 : 3;
        for (const auto& l : net.layers) {
            const int p = pad(l.hidden), rows = gates * l.hidden;
            std::vector<float> w = l.w_ih, b = l.b_ih;
            int columns = l.in;
            if (lstm) {
                columns += l.hidden;
                w.clear();
                for (int r = 0; r < rows; ++r) {
                    w.insert(w.end(), l.w_ih.begin() + r * l.in, l.w_ih.begin() + (r + 1) * l.in);
                    w.insert(w.end(), l.w_hh.begin() + r * l.hidden, l.w_hh.begin() + (r + 1) * l.hidden);
                    b[r] += l.b_hh[r];
                }
            }
            layers.push_back({l.in, l.hidden, p, Matrix(w, b, gates, l.hidden, p, columns),
                              Matrix(l.w_hh, l.b_hh, gates, l.hidden, p, lstm ? 0 : l.hidden), nfx::Buffer(l.in + p),
                              nfx::Buffer(p), nfx::Buffer(gates * p), nfx::Buffer(gates * p), l.h0, l.c0});
        }
        std::copy(net.head.begin(), net.head.end(), head.get());
        reset();
    }

    void reset() override {
        for (auto& l : layers) {
            l.xh.clear();
            l.c.clear();
            std::copy(l.h0.begin(), l.h0.end(), l.h());
            std::copy(l.c0.begin(), l.c0.end(), l.c.get());
        }
    }

    void process(const float* in, size_t in_stride, float* out, size_t, int n) override {
        for (int t = 0; t < n; ++t) {
            for (int i = 0; i < inputs; ++i) x.get()[i] = in[i * in_stride + t];
            x.get()[0] *= input_gain;
            const float* signal = x.get();
            for (auto& l : layers) {
                std::memcpy(l.xh.get(), signal, l.in * sizeof(float));
                step(l);
                signal = l.h();
            }
            vec sum{};
            for (int i = 0; i < layers.back().padded; i += W) sum += load(signal + i) * load(head.get() + i);
            alignas(64) float parts[W];
            store(parts, sum);
            for (int half = W / 2; half; half /= 2)
                for (int i = 0; i < half; ++i) parts[i] += parts[i + half];
            const float y = head_bias + parts[0];
            out[t] = output_gain * (skip ? y + x.get()[0] : y);
        }
    }

private:
    struct Exact {
        static vec tanh(vec x) { return quick_tanh(x); }
        static vec sigmoid(vec x) { return quick_sigmoid(x); }
    };
    struct Fast {
        static vec tanh(vec x) { return faster_tanh<false>(x); }
        static vec sigmoid(vec x) { return 0.5f + 0.5f * tanh(0.5f * x); }
    };

    void step(Layer& l) const {
        if (lstm)
            fast ? lstm_step<Fast>(l) : lstm_step<Exact>(l);
        else
            fast ? gru_step<Fast>(l) : gru_step<Exact>(l);
    }

    template <class F>
    static void lstm_step(Layer& l) {
        float *g = l.gates.get(), *h = l.h();
        l.ih.multiply(l.xh.get(), g);
        for (int i = 0; i < l.padded; i += W) {
            const vec in = F::sigmoid(load(g + i)), forget = F::sigmoid(load(g + l.padded + i));
            const vec cell = F::tanh(load(g + 2 * l.padded + i)), show = F::sigmoid(load(g + 3 * l.padded + i));
            const vec c = forget * load(l.c.get() + i) + in * cell;
            store(l.c.get() + i, c);
            store(h + i, show * F::tanh(c));
        }
    }

    template <class F>
    static void gru_step(Layer& l) {
        float *a = l.gates.get(), *b = l.other.get(), *h = l.h();
        l.ih.multiply(l.xh.get(), a);
        l.hh.multiply(h, b);
        for (int i = 0; i < l.padded; i += W) {
            const int z0 = l.padded + i, n0 = 2 * l.padded + i;
            const vec r = F::sigmoid(load(a + i) + load(b + i)), z = F::sigmoid(load(a + z0) + load(b + z0));
            const vec fresh = F::tanh(load(a + n0) + r * load(b + n0));
            store(h + i, fresh + z * (load(h + i) - fresh));
        }
    }
};

}  // namespace NFX_ARCH
