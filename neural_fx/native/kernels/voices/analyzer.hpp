// The pitch and the loudness of a stream, frame by frame. neural_fx/timbre/analysis.py is the same in numpy.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "../fft.hpp"
#include "../pitch.hpp"
#include "voice_interfaces.hpp"

namespace NFX_ARCH {

// Measures frames of a stream. Each is complete when half a window after its time has arrived.
class Analyzer {
    nfx::AnalysisSettings settings;
    Tracker tracker;
    int hop;                      // samples between frames
    std::vector<double> samples;  // the window of the next frame, as far as it has arrived
    int filled;
    std::vector<float> half;  // the window of the pitch, at half the rate
    bool first = true;
    Fft<double> fft;
    std::vector<double> real, imaginary, twiddle_cosine, twiddle_sine;
    std::vector<double> lags, clear;

public:
    struct Frame {
        double f0_hz, confidence, loudness_db;
    };

    explicit Analyzer(const nfx::AnalysisSettings& with)
        : settings(with), tracker(with.pitch), hop(2 * with.pitch.hop), samples(size_t(with.window)),
          filled(with.window / 2), half(size_t(with.pitch.window)), fft(with.window / 2), real(size_t(with.window / 2)),
          imaginary(size_t(with.window / 2)), twiddle_cosine(size_t(with.window / 2)),
          twiddle_sine(size_t(with.window / 2)), lags(size_t(with.pitch.candidates)),
          clear(size_t(with.pitch.candidates)) {
        for (int k = 0; k < with.window / 2; ++k) {
            const double angle = -2 * 3.14159265358979323846 * k / with.window;
            twiddle_cosine[size_t(k)] = std::cos(angle);
            twiddle_sine[size_t(k)] = std::sin(angle);
        }
    }

    // Take samples until a frame is complete. Returns how many were taken; `complete` tells if there is a frame.
    int take(const float* in, int n, bool& complete, Frame& frame) {
        const int count = std::min(n, settings.window - filled);
        for (int i = 0; i < count; ++i) {
            // One NaN would silence a recurrent network for the rest of the stream.
            samples[size_t(filled + i)] = std::isfinite(in[i]) ? double(in[i]) : 0.0;
        }
        filled += count;
        complete = filled == settings.window;
        if (complete) {
            frame = measure();
            std::copy(samples.begin() + hop, samples.end(), samples.begin());
            filled -= hop;
        }
        return count;
    }

private:
    Frame measure() {
        Frame frame{};
        frame.loudness_db = loudness();
        halve();
        tracker.process(half.data(), 1, &frame.f0_hz, &frame.confidence, lags.data(), clear.data());
        if (!(frame.loudness_db > settings.clear_db)) frame.confidence = 0;
        return frame;
    }

    // Keep every second sample of the filtered window. All but the last hop is known from the frame before.
    void halve() {
        const int count = settings.pitch.window;
        int from = 0;
        if (!first) {
            from = count - settings.pitch.hop;
            std::copy(half.begin() + settings.pitch.hop, half.end(), half.begin());
        }
        first = false;
        const size_t taps = settings.lowpass.size();
        for (int j = from; j < count; ++j) {
            double total = 0;
            for (size_t k = 0; k < taps; ++k) total += samples[size_t(2 * j) + k] * settings.lowpass[taps - 1 - k];
            half[size_t(j)] = float(total);
        }
    }

    // The A-weighted power of the window in dB. A real FFT by a complex one of half the size.
    double loudness() {
        const int size = settings.window / 2;
        for (int i = 0; i < size; ++i) {
            real[size_t(i)] = samples[size_t(2 * i)] * settings.hann[size_t(2 * i)];
            imaginary[size_t(i)] = samples[size_t(2 * i + 1)] * settings.hann[size_t(2 * i + 1)];
        }
        fft.run(real.data(), imaginary.data(), 1);
        double power = 0;
        for (int k = 0; k < size; ++k) {
            const size_t a = size_t(k);
            const size_t b = size_t((size - k) % size);
            const double even_real = 0.5 * (real[a] + real[b]);
            const double even_imaginary = 0.5 * (imaginary[a] - imaginary[b]);
            const double odd_real = 0.5 * (imaginary[a] + imaginary[b]);
            const double odd_imaginary = 0.5 * (real[b] - real[a]);
            const double c = twiddle_cosine[a];
            const double s = twiddle_sine[a];
            const double re = even_real + c * odd_real - s * odd_imaginary;
            const double im = even_imaginary + c * odd_imaginary + s * odd_real;
            power += (re * re + im * im) * settings.weights[a];
        }
        const double nyquist = real[0] - imaginary[0];
        power += nyquist * nyquist * settings.weights[size_t(size)];
        return 10 * std::log10(std::max(power, std::pow(10.0, settings.silence_db / 10)));
    }
};

}  // namespace NFX_ARCH
