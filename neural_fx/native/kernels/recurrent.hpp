// LSTM and GRU over a stream, sample by sample.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "matrix.hpp"
#include "memory.hpp"
#include "nets.hpp"
#include "pieces.hpp"
#include "simd.hpp"

namespace NFX_ARCH {

class RecurrentStream final : public nfx::Stream {
    struct Layer {
        int in;
        int hidden;
        int padded;      // `hidden`, rounded up to whole vectors
        Matrix ih;       // of an LSTM, this reads h and the input together
        Matrix hh;       // of a GRU
        nfx::Buffer hx;  // h, then the input
        nfx::Buffer c;
        nfx::Buffer gates;
        nfx::Buffer other;  // gates of a GRU from h
        std::vector<float> h0;
        std::vector<float> c0;

        float* h() { return hx.get(); }
        float* x() { return hx.get() + fours(hidden); }
    };
    bool lstm, skip, fast;
    float input_gain, output_gain, head_bias;
    int inputs;
    int narrow = 0;  // columns of h, if all layers of an LSTM have as many and a gate is one vector
    std::vector<Layer> layers;
    nfx::Buffer head, x;

    static int pad(int n) { return (n + W - 1) / W * W; }
    static int fours(int n) { return (n + 3) / 4 * 4; }

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
                columns += fours(l.hidden);
                w.clear();
                for (int r = 0; r < rows; ++r) {
                    w.insert(w.end(), l.w_hh.begin() + r * l.hidden, l.w_hh.begin() + (r + 1) * l.hidden);
                    w.resize(w.size() + fours(l.hidden) - l.hidden);
                    w.insert(w.end(), l.w_ih.begin() + r * l.in, l.w_ih.begin() + (r + 1) * l.in);
                    b[r] += l.b_hh[r];
                }
            }
            layers.push_back({l.in, l.hidden, p, Matrix(w, b, gates, l.hidden, p, columns),
                              Matrix(l.w_hh, l.b_hh, gates, l.hidden, p, lstm ? 0 : l.hidden), nfx::Buffer(p + l.in),
                              nfx::Buffer(p), nfx::Buffer(gates * p), nfx::Buffer(gates * p), l.h0, l.c0});
        }
        const int h = layers[0].hidden;
        const auto same = [h](const Layer& l) { return fours(l.hidden) == fours(h); };
        if (W == 16 && h <= W && std::all_of(layers.begin(), layers.end(), same)) narrow = fours(h);
        std::copy(net.head.begin(), net.head.end(), head.get());
        reset();
    }

    void reset() override {
        for (auto& l : layers) {
            l.hx.clear();
            l.c.clear();
            std::copy(l.h0.begin(), l.h0.end(), l.h());
            std::copy(l.c0.begin(), l.c0.end(), l.c.get());
        }
    }

    void process(const float* in, size_t in_stride, float* out, size_t, int n) override {
        if (fast)
            run(fast_functions, in, in_stride, out, n);
        else
            run(exact_functions, in, in_stride, out, n);
    }

private:
#if defined(__AVX512DQ__)
    using Exact = Pieces<4>;
    using Fast = Pieces<3>;
#else
    struct Exact {
        static vec tanh(vec x) { return quick_tanh(x); }
        static vec sigmoid(vec x) { return quick_sigmoid(x); }
    };
    struct Fast {
        static vec tanh(vec x) { return faster_tanh<false>(x); }
        static vec sigmoid(vec x) { return 0.5f + 0.5f * tanh(0.5f * x); }
    };
#endif
    Exact exact_functions;
    Fast fast_functions;

    template <class F>
    void run(const F& f, const float* in, size_t in_stride, float* out, int n) {
        if (!lstm) return each_sample(in, in_stride, out, n, [&f](Layer& l) { gru_step(l, f); });
        switch (narrow) {
            case 4: return each_sample(in, in_stride, out, n, [&f](Layer& l) NFX_BODY { narrow_lstm_step<4>(l, f); });
            case 8: return each_sample(in, in_stride, out, n, [&f](Layer& l) NFX_BODY { narrow_lstm_step<8>(l, f); });
            case 12: return each_sample(in, in_stride, out, n, [&f](Layer& l) NFX_BODY { narrow_lstm_step<12>(l, f); });
            case 16: return each_sample(in, in_stride, out, n, [&f](Layer& l) NFX_BODY { narrow_lstm_step<16>(l, f); });
            default: return each_sample(in, in_stride, out, n, [&f](Layer& l) { lstm_step(l, f); });
        }
    }

    template <class Step>
    void each_sample(const float* in, size_t in_stride, float* out, int n, Step step) {
        for (int t = 0; t < n; ++t) {
            for (int i = 0; i < inputs; ++i) x.get()[i] = in[i * in_stride + t];
            x.get()[0] *= input_gain;
            const float* signal = x.get();
            for (auto& l : layers) {
                for (int i = 0; i < l.in; ++i) l.x()[i] = signal[i];
                step(l);
                signal = l.h();
            }
            vec parts{};
            for (int i = 0; i < layers.back().padded; i += W) parts += load(signal + i) * load(head.get() + i);
            const float y = head_bias + sum(parts);
            out[t] = output_gain * (skip ? y + x.get()[0] : y);
        }
    }

    static float sum(vec v) {
#if defined(__AVX512F__)
        return _mm512_reduce_add_ps((__m512)v);
#else
        alignas(64) float parts[W];
        store(parts, v);
        for (int half = W / 2; half; half /= 2)
            for (int i = 0; i < half; ++i) parts[i] += parts[i + half];
        return parts[0];
#endif
    }

    template <class F>
    static void lstm_step(Layer& l, const F& f) {
        float *g = l.gates.get(), *h = l.h();
        l.ih.multiply(h, g);
        for (int i = 0; i < l.padded; i += W) {
            const vec in = f.sigmoid(load(g + i)), forget = f.sigmoid(load(g + l.padded + i));
            const vec cell = f.tanh(load(g + 2 * l.padded + i)), show = f.sigmoid(load(g + 3 * l.padded + i));
            const vec c = forget * load(l.c.get() + i) + in * cell;
            store(l.c.get() + i, c);
            store(h + i, show * f.tanh(c));
        }
    }

    // The same if a gate is one vector, with all of them in registers. Each sample waits for the h of the one before,
    // so latency matters most. The output gate is computed last, because it is needed last.
    template <int HIDDEN, class F>
    [[gnu::always_inline]] static void narrow_lstm_step(Layer& l, const F& f) {
        const float *w = l.ih.weight.get(), *bias = l.ih.bias.get(), *from = l.h();
        vec gate[4];
        const auto gates = [&](int first, int last) NFX_BODY {
            vec sum[2][4];
#pragma GCC unroll 4
            for (int r = first; r <= last; ++r) {
                sum[0][r] = load(bias + r * W);
                sum[1][r] = vec{};
            }
            for (int c = HIDDEN; c < HIDDEN + l.in; ++c)
#pragma GCC unroll 4
                for (int r = first; r <= last; ++r) sum[0][r] += from[c] * load(w + (4 * c + r) * W);
#pragma GCC unroll 16
            for (int c = 0; c < HIDDEN; ++c)
#pragma GCC unroll 4
                for (int r = first; r <= last; ++r) sum[c % 2][r] += from[c] * load(w + (4 * c + r) * W);
#pragma GCC unroll 4
            for (int r = first; r <= last; ++r) gate[r] = sum[0][r] + sum[1][r];
        };
        gates(0, 2);
        gates(3, 3);
        const vec c = f.sigmoid(gate[1]) * load(l.c.get()) + f.sigmoid(gate[0]) * f.tanh(gate[2]);
        store(l.c.get(), c);
        store(l.h(), f.sigmoid(gate[3]) * f.tanh(c));
    }

    template <class F>
    static void gru_step(Layer& l, const F& f) {
        float *a = l.gates.get(), *b = l.other.get(), *h = l.h();
        l.ih.multiply(l.x(), a);
        l.hh.multiply(h, b);
        for (int i = 0; i < l.padded; i += W) {
            const int z0 = l.padded + i, n0 = 2 * l.padded + i;
            const vec r = f.sigmoid(load(a + i) + load(b + i)), z = f.sigmoid(load(a + z0) + load(b + z0));
            const vec fresh = f.tanh(load(a + n0) + r * load(b + n0));
            store(h + i, fresh + z * (load(h + i) - fresh));
        }
    }
};

}  // namespace NFX_ARCH
