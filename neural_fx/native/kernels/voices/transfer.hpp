// Timbre transfer in one call per block: measure pitch and loudness, choose what to play, and play it.
// neural_fx/timbre/effect.py is the same in numpy, and explains it.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "analyzer.hpp"
#include "bank.hpp"
#include "fit.hpp"
#include "habits.hpp"
#include "rooms.hpp"
#include "smooth_value.hpp"

namespace NFX_ARCH {

class Transfer final : public nfx::Transfer {
    nfx::VoiceSettings settings;
    nfx::PlayingHabits habits[2];
    Analyzer analyzer;
    VoiceBank bank;
    Rooms rooms;
    PitchCourse course;
    RegisterFit fit;
    SmoothValue octave, pitch_correct, loudness_db, brightness, vibrato, breath, morph, adjust;
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
