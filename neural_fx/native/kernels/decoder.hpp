// The decoder of a timbre: from pitch, confidence and loudness to the amplitudes of harmonics and noise bands.
// The numbers are those of neural_fx/timbre/decoder.py, which also runs without these kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "dense.hpp"
#include "memory.hpp"
#include "nets.hpp"
#include "simd.hpp"

namespace NFX_ARCH {

class Decoder : public nfx::Decoder {
    // Layer normalisation, then a leaky ReLU.
    struct Norm {
        std::vector<float> gain;
        std::vector<float> shift;
        Norm() = default;
        Norm(const float*& from, int n) : gain(from, from + n), shift(from + n, from + 2 * n) { from += 2 * n; }
        void run(float* x) const {
            const int n = int(gain.size());
            float mean = 0;
            float square = 0;
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
    struct Mlp {  // members are in the order of the weights
        Dense first;
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
    // Convert the head's output of a frame to amplitudes. The network only sets ratios: the harmonics' sum is
    // normalised, and the gain makes the A-weighted power what `loudness` in dB asks for.
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

    static constexpr int ROWS = 8;  // voices at a time

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
            decode_rows(inputs + at * 3, rows, frames, state + size_t(from) * hidden, tones + at * harmonics,
                        noise + at * bands);
        }
    }

private:
    void decode_rows(const float* inputs, int rows, int frames, float* state, float* tones, float* noise) {
        const int f = 3 * hidden;  // features: state, pitch, loudness
        float scaled[ROWS * 3];
        for (int t = 0; t < frames; ++t) {
            for (int r = 0; r < rows; ++r) {
                const float* in = inputs + (size_t(r) * frames + t) * 3;
                scaled[3 * r] = std::log2(in[0] / 261.6256f) / 2;  // octaves from middle C, halved
                scaled[3 * r + 1] = in[1];
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

}  // namespace NFX_ARCH
