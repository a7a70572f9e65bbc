// LSTM and GRU over a stream, sample by sample: gates padded to vectors, one column of weights at a time.
#pragma once

#include <cmath>

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
        : rows(gates * padded), columns(columns), weight(size_t(gates) * padded * columns),
          bias(size_t(gates) * padded) {
        for (int g = 0; g < gates; ++g)
            for (int h = 0; h < hidden; ++h) {
                const int row = g * hidden + h;
                bias.get()[g * padded + h] = b[row];
                for (int c = 0; c < columns; ++c)
                    weight.get()[size_t(c) * rows + g * padded + h] = w[size_t(row) * columns + c];
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

#if defined(__AVX512DQ__)
// tanh and sigmoid as 32 polynomials, each for a quarter (sigmoid: a half) of a unit of |x| around its middle, through
// the zeros of a Chebyshev polynomial; coefficients come from tables in registers. Recurrent networks wait for the
// result, and it is there in two thirds of the time of a rational function. Degree 4: within 3e-7; degree 3: within
// 6e-6.
template <int DEGREE>
class Pieces {
    static constexpr float TOP = 7.874f;  // where the last piece ends, all but a rounding
    struct alignas(64) Table {
        float c[DEGREE + 1][32];
    };
    Table of_tanh, of_sigmoid;  // of_sigmoid: sigmoid - 1/2

    // The function of a table, odd, in pieces 2^-BITS wide.
    template <int BITS>
    [[gnu::always_inline]] static vec pieces(const Table& table, vec x) {
        constexpr float wide = 4.0f / (1 << BITS);
        const __m512 a =
            _mm512_range_ps((__m512)x, _mm512_set1_ps(TOP * wide), 0b1010);  // |x|, or the top if that is less
        const __m512 which = _mm512_fmadd_ps(a, _mm512_set1_ps(4 / wide), _mm512_set1_ps(12582912.0f));  // + 1.5 * 2^23
        const vec d = (vec)_mm512_reduce_ps(a, BITS << 4);  // from the middle of the piece
        const auto c = [&](int j) {
            const float* of = table.c[j];
            return (vec)_mm512_permutex2var_ps(_mm512_load_ps(of), (__m512i)which, _mm512_load_ps(of + 16));
        };
        const vec d2 = d * d, low = c(1) * d + c(0);
        vec high = c(3) * d + c(2);
        if constexpr (DEGREE == 4) high = c(4) * d2 + high;
        const __m512i sign = _mm512_set1_epi32(int(0x80000000u));
        return (vec)_mm512_ternarylogic_epi32((__m512i)(high * d2 + low), (__m512i)x, sign,
                                              0xf8);  // with the sign of x
    }

public:
    Pieces() {
        constexpr int n = DEGREE + 1;
        for (int k = 0; k < 32; ++k) {
            double at[n], value[n], c[n] = {};
            for (int i = 0; i < n; ++i) {
                at[i] = 0.125 * std::cos((2 * i + 1) * 3.14159265358979323846 / (2 * n));
                value[i] = std::tanh(0.25 * k + at[i]);
            }
            for (int j = 1; j < n; ++j)  // Newton's divided differences
                for (int i = n - 1; i >= j; --i) value[i] = (value[i] - value[i - 1]) / (at[i] - at[i - j]);
            for (int i = n - 1; i >= 0; --i) {  // c = c * (d - at[i]) + value[i]
                for (int j = n - 1; j > 0; --j) c[j] = c[j - 1] - at[i] * c[j];
                c[0] = value[i] - at[i] * c[0];
            }
            for (int j = 0; j < n; ++j) {
                of_tanh.c[j][k] = float(c[j]);
                of_sigmoid.c[j][k] = float(std::ldexp(c[j], -j - 1));  // tanh(x / 2) / 2
            }
        }
    }
    vec tanh(vec x) const { return pieces<2>(of_tanh, x); }
    vec sigmoid(vec x) const { return 0.5f + pieces<1>(of_sigmoid, x); }
};
#endif

class RecurrentStream final : public nfx::Stream {
    struct Layer {
        int in, hidden, padded;
        Matrix ih, hh;   // LSTM: ih reads h and the input together, hh is empty
        nfx::Buffer hx;  // h, then the input
        nfx::Buffer c, gates, other;
        std::vector<float> h0, c0;
        float* h() { return hx.get(); }
        float* x() { return hx.get() + fours(hidden); }
    };
    bool lstm, skip, fast;
    float input_gain, output_gain, head_bias;
    int inputs;
    int narrow = 0;  // LSTM: columns of h, if every layer has as many and a gate is one vector
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
        fast ? run(fast_, in, in_stride, out, n) : run(exact_, in, in_stride, out, n);
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
    Exact exact_;
    Fast fast_;

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

    // The same with one vector to a gate, all of them in registers. Each sample waits for the one before, so what
    // matters is how soon h is there: the last gate comes last, because it is needed last.
    template <int HIDDEN, class F>
    [[gnu::always_inline]] static void narrow_lstm_step(Layer& l, const F& f) {
        const float *w = l.ih.weight.get(), *bias = l.ih.bias.get(), *from = l.h();
        vec gate[4];
        const auto gates = [&](int first, int last) NFX_BODY {
            vec sum[2][4];
#pragma GCC unroll 4
            for (int r = first; r <= last; ++r) sum[0][r] = load(bias + r * W), sum[1][r] = vec{};
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
