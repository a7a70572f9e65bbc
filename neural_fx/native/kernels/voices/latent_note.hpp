// The note of a voice of a latent instrument.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "latent_interfaces.hpp"
#include "memory.hpp"

namespace NFX_ARCH {

// Fields are explained in instruments/latent/voices.py. Phases are in turns.
struct LatentNote {
    nfx::LatentTouch touch{};
    double ticks = 0;
    double release = std::numeric_limits<double>::infinity();
    bool sounding = false;
    bool begun = false;  // with a first frame
    int ticks_left = 0;
    int silent_frames = 0;
    bool over = false;
    double peak_db = 0;
    double gain_db = 0;
    double cents = 0;
    double frame_cents = 0;
    nfx::Buffer levels, frame;
    std::vector<double> ratios, turns, steps;  // steps: turns per sample
    std::vector<float> before, amplitudes, noise;

    // What its frames share, for this timbre, pitch and velocity.
    bool known = false;
    double known_pitch = 0;
    double known_velocity = 0;
    std::vector<double> known_timbre;
    nfx::Buffer projected;
    // The last frame that the network has heard of a held note, and the change of its levels per tick.
    bool late_known = false;
    nfx::Buffer late_frame, late_slope;

    LatentNote(const nfx::LatentSettings& with, int width, int outputs)
        : peak_db(with.silent_db), levels(size_t(outputs)), frame(size_t(outputs)), ratios(size_t(with.sinusoids())),
          turns(with.start_turns), steps(size_t(with.sinusoids())), before(size_t(with.sinusoids())),
          amplitudes(size_t(with.sinusoids())), noise(size_t(with.bands)), known_timbre(size_t(with.timbre)),
          projected(size_t(width)), late_frame(size_t(outputs)), late_slope(size_t(outputs)) {}

    void begin(const nfx::LatentSettings& with, const nfx::LatentTouch& how) {
        touch = how;
        ticks = 0;
        release = std::numeric_limits<double>::infinity();
        sounding = true;
        begun = false;
        ticks_left = 0;
        silent_frames = 0;
        over = false;
        peak_db = with.silent_db;
        gain_db = 0;
        cents = frame_cents = 0;
        levels.clear();
        frame.clear();
        std::copy(with.start_turns.begin(), with.start_turns.end(), turns.begin());
        std::fill(ratios.begin(), ratios.end(), 0.0);
        std::fill(steps.begin(), steps.end(), 0.0);
        std::fill(amplitudes.begin(), amplitudes.end(), 0.0f);
        std::fill(noise.begin(), noise.end(), 0.0f);
        known = false;
    }

    bool shares(const double* timbre) const {
        return known && known_pitch == touch.pitch && known_velocity == touch.velocity &&
               std::equal(known_timbre.begin(), known_timbre.end(), timbre);
    }

    // Return in how many ticks its next frame is. `tick` counts those of all voices.
    int ticks_to_frame(const nfx::LatentSettings& with, long tick) const {
        if (ticks < with.onset_ticks) return 1;
        const bool soon = release <= ticks && ticks < release + with.release_ticks;
        const int step = soon ? with.release_step : with.sparse_step;
        return step - int(tick % step);
    }

    // Set what it plays at the end of this tick.
    void play(const nfx::LatentSettings& with, double control_db) {
        const double share = 1.0 / ticks_left;
        cents += share * (frame_cents - cents);
        for (int i = 0; i < with.levels(); ++i) levels.get()[i] += float(share) * (frame.get()[i] - levels.get()[i]);
        --ticks_left;
        gain_db = touch.gain_db + control_db;
        const float gain = float(std::pow(10.0, gain_db / 20));
        const double f0 = 440.0 * std::exp2((touch.pitch + cents / 100 - 69) / 12);
        const double highest = with.highest_hz / with.rate;
        for (int k = 0; k < with.sinusoids(); ++k) {
            steps[size_t(k)] = f0 * ratios[size_t(k)] / with.rate;
            before[size_t(k)] = amplitudes[size_t(k)];
            amplitudes[size_t(k)] = steps[size_t(k)] < highest ? gain * levels.get()[k] : 0.0f;
        }
        const float* bands = levels.get() + with.sinusoids();
        for (int band = 0; band < with.bands; ++band) noise[size_t(band)] = (gain * bands[band]) * (gain * bands[band]);
        sounding = !(over && ticks_left == 0);
    }

    // Let a stolen note fade by one tick more. `left` ticks remain, with this one.
    void fade(int left) {
        const float share = float(left - 1) / float(left);
        for (size_t k = 0; k < amplitudes.size(); ++k) {
            before[k] = amplitudes[k];
            amplitudes[k] *= share;
        }
        for (float& power : noise) power *= share * share;
    }
};

}  // namespace NFX_ARCH
