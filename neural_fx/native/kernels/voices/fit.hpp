// How an input is fitted to a timbre: its vibrato, its semitones, its register and its dynamics.
// neural_fx/timbre/effect.py is the same in numpy.
#pragma once

#include <algorithm>
#include <cmath>

#include "analyzer.hpp"
#include "voice_interfaces.hpp"

namespace NFX_ARCH {

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

}  // namespace NFX_ARCH
