// Voices of a timbre: a network decodes the frames of all of them together, then harmonics and noise sound.
// neural_fx/timbre/synthesizer.py is the same in numpy, and explains it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "../harmonic.hpp"
#include "../noise.hpp"
#include "random.hpp"
#include "voice_interfaces.hpp"

namespace NFX_ARCH {

// The A-weighting (IEC 61672) of a frequency in Hz as a factor of power, which is 1 at 1 kHz.
inline double a_weighting(double hz) {
    const double s = hz * hz;
    const double low = 20.6 * 20.6;
    const double high = 12194.0 * 12194.0;
    const double gain =
        high * s * s / ((s + low) * std::sqrt((s + 107.7 * 107.7) * (s + 737.9 * 737.9)) * (s + high)) * 1.2589254;
    return gain * gain;
}

class VoiceBank {
    static constexpr float LEAST = 1e-7f;  // keeps logarithms finite
    static constexpr float LOG_10 = 2.30258509f;

    nfx::VoiceSettings settings;
    std::vector<nfx::VoiceModel> models;
    int most_harmonics = 0;
    RandomNumbers random;
    std::vector<double> phase;               // (voices), in turns
    std::vector<double> last_hz;             // (voices), 0 before the first frame
    std::vector<float> amplitudes;           // (voices, 2, harmonics): of the last frame and of this one
    std::vector<float> tails;                // (voices, taps), what earlier hops of noise still add
    std::vector<std::vector<float>> states;  // by model: (voices, hidden)
    std::vector<float> octaves;              // (harmonics), from the fundamental
    // Scratch of one hop, by voice.
    std::vector<float> inputs;
    std::vector<float> state;
    std::vector<std::vector<float>> tones;
    std::vector<std::vector<float>> noises;
    std::vector<double> turns;
    std::vector<float> white;
    std::vector<float> filter;  // with zeros before and after the taps
    std::vector<float> sum;

public:
    VoiceBank(const nfx::VoiceSettings& with, std::vector<nfx::VoiceModel> of)
        : settings(with), models(std::move(of)), random(with.random) {
        const size_t voices = size_t(settings.voices);
        size_t widest = 0;
        for (const nfx::VoiceModel& model : models) {
            most_harmonics = std::max(most_harmonics, model.harmonics);
            widest = std::max(widest, size_t(model.hidden));
            states.emplace_back(voices * size_t(model.hidden));
            tones.emplace_back(voices * size_t(model.harmonics));
            noises.emplace_back(voices * size_t(settings.bands));
        }
        phase.resize(voices);
        last_hz.resize(voices);
        amplitudes.resize(voices * 2 * size_t(most_harmonics));
        tails.resize(voices * size_t(settings.taps));
        for (int k = 1; k <= most_harmonics; ++k) octaves.push_back(float(std::log2(double(k))));
        inputs.resize(voices * 3);
        state.resize(voices * widest);
        turns.resize(size_t(settings.hop));
        white.resize(size_t(settings.hop));
        filter.resize(size_t(settings.taps + 2 * noise_margin()));
        sum.resize(size_t(noise_room(settings.hop, settings.taps)));
    }

    // Start a voice from silence again. What its noise filter still holds fades out.
    void restart(int voice) {
        for (size_t m = 0; m < models.size(); ++m) {
            const size_t hidden = size_t(models[m].hidden);
            std::fill_n(states[m].begin() + std::ptrdiff_t(voice * hidden), hidden, 0.0f);
        }
        phase[size_t(voice)] = 0;
        last_hz[size_t(voice)] = 0;
        std::fill_n(of_voice(voice), 2 * most_harmonics, 0.0f);
    }

    // Compute the next hop of some voices, all in one matrix product.
    // which: (count) voices. frames: (count), what they play at its end. out: (count, hop).
    void hop(const int* which, int count, const nfx::VoiceFrame* frames, float breath, float morph, float* out) {
        for (int i = 0; i < count; ++i) {
            inputs[size_t(3 * i)] = float(frames[i].f0_hz);
            inputs[size_t(3 * i + 1)] = float(frames[i].confidence);
            inputs[size_t(3 * i + 2)] = float(frames[i].loudness_db);
        }
        for (size_t m = 0; m < models.size(); ++m) decode(m, which, count);
        for (int i = 0; i < count; ++i) {
            float* magnitudes = mix(i, which[i], morph);
            shape(frames[i], breath, of_voice(which[i]) + most_harmonics, magnitudes);
            float* audio = out + size_t(i) * size_t(settings.hop);
            sound(which[i], frames[i].f0_hz, audio);
            add_noise(which[i], magnitudes, audio);
        }
    }

private:
    float* of_voice(int voice) { return amplitudes.data() + size_t(voice) * 2 * size_t(most_harmonics); }

    // The frames of some voices by one model, all in one matrix product.
    void decode(size_t m, const int* which, int count) {
        const size_t hidden = size_t(models[m].hidden);
        for (int i = 0; i < count; ++i)
            std::copy_n(states[m].data() + size_t(which[i]) * hidden, hidden, state.data() + size_t(i) * hidden);
        models[m].decoder->decode(inputs.data(), count, 1, state.data(), tones[m].data(), noises[m].data());
        for (int i = 0; i < count; ++i)
            std::copy_n(state.data() + size_t(i) * hidden, hidden, states[m].data() + size_t(which[i]) * hidden);
    }

    static float between(float a, float b, float share) {
        const float mixed = std::exp((1 - share) * std::log(a + LEAST) + share * std::log(b + LEAST)) - LEAST;
        return std::max(mixed, 0.0f);
    }

    // Write the amplitudes of a voice between both models, in dB, and return its magnitudes. `i` is its place in the
    // call.
    float* mix(int i, int voice, float morph) {
        float* to = of_voice(voice) + most_harmonics;
        const int first = models[0].harmonics;
        const float* a = tones[0].data() + size_t(i) * size_t(first);
        float* magnitudes = noises[0].data() + size_t(i) * size_t(settings.bands);
        std::fill_n(std::copy_n(a, first, to), most_harmonics - first, 0.0f);
        if (models.size() == 1) return magnitudes;
        const int second = models[1].harmonics;
        const float* b = tones[1].data() + size_t(i) * size_t(second);
        for (int k = 0; k < most_harmonics; ++k) to[k] = between(to[k], k < second ? b[k] : 0.0f, morph);
        const float* others = noises[1].data() + size_t(i) * size_t(settings.bands);
        for (int k = 0; k < settings.bands; ++k) magnitudes[k] = between(magnitudes[k], others[k], morph);
        return magnitudes;
    }

    double weighted_power(const float* amplitude, double hz) const {
        double total = 0;
        for (int k = 0; k < most_harmonics; ++k)
            total += double(amplitude[k]) * amplitude[k] * a_weighting(hz * (k + 1));
        return total;
    }

    // Apply level, brightness and breath to a frame.
    void shape(const nfx::VoiceFrame& frame, float breath, float* amplitude, float* magnitudes) const {
        const float loudness = float(frame.loudness_db);
        const float heard =
            std::clamp((loudness - settings.silent_db) / (settings.full_db - settings.silent_db), 0.0f, 1.0f);
        const float gain = heard * std::pow(10.0f, float(frame.gain_db) / 20);
        float tone_gain = gain;
        const float tilt = float(frame.brightness) / 20;
        if (tilt != 0) {
            // The tilted tones are scaled to the A-weighted power that they had before.
            const double hz = float(frame.f0_hz);
            const double before = weighted_power(amplitude, hz);
            for (int k = 0; k < most_harmonics; ++k) amplitude[k] *= std::exp(LOG_10 * tilt * octaves[size_t(k)]);
            const double after = weighted_power(amplitude, hz);
            tone_gain *= float(std::sqrt((before + 1e-12) / (after + 1e-12)));
            for (int m = 0; m < settings.bands; ++m)
                magnitudes[m] *= std::exp(LOG_10 * tilt * settings.band_octaves[size_t(m)]);
        }
        for (int k = 0; k < most_harmonics; ++k) amplitude[k] *= tone_gain;
        for (int m = 0; m < settings.bands; ++m) magnitudes[m] *= breath * gain;
    }

    // The harmonics of the hop that ends at this frame. The frequency moves in a straight line from the last frame.
    void sound(int voice, double hz, float* out) {
        const double end = hz / settings.rate;
        const double begin = last_hz[size_t(voice)] > 0 ? last_hz[size_t(voice)] / settings.rate : end;
        const double start = phase[size_t(voice)] - std::floor(phase[size_t(voice)]);
        const auto moved = [&](int i) {
            const double at = i;
            return begin * at + (end - begin) * (at * (at - 1) / (2 * settings.hop));
        };
        for (int i = 0; i < settings.hop; ++i) {
            const double now = start + moved(i);
            turns[size_t(i)] = now - std::floor(now);
        }
        phase[size_t(voice)] = phase[size_t(voice)] + moved(settings.hop);
        phase[size_t(voice)] -= std::floor(phase[size_t(voice)]);
        last_hz[size_t(voice)] = hz;
        float* pair = of_voice(voice);
        harmonics(turns.data(), pair, 1, settings.hop, most_harmonics, out);
        std::copy_n(pair + most_harmonics, most_harmonics, pair);
    }

    // White noise through a filter of this frame. The filter's magnitudes are those of the bands.
    void add_noise(int voice, const float* magnitudes, float* out) {
        float* tail = tails.data() + size_t(voice) * size_t(settings.taps);
        float* taps = filter.data() + noise_margin();
        std::copy_n(tail, settings.taps, sum.data());
        std::fill(sum.begin() + settings.taps, sum.end(), 0.0f);
        noise_filter(settings.basis.data(), magnitudes, settings.bands, settings.taps, taps);
        for (float& sample : white) sample = 2 * random.next() - 1;
        convolve_noise(white.data(), settings.hop, taps, settings.taps, sum.data());
        for (int i = 0; i < settings.hop; ++i) out[i] += sum[size_t(i)];
        std::copy_n(sum.data() + settings.hop, settings.taps, tail);
    }
};

}  // namespace NFX_ARCH
