// Timbre transfer in one call per block: measure pitch and loudness, choose what to play, and play it.
// neural_fx/timbre/analysis.py and effect.py are the same in numpy, and explain it.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "fir.hpp"
#include "voices.hpp"

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
    BasicFft<double> fft;
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

// Separates the pitch into a smooth course and the vibrato around it.
class PitchCourse {
    bool begun = false;
    double smooth = 0;  // octaves from 440 Hz
    double note = 0;    // the nearest semitone, with hysteresis

public:
    // octaves: from 440 Hz. correct: 0..1, how far to pull to the nearest semitone. Returns the octaves to play.
    double next(double octaves, double vibrato, double correct) {
        // A jump that is wider than any vibrato begins a new note.
        if (!begun || std::abs(octaves - smooth) > 0.1) {
            begun = true;
            smooth = octaves;
        }
        smooth += 0.03 * (octaves - smooth);
        if (std::abs(12 * smooth - note) > 0.6) note = std::nearbyint(12 * smooth);
        return smooth + vibrato * (octaves - smooth) + correct * (note / 12 - smooth);
    }
};

// Fits the input to a timbre's register and dynamics.
class RegisterFit {
    nfx::FitSettings settings;
    double frame_rate;
    double pitch = 0;       // octaves from 440 Hz, a running mean
    double loudness = -25;  // dB, a running mean
    double weight = 0;      // frames in the means
    int octaves = 0;
    int unvoiced = 0;

public:
    RegisterFit(const nfx::FitSettings& with, double frame_rate) : settings(with), frame_rate(frame_rate) {}

    // Write the octaves to transpose by, and return the dB to play louder by.
    double next(const Analyzer::Frame& heard, const nfx::PlayingHabits& habits, double& transpose) {
        if (heard.confidence >= settings.confident && heard.loudness_db > settings.audible_db) {
            const double now = std::log2(heard.f0_hz / 440.0);
            if (weight == 0) pitch = now;
            weight = std::min(weight + 1, 5 * frame_rate);
            pitch += (now - pitch) / weight;
            loudness += (heard.loudness_db - loudness) / (weight + frame_rate / 2);
            const bool rested = unvoiced >= settings.rest && weight > settings.evidence;
            if (rested || weight == settings.evidence) choose(habits);
            unvoiced = 0;
        } else {
            ++unvoiced;
        }
        transpose = octaves;
        return habits.usual_db - loudness;
    }

private:
    // Keep the octaves if they move the usual pitch into the register.
    void choose(const nfx::PlayingHabits& habits) {
        const double low = std::log2(habits.low_hz / 440);
        const double high = std::log2(habits.high_hz / 440);
        const double moved = pitch + octaves;
        if (low - settings.slack_octaves <= moved && moved <= high + settings.slack_octaves) return;
        octaves = int(std::nearbyint(0.5 * (low + high) - pitch));
    }
};

inline nfx::PlayingHabits between(const nfx::PlayingHabits& a, const nfx::PlayingHabits& b, double share) {
    const auto mix = [share](double x, double y) { return x + share * (y - x); };
    return {mix(a.low_hz, b.low_hz),
            mix(a.high_hz, b.high_hz),
            mix(a.quiet_db, b.quiet_db),
            mix(a.usual_db, b.usual_db),
            mix(a.loud_db, b.loud_db),
            mix(a.attack_seconds, b.attack_seconds),
            mix(a.release_db_per_second, b.release_db_per_second),
            mix(a.vibrato_hz, b.vibrato_hz),
            mix(a.vibrato_cents, b.vibrato_cents)};
}

class Transfer final : public nfx::Transfer {
    nfx::VoiceSettings settings;
    nfx::PlayingHabits habits[2];
    Analyzer analyzer;
    VoiceBank bank;
    Rooms rooms;
    PitchCourse course;
    RegisterFit fit;
    Glide octave, pitch_correct, loudness_db, brightness, vibrato, breath, morph, adjust;
    bool begun = false;

public:
    Transfer(const nfx::VoiceSettings& with, std::vector<nfx::VoiceModel> models, const nfx::AnalysisSettings& analysis,
             const nfx::FitSettings& fitting, const nfx::PlayingHabits& first, const nfx::PlayingHabits& second,
             const nfx::TransferKnobs& knobs)
        : settings(with), habits{first, second}, analyzer(analysis), bank(with, models),
          rooms(models, knobs.reverb, knobs.morph, with.knob_samples), fit(fitting, with.rate / with.hop),
          octave(knobs.octave, with.knob_frames), pitch_correct(knobs.pitch_correct, with.knob_frames),
          loudness_db(knobs.loudness_db, with.knob_frames), brightness(knobs.brightness, with.knob_frames),
          vibrato(knobs.vibrato, with.knob_frames), breath(knobs.breath, with.knob_frames),
          morph(knobs.morph, with.knob_frames), adjust(knobs.adjust, with.knob_frames) {}

    int process(const float* in, int n, const nfx::TransferKnobs& knobs, float* out) override {
        aim(knobs);
        const nfx::PlayingHabits now = between(habits[0], habits[1], knobs.morph);
        int written = 0;
        while (n > 0) {
            bool complete;
            Analyzer::Frame heard;
            const int taken = analyzer.take(in, n, complete, heard);
            in += taken;
            n -= taken;
            if (!complete) continue;
            play(heard, now, out + written);
            // The first frame begins the audio, and each later one ends a hop.
            if (begun) written += settings.hop;
            begun = true;
        }
        rooms.process(out, written, knobs.reverb, knobs.morph);
        return written;
    }

private:
    void aim(const nfx::TransferKnobs& knobs) {
        octave.aim(knobs.octave);
        pitch_correct.aim(knobs.pitch_correct);
        loudness_db.aim(knobs.loudness_db);
        brightness.aim(knobs.brightness);
        vibrato.aim(knobs.vibrato);
        breath.aim(knobs.breath);
        morph.aim(knobs.morph);
        adjust.aim(knobs.adjust);
    }

    void play(const Analyzer::Frame& heard, const nfx::PlayingHabits& now, float* out) {
        double transpose;
        const double offset = fit.next(heard, now, transpose);
        const double on = adjust.next();
        const double swing = vibrato.next();
        const double correct = pitch_correct.next();
        double pitch = course.next(std::log2(heard.f0_hz / 440.0), swing, correct);
        pitch += std::nearbyint(octave.next()) + on * transpose;
        nfx::VoiceFrame frame;
        frame.f0_hz = std::clamp(440.0 * std::exp2(pitch), 20.0, 12000.0);
        frame.confidence = heard.confidence;
        frame.loudness_db = std::max(heard.loudness_db + on * offset + loudness_db.next(), -100.0);
        // The output is silent where the input is. Elsewhere its level undoes the offset, so that only the dynamics
        // change.
        const double audible = std::clamp((heard.loudness_db + 90) / 10, 0.0, 1.0);
        frame.gain_db = (audible > 0 ? 20 * std::log10(std::max(audible, 1e-6)) : -120.0) - on * offset;
        frame.brightness = brightness.next();
        const int voice = 0;
        bank.hop(&voice, 1, &frame, breath.next(), morph.next(), out);
    }
};

}  // namespace NFX_ARCH
