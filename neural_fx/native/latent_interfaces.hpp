// What Python gives to the voices of a latent instrument, and what they can do.
#pragma once

#include <memory>
#include <vector>

#include "voice_interfaces.hpp"

namespace nfx {

// Sizes and constants of instruments/latent. A tick is `hop` samples.
struct LatentSettings {
    int voices = 1;
    int hop = 0;
    double rate = 0;
    // Sizes of the network: its timbre, the layers that see the note, and those that see the time.
    int timbre = 0;
    int note = 0;
    int frame = 0;
    int bands = 0;
    // What the network sees: the places of bumps and their widths.
    std::vector<double> pitches, velocities, onsets, releases;
    double pitch_width = 1;
    double velocity_width = 1;
    double place_width = 1;
    double ticks_per_second = 1;
    // What its outputs mean.
    double level_db = 0;
    double middle_db = 0;
    double cents = 0;
    double slot_cents = 0;
    double least_inharmonicity = 0;
    double noise_db = 0;
    double audible_db = 0;
    double silent_db = 0;
    double highest_hz = 0;
    std::vector<double> slot_ratios;  // (slots)
    std::vector<double> start_turns;  // (harmonics + slots), phases in turns
    // When notes are decoded, and how long they sound.
    int onset_ticks = 0;
    int release_ticks = 0;
    int release_step = 1;
    int sparse_step = 1;
    double trained_ticks = 0;
    double slope_ticks = 1;
    double longest_release = 0;
    int steal_ticks = 1;
    int most_fading = 1;
    // Noise.
    std::vector<float> response;  // (2 hop + 1, bands)
    std::vector<float> window;    // (4 hop)
    double noise_scale = 0;
    RandomState random;

    int sinusoids() const { return int(start_turns.size()); }
    int harmonics() const { return int(start_turns.size() - slot_ratios.size()); }
    int levels() const { return sinusoids() + bands; }
    int frame_outputs() const { return levels() + 2; }
    int note_features() const { return timbre + int(pitches.size()) + 1 + int(velocities.size()); }
    int time_features() const { return int(onsets.size()) + 1 + int(releases.size()) + 2; }
};

// How a note is played. The velocity is 1 to 127.
struct LatentTouch {
    double pitch, velocity, gain_db;
    bool held;
};

// Voices that play notes of a network.
struct LatentVoices {
    virtual ~LatentVoices() = default;
    virtual void start(int voice, const LatentTouch& touch) = 0;
    virtual void change(int voice, const LatentTouch& touch) = 0;
    virtual bool sounding(int voice) const = 0;
    virtual double level(int voice) const = 0;
    // Return how many ticks begin in the next `count` samples.
    virtual int ticks(int count) const = 0;
    // controls: (ticks, timbre + 1), timbre and gain in dB of each tick that begins.
    virtual void render(const double* controls, float* out, int count) = 0;
};

// A decoder with its weights. Any number of voices may share it, in any threads.
struct LatentNetwork {
    virtual ~LatentNetwork() = default;
};

}  // namespace nfx
