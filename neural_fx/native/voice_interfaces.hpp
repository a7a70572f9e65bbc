// What Python gives to the compiled voices, and what they can do. One call computes a block of all voices.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "nets.hpp"

namespace nfx {

// The state of numpy's default random generator (PCG64), in halves of 64 bits.
struct RandomState {
    uint64_t state_high = 0;
    uint64_t state_low = 0;
    uint64_t increment_high = 0;
    uint64_t increment_low = 0;
};

// A timbre: its network, which no other object may use at the same time, and its room.
struct VoiceModel {
    std::shared_ptr<Decoder> decoder;
    int hidden = 0;
    int harmonics = 0;
    std::vector<float> room;  // impulse response without the direct sound; empty: no reverb
};

// What all voices share. Frames are `hop` samples apart.
struct VoiceSettings {
    int voices = 1;
    int hop = 0;
    int bands = 0;
    int taps = 0;
    double rate = 0;
    float silent_db = 0;              // loudness below which a voice is silent
    float full_db = 0;                // loudness above which it has its full level
    int knob_samples = 0;             // that a change of the reverb or of the morph takes
    int knob_frames = 0;              // that a change of another knob takes
    std::vector<float> basis;         // (bands, taps), from magnitudes to the taps of the noise filter
    std::vector<float> band_octaves;  // (bands), octaves from 1 kHz
    RandomState random;               // of the noise
};

// How an instrument is played in its recordings; see neural_fx.timbre.files.Habits.
struct PlayingHabits {
    double low_hz, high_hz, quiet_db, usual_db, loud_db, attack_seconds, release_db_per_second, vibrato_hz,
        vibrato_cents;
};

// What a voice plays at a frame.
struct VoiceFrame {
    double f0_hz, confidence, loudness_db, gain_db, brightness;
};

// How the pitch and the loudness of an input are measured.
struct AnalysisSettings {
    int window = 0;
    Pitch pitch{};
    std::vector<double> lowpass;  // taps of the filter before every second sample is taken
    std::vector<double> hann;     // (window)
    std::vector<double> weights;  // (window / 2 + 1), from the power of each bin to that of the loudness
    double silence_db = 0;
    double clear_db = 0;  // no pitch below this loudness
};

// The knobs of a timbre transfer.
struct TransferKnobs {
    double octave, pitch_correct, loudness_db, brightness, vibrato, breath, morph, adjust, reverb;
};

// How the input is fitted to the register and the dynamics of a timbre.
struct FitSettings {
    double confident = 0;      // confidence from which a frame counts
    double audible_db = 0;     // loudness from which a frame counts
    double slack_octaves = 0;  // by which the mean pitch may lie outside the register
    int rest = 0;              // frames without a pitch after which the octave may change
    int evidence = 0;          // frames with a pitch before the octave is chosen
};

// One voice that follows the pitch and the loudness of its input.
struct Transfer {
    virtual ~Transfer() = default;
    // in: n samples. out: room for n + hop. Returns how many were written, a multiple of the hop.
    virtual int process(const float* in, int n, const TransferKnobs& knobs, float* out) = 0;
};

// What a player does to a note.
struct NoteTouch {
    double pitch, velocity, pressure, modulation, strength, volume, expression, brightness;
    bool held;
};

// The knobs of an instrument that plays notes.
struct NoteKnobs {
    double brightness, breath, morph, loudness_db, vibrato, reverb;
};

// How notes begin and end.
struct NoteSettings {
    double confidence, silent_db, vibrato_begins, vibrato_full, slowest_attack, slowest_release, fastest_attack,
        least_vibrato;
    int fade;  // samples in which a stolen voice fades out
};

// Voices that play notes.
struct Notes {
    virtual ~Notes() = default;
    virtual void start(int voice, const NoteTouch& touch) = 0;
    virtual void change(int voice, const NoteTouch& touch) = 0;
    virtual bool sounding(int voice) const = 0;
    virtual double level(int voice) const = 0;
    virtual void render(const NoteKnobs& knobs, float* out, int count) = 0;
};

}  // namespace nfx
