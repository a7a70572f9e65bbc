// What a timbre does frame by frame: pitch candidates and the path through them, the decoder, filtered noise.
// The numbers are those of neural_fx/timbre, which runs without these kernels too.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "memory.hpp"
#include "nets.hpp"
#include "simd.hpp"

namespace NFX_ARCH {

// ---- pitch -------------------------------------------------------------------------------------------------------

class Tracker : public nfx::Tracker {
    nfx::Pitch at;
    nfx::Buffer x, r;               // the window without its mean, then silence; autocorrelation
    std::vector<double> energy, n;  // running sums of squares; normalised square difference
    std::vector<double> pitch{0.0}, cost{0.0};
    double held;

    int padded_lags() const { return (at.lags + 2 + 4 * W - 1) / (4 * W) * 4 * W; }

    void correlate() {
        const float* p = x.get();
        for (int lag = 0; lag < padded_lags(); lag += 4 * W) {
            vec a{}, b{}, c{}, d{};
            for (int j = 0; j < at.window - lag; ++j) {
                const vec v = all(p[j]);
                const float* q = p + j + lag;
                a += v * load(q), b += v * load(q + W), c += v * load(q + 2 * W), d += v * load(q + 3 * W);
            }
            store(r.get() + lag, a), store(r.get() + lag + W, b);
            store(r.get() + lag + 2 * W, c), store(r.get() + lag + 3 * W, d);
        }
    }
    // The top of the parabola through three values.
    void summit(int i, double& where, double& high) const {
        const double a = n[i - 1], b = n[i], c = n[i + 1], bend = a - 2 * b + c;
        const double shift = bend < 0 ? std::clamp(0.5 * (a - c) / bend, -0.5, 0.5) : 0.0;
        where = i + shift, high = b - 0.25 * (a - c) * shift;
    }
    void normalise(const float* window) {
        const int w = at.window;
        double mean = 0;
        for (int i = 0; i < w; ++i) mean += window[i];
        mean /= w;
        double sum = 0;
        for (int i = 0; i < w; ++i) {
            x.get()[i] = float(window[i] - mean);
            energy[i] = sum += double(x.get()[i]) * x.get()[i];
        }
        correlate();
        for (int lag = 0; lag < at.lags + 2; ++lag) {
            const double m = lag ? energy[w - 1 - lag] + energy[w - 1] - energy[lag - 1] : 2 * energy[w - 1];
            n[lag] = 2 * r.get()[lag] / (m + 1e-9);
        }
    }

public:
    explicit Tracker(const nfx::Pitch& settings)
        : at(settings), x(size_t(at.window) + size_t(padded_lags()) + 4 * W), r(size_t(padded_lags())),
          energy(size_t(at.window)), n(size_t(at.lags) + 2), held(std::log2(220.0)) {}

    void process(const float* half, int count, double* f0, double* confidence, double* lags, double* clear) override {
        std::vector<std::pair<double, int>> best;
        std::vector<double> octaves, sure, costs;
        for (int k = 0; k < count; ++k) {
            normalise(half + size_t(k) * at.hop);
            best.clear();
            for (int i = at.first; i <= at.lags; ++i)
                if (n[i] >= n[i - 1] && n[i] > n[i + 1] && n[i] > 0.2)
                    best.push_back({at.bias * std::log2(double(i)) - n[i], i});
            const int found = std::min(int(best.size()), at.candidates);
            std::stable_sort(best.begin(), best.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
            octaves.clear(), sure.clear();
            for (int c = 0; c < at.candidates; ++c) {
                double exact = 0, high = 0;
                if (c < found) {
                    summit(best[c].second, exact, high);
                    refine(exact, high);
                    high = std::min(high, 1.0);
                    octaves.push_back(std::log2(at.rate / exact)), sure.push_back(high);
                }
                lags[size_t(k) * at.candidates + c] = exact, clear[size_t(k) * at.candidates + c] = high;
            }
            follow(octaves, sure, costs, f0[k], confidence[k]);
        }
    }

private:
    // A peak a few periods on has the same error in samples, so a fraction of it per period.
    void refine(double& exact, double high) const {
        const int times = std::clamp(int((at.lags - 2) / std::max(exact, 1.0)), 1, 4);
        if (times == 1) return;
        int far = std::clamp(int(std::nearbyint(exact * times)), 1, at.lags - 1), top = far - 1;
        for (int i = far; i <= far + 1; ++i)
            if (n[std::clamp(i, 1, at.lags)] > n[std::clamp(top, 1, at.lags)]) top = i;
        far = std::clamp(top, 1, at.lags - 1);
        double distant, still;
        summit(far, distant, still);
        if (still > 0.9 * high && std::abs(distant / times - exact) < 0.03 * exact) exact = distant / times;
    }
    // The likeliest path through the candidates so far.
    void follow(const std::vector<double>& octaves, const std::vector<double>& sure, std::vector<double>& costs,
                double& f0, double& confidence) {
        if (octaves.empty()) {
            for (double& c : cost) c *= at.memory;
            f0 = std::exp2(held), confidence = 0;
            return;
        }
        costs.assign(octaves.size(), 0.0);
        for (size_t i = 0; i < octaves.size(); ++i) {
            double way = std::numeric_limits<double>::infinity();
            for (size_t j = 0; j < pitch.size(); ++j)
                way = std::min(way, at.memory * cost[j] + at.jump * std::min(std::abs(octaves[i] - pitch[j]), at.cap));
            costs[i] = 1 - sure[i] + at.bias * (12 - octaves[i]) + way;
        }
        const size_t best = size_t(std::min_element(costs.begin(), costs.end()) - costs.begin());
        const double least = costs[best];
        pitch = octaves, cost = costs;
        for (double& c : cost) c -= least;
        confidence = sure[best];
        if (confidence > 0.5) held = octaves[best];
        f0 = std::exp2(held);
    }
};

// ---- decoder -----------------------------------------------------------------------------------------------------

// A matrix stored by inputs, so that a vector of outputs grows input by input.
class Dense {
    int in = 0, out = 0, wide = 0;
    nfx::Buffer weight, bias;

    template <int R>
    void rows(const float* x, int stride, float* y, int y_stride) const {
        for (int o = 0; o < wide; o += 2 * W) {
            vec a[R], b[R];
            for (int r = 0; r < R; ++r) a[r] = load(bias.get() + o), b[r] = load(bias.get() + o + W);
            const float* w = weight.get() + o;
            for (int i = 0; i < in; ++i, w += wide) {
                const vec p = load(w), q = load(w + W);
                for (int r = 0; r < R; ++r) {
                    const vec v = all(x[size_t(r) * stride + i]);
                    a[r] += p * v, b[r] += q * v;
                }
            }
            for (int r = 0; r < R; ++r)
                store(y + size_t(r) * y_stride + o, a[r]), store(y + size_t(r) * y_stride + o + W, b[r]);
        }
    }

public:
    Dense() = default;
    // weight: (out, in), followed by bias (out); `from` moves on.
    Dense(const float*& from, int out, int in)
        : in(in), out(out), wide((out + 2 * W - 1) / (2 * W) * 2 * W), weight(size_t(wide) * in), bias(size_t(wide)) {
        for (int o = 0; o < out; ++o)
            for (int i = 0; i < in; ++i) weight.get()[size_t(i) * wide + o] = *from++;
        std::copy(from, from + out, bias.get());
        from += out;
    }
    int width() const { return wide; }
    void run(const float* x, int stride, float* y, int y_stride, int count) const {
        for (; count >= 4; count -= 4, x += 4 * stride, y += 4 * y_stride) rows<4>(x, stride, y, y_stride);
        for (; count > 0; --count, x += stride, y += y_stride) rows<1>(x, stride, y, y_stride);
    }
};

class Decoder : public nfx::Decoder {
    struct Norm {
        std::vector<float> gain, shift;
        Norm() = default;
        Norm(const float*& from, int n) : gain(from, from + n), shift(from + n, from + 2 * n) { from += 2 * n; }
        void run(float* x) const {  // then a leaky ReLU
            const int n = int(gain.size());
            float mean = 0, square = 0;
            for (int i = 0; i < n; ++i) mean += x[i];
            mean /= float(n);
            for (int i = 0; i < n; ++i) square += (x[i] - mean) * (x[i] - mean);
            const float scale = 1 / std::sqrt(square / float(n) + 1e-5f);
            for (int i = 0; i < n; ++i) {
                const float v = (x[i] - mean) * scale * gain[i] + shift[i];
                x[i] = std::max(v, 0.01f * v);
            }
        }
    };
    struct Mlp {
        Dense first;  // in the order of the weights
        Norm after_first;
        Dense second;
        Norm after_second;
        Mlp(const float*& from, int in, int hidden)
            : first(from, hidden, in), after_first(from, hidden), second(from, hidden, hidden),
              after_second(from, hidden) {}
    };

    int hidden, harmonics, bands, wide;
    nfx::TimbreConstants with;
    Mlp pitch, loudness;
    Dense gates_in, gates_own;
    Mlp out;
    Dense head;
    std::vector<float> a, b, z, own, raw, features;

    void mlp(const Mlp& m, const float* x, int stride, float* y, int y_stride, int rows) {
        m.first.run(x, stride, a.data(), wide, rows);
        for (int r = 0; r < rows; ++r) m.after_first.run(a.data() + size_t(r) * wide);
        m.second.run(a.data(), wide, b.data(), wide, rows);
        for (int r = 0; r < rows; ++r) {
            m.after_second.run(b.data() + size_t(r) * wide);
            std::copy(b.data() + size_t(r) * wide, b.data() + size_t(r) * wide + hidden, y + size_t(r) * y_stride);
        }
    }
    static float exp_sigmoid(float x) {
        const float log = std::min(x, 0.0f) - std::log1p(std::exp(-std::abs(x)));
        return 2 * std::exp(2.30258509f * log) + 1e-7f;
    }
    static float a_weight(float hz) {
        const float s = hz * hz, low = 20.6f * 20.6f, high = 12194.0f * 12194.0f;
        const float g = high * s / ((s + low) * std::sqrt((s + 107.7f * 107.7f) * (s + 737.9f * 737.9f))) * s /
                        (s + high) * 1.2589254f;
        return g * g;
    }
    void frame(const float* r, float hz, float sure, float loud, float* tones, float* noise) const {
        const float ratio = std::exp(with.ratio * std::tanh(r[0]));
        float sum = 0, power = 0, hiss = 0;
        for (int k = 0; k < harmonics; ++k) {
            const float heard =
                std::clamp((with.fade_high - hz * float(k + 1)) / (with.fade_high - with.fade_low), 0.0f, 1.0f);
            tones[k] = heard > 0 ? exp_sigmoid(r[1 + k]) * heard : 0.0f;
            sum += tones[k];
        }
        const float scale = 1 / std::max(sum, 1e-12f);
        for (int k = 0; k < harmonics; ++k) {
            tones[k] *= scale;
            if (tones[k] > 0) power += tones[k] * tones[k] * a_weight(hz * float(k + 1));
        }
        for (int m = 0; m < bands; ++m) {
            noise[m] = exp_sigmoid(r[1 + harmonics + m]);
            hiss += noise[m] * noise[m] * with.band_weights[size_t(m)];
        }
        const float gain = ratio * std::sqrt(std::pow(10.0f, loud / 10) /
                                             (0.5f * power + with.noise_power * hiss / float(bands) + 1e-9f));
        const float gate = std::clamp((sure - with.gate_low) / (with.gate_high - with.gate_low), 0.0f, 1.0f);
        for (int k = 0; k < harmonics; ++k) tones[k] *= gain * gate;
        for (int m = 0; m < bands; ++m) noise[m] *= gain;
    }

    static constexpr int ROWS = 8;

public:
    Decoder(int hidden, int harmonics, int bands, const nfx::TimbreConstants& with, const float* from)
        : hidden(hidden), harmonics(harmonics), bands(bands), wide((hidden + 2 * W - 1) / (2 * W) * 2 * W), with(with),
          pitch(from, 2, hidden), loudness(from, 1, hidden), gates_in(from, 3 * hidden, 2 * hidden),
          gates_own(from, 3 * hidden, hidden), out(from, 3 * hidden, hidden), head(from, 1 + harmonics + bands, hidden),
          a(size_t(ROWS) * wide), b(size_t(ROWS) * wide), z(size_t(ROWS) * gates_in.width()),
          own(size_t(ROWS) * gates_own.width()), raw(size_t(ROWS) * head.width()), features(size_t(ROWS) * 3 * hidden) {
    }

    // inputs: (voices, frames, 3) Hz, confidence, dB. state: (voices, hidden).
    void decode(const float* inputs, int voices, int frames, float* state, float* tones, float* noise) override {
        for (int from = 0; from < voices; from += ROWS) {
            const int rows = std::min(ROWS, voices - from);
            const size_t at = size_t(from) * frames;
            some(inputs + at * 3, rows, frames, state + size_t(from) * hidden, tones + at * harmonics,
                 noise + at * bands);
        }
    }

private:
    void some(const float* inputs, int rows, int frames, float* state, float* tones, float* noise) {
        const int f = 3 * hidden;  // features: state, pitch, loudness
        float scaled[ROWS * 3];
        for (int t = 0; t < frames; ++t) {
            for (int r = 0; r < rows; ++r) {
                const float* in = inputs + (size_t(r) * frames + t) * 3;
                scaled[3 * r] = std::log2(in[0] / 261.6256f) / 2, scaled[3 * r + 1] = in[1],
                           scaled[3 * r + 2] = (in[2] + 35) / 20;
            }
            mlp(pitch, scaled, 3, features.data() + hidden, f, rows);
            mlp(loudness, scaled + 2, 3, features.data() + 2 * hidden, f, rows);
            gates_in.run(features.data() + hidden, f, z.data(), gates_in.width(), rows);
            gates_own.run(state, hidden, own.data(), gates_own.width(), rows);
            for (int r = 0; r < rows; ++r) {
                const float *x = z.data() + size_t(r) * gates_in.width(),
                            *h = own.data() + size_t(r) * gates_own.width();
                float* s = state + size_t(r) * hidden;
                for (int i = 0; i < hidden; ++i) {
                    const float reset = 0.5f + 0.5f * std::tanh(0.5f * (x[i] + h[i]));
                    const float keep = 0.5f + 0.5f * std::tanh(0.5f * (x[hidden + i] + h[hidden + i]));
                    const float fresh = std::tanh(x[2 * hidden + i] + reset * h[2 * hidden + i]);
                    s[i] = fresh + keep * (s[i] - fresh);
                }
                std::copy(s, s + hidden, features.data() + size_t(r) * f);
            }
            mlp(out, features.data(), f, z.data(), gates_in.width(), rows);
            head.run(z.data(), gates_in.width(), raw.data(), head.width(), rows);
            for (int r = 0; r < rows; ++r) {
                const float* in = inputs + (size_t(r) * frames + t) * 3;
                const size_t at = size_t(r) * frames + t;
                frame(raw.data() + size_t(r) * head.width(), in[0], in[1], in[2], tones + at * harmonics,
                      noise + at * bands);
            }
        }
    }
};

// ---- noise -------------------------------------------------------------------------------------------------------

// basis: (bands, taps), from magnitudes to the windowed filter. magnitudes: (hops, bands). white: (hops, hop), hop a
// multiple of 16. tail: (taps), what earlier hops still add. out: (hops, hop).
inline void filtered_noise(const float* basis, const float* magnitudes, const float* white, int hops, int bands,
                           int taps, int hop, float* tail, float* out) {
    std::vector<float> filter(size_t(taps) + W), sum(size_t(hop + taps) + W);
    std::copy(tail, tail + taps, sum.begin());
    for (int h = 0; h < hops; ++h) {
        std::fill(filter.begin(), filter.end(), 0.0f);
        for (int m = 0; m < bands; ++m) {
            const float level = magnitudes[size_t(h) * bands + m];
            for (int t = 0; t < taps; ++t) filter[t] += level * basis[size_t(m) * taps + t];
        }
        std::fill(sum.begin() + taps, sum.end(), 0.0f);
        const float* x = white + size_t(h) * hop;
        for (int i = 0; i < hop; ++i) {
            const vec v = all(x[i]);
            float* to = sum.data() + i;
            for (int t = 0; t < taps; t += W) store(to + t, load(to + t) + v * load(filter.data() + t));
        }
        std::copy(sum.begin(), sum.begin() + hop, out + size_t(h) * hop);
        std::copy(sum.begin() + hop, sum.begin() + hop + taps, sum.begin());
    }
    std::copy(sum.begin(), sum.begin() + taps, tail);
}

}  // namespace NFX_ARCH
