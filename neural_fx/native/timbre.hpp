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
    // Of one frame: scores and lags of the best candidates, their octaves, how clear they are, and what they cost.
    std::vector<std::pair<double, int>> best;
    std::vector<double> octaves, sure, costs;

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
          energy(size_t(at.window)), n(size_t(at.lags) + 2), held(std::log2(220.0)) {
        best.reserve(size_t(at.candidates));
        for (auto* list : {&pitch, &cost, &octaves, &sure, &costs}) list->reserve(size_t(at.candidates));
    }

    void process(const float* half, int count, double* f0, double* confidence, double* lags, double* clear) override {
        for (int k = 0; k < count; ++k) {
            normalise(half + size_t(k) * at.hop);
            best.clear();
            for (int i = at.first; i <= at.lags; ++i)
                if (n[i] >= n[i - 1] && n[i] > n[i + 1] && n[i] > 0.2) keep(at.bias * std::log2(double(i)) - n[i], i);
            const int found = int(best.size());
            octaves.clear();
            sure.clear();
            for (int c = 0; c < at.candidates; ++c) {
                double exact = 0, high = 0;
                if (c < found) {
                    summit(best[c].second, exact, high);
                    refine(exact, high);
                    high = std::min(high, 1.0);
                    octaves.push_back(std::log2(at.rate / exact));
                    sure.push_back(high);
                }
                lags[size_t(k) * at.candidates + c] = exact;
                clear[size_t(k) * at.candidates + c] = high;
            }
            follow(f0[k], confidence[k]);
        }
    }

private:
    // Keep a candidate if it is among the best, which are in order. Of equals, the first stays before the others.
    void keep(double score, int lag) {
        if (int(best.size()) == at.candidates) {
            if (!(score < best.back().first)) return;
            best.pop_back();
        }
        auto place = best.end();
        while (place != best.begin() && score < std::prev(place)->first) --place;
        best.insert(place, {score, lag});
    }
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
    void follow(double& f0, double& confidence) {
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
    int wide_harmonics;
    nfx::Buffer scratch;       // a frame, with room for whole vectors: harmonics, then noise
    nfx::Buffer band_weights;  // zeros beyond the bands

    void mlp(const Mlp& m, const float* x, int stride, float* y, int y_stride, int rows) {
        m.first.run(x, stride, a.data(), wide, rows);
        for (int r = 0; r < rows; ++r) m.after_first.run(a.data() + size_t(r) * wide);
        m.second.run(a.data(), wide, b.data(), wide, rows);
        for (int r = 0; r < rows; ++r) {
            m.after_second.run(b.data() + size_t(r) * wide);
            std::copy(b.data() + size_t(r) * wide, b.data() + size_t(r) * wide + hidden, y + size_t(r) * y_stride);
        }
    }
    // 2 sigmoid(x)^ln(10) + 1e-7 (Engel et al. 2020).
    static vec exp_sigmoid(vec x) {
        const vec log = vmin(x, vec{}) - vlog1p_unit(vexp(-vabs(x)));
        return 2.0f * vexp(2.30258509f * log) + 1e-7f;
    }
    // The A-weighting as a factor of power.
    static vec a_weight(vec hz) {
        const vec s = hz * hz;
        const float low = 20.6f * 20.6f;
        const float high = 12194.0f * 12194.0f;
        const vec root = vsqrt((s + 107.7f * 107.7f) * (s + 737.9f * 737.9f));
        const vec g = high * s / ((s + low) * root) * s / (s + high) * 1.2589254f;
        return g * g;
    }
    static float total(vec x) {
        float sum = 0;
        for (int i = 0; i < W; ++i) sum += x[i];
        return sum;
    }
    // From the outputs of the head to the amplitudes of harmonics and noise.
    void frame(const float* r, float hz, float sure, float loud, float* tones, float* noise) {
        const float ratio = std::exp(with.ratio * std::tanh(r[0]));
        float* tone = scratch.get();
        vec sum{};
        vec power{};
        vec number;
        for (int i = 0; i < W; ++i) number[i] = float(i + 1);
        const float width = with.fade_high - with.fade_low;
        for (int k = 0; k < harmonics; k += W, number += float(W)) {
            vec heard = vmin(vmax((with.fade_high - hz * number) / width, vec{}), all(1.0f));
            heard = pick(number > all(float(harmonics) + 0.5f), vec{}, heard);
            const vec amplitude = exp_sigmoid(load(r + 1 + k)) * heard;
            store(tone + k, amplitude);
            sum += amplitude;
            power += amplitude * amplitude * a_weight(hz * number);
        }
        const float scale = 1 / std::max(total(sum), 1e-12f);
        const float tone_power = total(power) * scale * scale;
        float* hiss = tone + wide_harmonics;
        vec hiss_power{};
        for (int m = 0; m < bands; m += W) {
            const vec magnitude = exp_sigmoid(load(r + 1 + harmonics + m));
            store(hiss + m, magnitude);
            hiss_power += magnitude * magnitude * load(band_weights.get() + m);
        }
        const float predicted = 0.5f * tone_power + with.noise_power * total(hiss_power) / float(bands) + 1e-9f;
        const float gain = ratio * std::sqrt(std::pow(10.0f, loud / 10) / predicted);
        const float gate = std::clamp((sure - with.gate_low) / (with.gate_high - with.gate_low), 0.0f, 1.0f);
        const float tone_gain = gain * gate * scale;
        for (int k = 0; k < harmonics; ++k) tones[k] = tone[k] * tone_gain;
        for (int m = 0; m < bands; ++m) noise[m] = hiss[m] * gain;
    }

    static constexpr int ROWS = 8;

public:
    Decoder(int hidden, int harmonics, int bands, const nfx::TimbreConstants& with, const float* from)
        : hidden(hidden), harmonics(harmonics), bands(bands), wide((hidden + 2 * W - 1) / (2 * W) * 2 * W), with(with),
          pitch(from, 2, hidden), loudness(from, 1, hidden), gates_in(from, 3 * hidden, 2 * hidden),
          gates_own(from, 3 * hidden, hidden), out(from, 3 * hidden, hidden), head(from, 1 + harmonics + bands, hidden),
          a(size_t(ROWS) * wide), b(size_t(ROWS) * wide), z(size_t(ROWS) * gates_in.width()),
          own(size_t(ROWS) * gates_own.width()), raw(size_t(ROWS) * head.width() + W),
          features(size_t(ROWS) * 3 * hidden), wide_harmonics((harmonics + W - 1) / W * W),
          scratch(size_t(wide_harmonics + bands + W)), band_weights(size_t(bands + W)) {
        std::copy(with.band_weights.begin(), with.band_weights.end(), band_weights.get());
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
                int i = 0;
                for (; i + W <= hidden; i += W) {
                    const vec reset = quick_sigmoid(load(x + i) + load(h + i));
                    const vec keep = quick_sigmoid(load(x + hidden + i) + load(h + hidden + i));
                    const vec fresh = quick_tanh(load(x + 2 * hidden + i) + reset * load(h + 2 * hidden + i));
                    store(s + i, fresh + keep * (load(s + i) - fresh));
                }
                for (; i < hidden; ++i) {
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

// From magnitudes to the taps of a filter. basis: (bands, taps). filter: (taps).
inline void noise_filter(const float* basis, const float* magnitudes, int bands, int taps, float* filter) {
    std::fill(filter, filter + taps, 0.0f);
    for (int m = 0; m < bands; ++m) {
        const float level = magnitudes[m];
        for (int t = 0; t < taps; ++t) filter[t] += level * basis[size_t(m) * taps + t];
    }
}

// Add a hop of filtered noise to `sum`: outputs i of the convolution for i below hop + taps.
// noise: (hop). filter: the taps, with `noise_margin()` zeros before and after them. sum: room for
// `noise_room(hop, taps)`. The taps slide past the noise, so that no load waits for a store.
constexpr int kNoiseTogether = 4;  // vectors of output at once
constexpr int noise_margin() { return kNoiseTogether * W; }
inline int noise_room(int hop, int taps) {
    const int step = kNoiseTogether * W;
    return (hop + taps + step - 1) / step * step;
}
inline void convolve_noise(const float* noise, int hop, const float* filter, int taps, float* sum) {
    const int step = kNoiseTogether * W;
    for (int start = 0; start < hop + taps; start += step) {
        vec total[kNoiseTogether];
        for (int j = 0; j < kNoiseTogether; ++j) total[j] = load(sum + start + j * W);
        const int end = std::min(hop, start + step);
        for (int i = std::max(0, start - taps); i < end; ++i) {
            const vec x = all(noise[i]);
            for (int j = 0; j < kNoiseTogether; ++j) total[j] += x * load(filter + start - i + j * W);
        }
        for (int j = 0; j < kNoiseTogether; ++j) store(sum + start + j * W, total[j]);
    }
}

// basis: (bands, taps), from magnitudes to the windowed filter. magnitudes: (hops, bands). white: (hops, hop), hop a
// multiple of 16. tail: (taps), what earlier hops still add. out: (hops, hop).
inline void filtered_noise(const float* basis, const float* magnitudes, const float* white, int hops, int bands,
                           int taps, int hop, float* tail, float* out) {
    std::vector<float> filter(size_t(taps + 2 * noise_margin()));
    std::vector<float> sum(size_t(noise_room(hop, taps)));
    std::copy(tail, tail + taps, sum.begin());
    for (int h = 0; h < hops; ++h) {
        noise_filter(basis, magnitudes + size_t(h) * bands, bands, taps, filter.data() + noise_margin());
        std::fill(sum.begin() + taps, sum.end(), 0.0f);
        convolve_noise(white + size_t(h) * hop, hop, filter.data() + noise_margin(), taps, sum.data());
        std::copy(sum.begin(), sum.begin() + hop, out + size_t(h) * hop);
        std::copy(sum.begin() + hop, sum.begin() + hop + taps, sum.begin());
    }
    std::copy(sum.begin(), sum.begin() + taps, tail);
}

}  // namespace NFX_ARCH
