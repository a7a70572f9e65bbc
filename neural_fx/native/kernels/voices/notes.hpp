// Notes played by voices of a timbre, all computed together, hop by hop.
// instruments/ddsp_voices.py is the same in numpy, and explains it.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "bank.hpp"
#include "habits.hpp"
#include "rooms.hpp"
#include "smooth_value.hpp"

namespace NFX_ARCH {

class Notes final : public nfx::Notes {
    struct Note {
        nfx::NoteTouch touch{};
        int frames = 0;    // since it began
        int released = 0;  // frames since its release
        bool on = false;
        double loudness_db = 0;
        std::vector<float> ready;  // samples that are rendered but not played yet
        int waiting = 0;           // how many of them
    };

    nfx::VoiceSettings settings;
    nfx::NoteSettings playing;
    nfx::PlayingHabits habits[2];
    VoiceBank bank;
    Rooms rooms;
    SmoothValue brightness, breath, morph, loudness_db;
    float bright = 0, breathing = 0, morphed = 0, louder = 0;  // those knobs at this hop
    double vibrato;
    std::vector<Note> notes;
    int at = 0;  // samples into the hop
    // Scratch of one hop.
    std::vector<int> which;
    std::vector<nfx::VoiceFrame> frames;
    std::vector<float> audio;
    std::vector<float> fading;

public:
    Notes(const nfx::VoiceSettings& with, const nfx::NoteSettings& how, std::vector<nfx::VoiceModel> models,
          const nfx::PlayingHabits& first, const nfx::PlayingHabits& second, const nfx::NoteKnobs& knobs)
        : settings(with), playing(how), habits{first, second}, bank(with, models),
          rooms(models, knobs.reverb, knobs.morph, with.knob_samples), brightness(knobs.brightness, with.knob_frames),
          breath(knobs.breath, with.knob_frames), morph(knobs.morph, with.knob_frames),
          loudness_db(knobs.loudness_db, with.knob_frames), vibrato(knobs.vibrato), notes(size_t(with.voices)),
          audio(size_t(with.voices) * size_t(with.hop)), fading(size_t(how.fade)) {
        read_knobs();
        which.reserve(size_t(with.voices));
        frames.reserve(size_t(with.voices));
        for (Note& note : notes) {
            note.loudness_db = how.silent_db;
            note.ready.resize(size_t(3 * with.hop));
        }
    }

    void start(int voice, const nfx::NoteTouch& touch) override {
        Note& note = notes[size_t(voice)];
        // A stolen voice fades out while the new note begins.
        const int tail = std::min(note.waiting, playing.fade);
        for (int i = 0; i < tail; ++i) fading[size_t(i)] = note.ready[size_t(i)] * (1 - float(i) / float(tail));
        bank.restart(voice);
        note.touch = touch;
        note.frames = 0;
        note.released = 0;
        note.on = true;
        note.loudness_db = playing.silent_db;
        note.waiting = 0;
        if (at > 0) {
            // It begins inside a hop of the others, and is ahead of them by the rest of its first hop.
            which.assign(1, voice);
            compute();
            append(note, audio.data());
        }
        if (tail > note.waiting) {
            std::fill(note.ready.begin() + note.waiting, note.ready.begin() + tail, 0.0f);
            note.waiting = tail;
        }
        for (int i = 0; i < tail; ++i) note.ready[size_t(i)] += fading[size_t(i)];
    }
    void change(int voice, const nfx::NoteTouch& touch) override { notes[size_t(voice)].touch = touch; }
    bool sounding(int voice) const override { return notes[size_t(voice)].on; }
    double level(int voice) const override { return notes[size_t(voice)].loudness_db; }

    void render(const nfx::NoteKnobs& knobs, float* out, int count) override {
        brightness.aim(knobs.brightness);
        breath.aim(knobs.breath);
        morph.aim(knobs.morph);
        loudness_db.aim(knobs.loudness_db);
        vibrato = knobs.vibrato;
        for (int done = 0; done < count;) {
            if (at == 0) next_hop();
            const int size = std::min(count - done, settings.hop - at);
            play(out + done, size);
            at = (at + size) % settings.hop;
            done += size;
        }
        rooms.process(out, count, knobs.reverb, knobs.morph);
    }

private:
    void read_knobs() {
        bright = brightness.now();
        breathing = breath.now();
        morphed = morph.now();
        louder = loudness_db.now();
    }

    void next_hop() {
        brightness.next();
        breath.next();
        morph.next();
        loudness_db.next();
        read_knobs();
        which.clear();
        for (int v = 0; v < int(notes.size()); ++v)
            if (notes[size_t(v)].on) which.push_back(v);
        if (which.empty()) return;
        compute();
        for (size_t i = 0; i < which.size(); ++i) {
            Note& note = notes[size_t(which[i])];
            float* hop = audio.data() + i * size_t(settings.hop);
            if (note.waiting > 0 && note.frames == 1) {  // a stolen note still fades out where this one begins
                for (int t = 0; t < note.waiting; ++t) hop[t] += note.ready[size_t(t)];
                note.waiting = 0;
            }
            append(note, hop);
        }
    }

    void append(Note& note, const float* hop) {
        std::copy_n(hop, settings.hop, note.ready.begin() + note.waiting);
        note.waiting += settings.hop;
    }

    void play(float* out, int size) {
        std::fill_n(out, size, 0.0f);
        for (Note& note : notes) {
            const int count = std::min(size, note.waiting);
            if (count == 0) continue;
            for (int i = 0; i < count; ++i) out[i] += note.ready[size_t(i)];
            std::copy(note.ready.begin() + count, note.ready.begin() + note.waiting, note.ready.begin());
            note.waiting -= count;
        }
    }

    // The next hop of the voices `which` into `audio`.
    void compute() {
        const nfx::PlayingHabits now = between(habits[0], habits[1], double(morphed));
        frames.clear();
        for (const int voice : which) frames.push_back(next_frame(notes[size_t(voice)], now));
        bank.hop(which.data(), int(which.size()), frames.data(), breathing, morphed, audio.data());
    }

    nfx::VoiceFrame next_frame(Note& note, const nfx::PlayingHabits& now) {
        ++note.frames;
        const nfx::NoteTouch& touch = note.touch;
        const double frame_seconds = settings.hop / settings.rate;
        const double seconds = note.frames * settings.hop / settings.rate;
        double loudness = now.quiet_db - 8 + std::pow(touch.strength, 0.8) * (now.loud_db - now.quiet_db + 11);
        loudness += 30 * (touch.expression - 1) + 6 * touch.pressure + louder;
        const double attack =
            std::min(playing.slowest_attack,
                     std::max(playing.fastest_attack, now.attack_seconds * (1.4 - 0.8 * touch.velocity)));
        const double rising = std::max(0.0, 1 - seconds / attack);
        loudness -= 30 * rising * rising;
        if (touch.held) {
            note.released = 0;
        } else {
            ++note.released;
            loudness -= std::max(playing.slowest_release, now.release_db_per_second) * note.released * frame_seconds;
            if (loudness < playing.silent_db) note.on = false;
        }
        note.loudness_db = loudness;
        const double late =
            std::clamp((seconds - playing.vibrato_begins) / (playing.vibrato_full - playing.vibrato_begins), 0.0, 1.0);
        const double depth =
            std::max(playing.least_vibrato, now.vibrato_cents) * late + 50 * touch.modulation + 20 * touch.pressure;
        const double swing = vibrato * depth / 100 * std::sin(2 * 3.14159265358979323846 * now.vibrato_hz * seconds);
        const double volume = 40 * std::log10(std::max(touch.volume, 1e-3));
        nfx::VoiceFrame frame;
        frame.f0_hz = std::clamp(440.0 * std::exp2((touch.pitch + swing - 69) / 12), 20.0, 12000.0);
        frame.confidence = playing.confidence - 0.3 * rising;
        frame.loudness_db = loudness;
        frame.gain_db = volume;
        frame.brightness = bright + 8 * (touch.brightness - 0.5);
        return frame;
    }
};

}  // namespace NFX_ARCH
