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

    void mlp(const Mlp& m, const float* x, int stride, float* y, int y_stride, int rows) {
        m.first.run(x, stride, a.data(), wide, rows);
        for (int r = 0; r < rows; ++r) m.after_first.run(a.data() + size_t(r) * wide);
        m.second.run(a.data(), wide, b.data(), wide, rows);
        for (int r = 0; r < rows; ++r) {
            m.after_second.run(b.data() + size_t(r) * wide);
            std::copy(b.data() + size_t(r) * wide, b.data() + size_t(r) * wide + hidden, y + size_t(r) * y_stride);
        }
    }
    // 2 * sigmoid(x)^ln(10) + 1e-7, which DDSP uses for amplitudes. log(sigmoid(x)) is computed without overflow.
    static float exp_sigmoid(float x) {
        const float log = std::min(x, 0.0f) - std::log1p(std::exp(-std::abs(x)));
        return 2 * std::exp(2.30258509f * log) + 1e-7f;
    }
    // The power gain of A-weighting (IEC 61672).
    static float a_weight(float hz) {
        const float s = hz * hz, low = 20.6f * 20.6f, high = 12194.0f * 12194.0f;
        const float g = high * s / ((s + low) * std::sqrt((s + 107.7f * 107.7f) * (s + 737.9f * 737.9f))) * s /
                        (s + high) * 1.2589254f;
        return g * g;
    }
    // Convert the head's output of a frame to amplitudes. The network only sets ratios: the harmonics' sum is
    // normalised, and the gain makes the A-weighted power what `loudness` in dB asks for.
    void frame(const float* raw_frame, float hz, float confidence, float loudness_db, float* tones,
               float* noise) const {
        const float ratio = std::exp(with.ratio * std::tanh(raw_frame[0]));
        float sum = 0;
        float power = 0;
        float noise_sum = 0;
        for (int k = 0; k < harmonics; ++k) {
            const float below_limit =
                std::clamp((with.fade_high - hz * float(k + 1)) / (with.fade_high - with.fade_low), 0.0f, 1.0f);
            tones[k] = below_limit > 0 ? exp_sigmoid(raw_frame[1 + k]) * below_limit : 0.0f;
            sum += tones[k];
        }
        const float scale = 1 / std::max(sum, 1e-12f);
        for (int k = 0; k < harmonics; ++k) {
            tones[k] *= scale;
            if (tones[k] > 0) power += tones[k] * tones[k] * a_weight(hz * float(k + 1));
        }
        for (int m = 0; m < bands; ++m) {
            noise[m] = exp_sigmoid(raw_frame[1 + harmonics + m]);
            noise_sum += noise[m] * noise[m] * with.band_weights[size_t(m)];
        }
        const float gain = ratio * std::sqrt(std::pow(10.0f, loudness_db / 10) /
                                             (0.5f * power + with.noise_power * noise_sum / float(bands) + 1e-9f));
        const float gate = std::clamp((confidence - with.gate_low) / (with.gate_high - with.gate_low), 0.0f, 1.0f);
        for (int k = 0; k < harmonics; ++k) tones[k] *= gain * gate;
        for (int m = 0; m < bands; ++m) noise[m] *= gain;
    }

    static constexpr int ROWS = 8;  // voices at a time

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

}  // namespace NFX_ARCH
