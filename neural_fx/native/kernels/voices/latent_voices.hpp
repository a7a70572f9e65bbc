// Notes played by voices of a latent instrument, all computed together, tick by tick.
// instruments/latent/voices.py is the same in numpy, and explains it.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "band_noise.hpp"
#include "latent_network.hpp"
#include "latent_note.hpp"
#include "sinusoid_bank.hpp"

namespace NFX_ARCH {

class LatentVoices final : public nfx::LatentVoices {
    struct Fading {
        LatentNote note;
        int left;
    };
    // A frame to decode. A long note may need two more, from which its slope is known.
    enum class Which { now, end, start };
    struct Row {
        int note;
        Which which;
    };

    nfx::LatentSettings with;
    std::shared_ptr<const LatentNetwork> network;
    LatentNetwork::Scratch scratch;
    SinusoidBank bank;
    BandNoise noise;
    std::vector<LatentNote> notes;
    std::vector<Fading> fading;
    int fades = 0;  // of `fading` that still sound
    long tick = 0;
    int at;                       // samples of this tick that are played
    std::vector<double> control;  // timbre and gain of this tick
    nfx::Buffer sound;            // of this tick
    // Scratch of one tick.
    std::vector<int> playing, due, changed;
    std::vector<Row> rows;
    nfx::Buffer projected, hidden, outputs, offsets, raw;
    std::vector<float> powers;

public:
    LatentVoices(const nfx::LatentSettings& settings, std::shared_ptr<const LatentNetwork> of)
        : with(settings), network(std::move(of)), scratch(*network, 3 * with.voices), bank(with.sinusoids()),
          noise(with), at(with.hop), control(size_t(with.timbre + 1)), sound(size_t(with.hop + SinusoidBank::ROOM)),
          projected(size_t(with.voices * network->frame_width())),
          hidden(size_t(3 * with.voices * network->frame_width())),
          outputs(size_t(3 * with.voices * network->output_width())), offsets(size_t(network->output_width())),
          raw(size_t(network->output_width())), powers(size_t(with.bands)) {
        notes.reserve(size_t(with.voices));
        for (int v = 0; v < with.voices; ++v) notes.emplace_back(with, network->frame_width(), network->output_width());
        fading.reserve(size_t(with.most_fading));
        for (int i = 0; i < with.most_fading; ++i)
            fading.push_back({LatentNote(with, network->frame_width(), network->output_width()), 0});
        for (std::vector<int>* list : {&playing, &due, &changed}) list->reserve(size_t(with.voices));
        rows.reserve(size_t(3 * with.voices));
        std::fill_n(offsets.get() + with.sinusoids(), with.bands, float(with.noise_db));
    }

    void start(int voice, const nfx::LatentTouch& touch) override {
        LatentNote& note = notes[size_t(voice)];
        if (note.sounding) steal(note);
        note.begin(with, touch);
        if (at == with.hop) return;
        playing.assign(1, voice);
        advance(with.hop - at, sound.get() + at);
    }

    void change(int voice, const nfx::LatentTouch& touch) override {
        LatentNote& note = notes[size_t(voice)];
        note.touch = touch;
        if (touch.held == std::isinf(note.release)) return;
        note.release = touch.held ? std::numeric_limits<double>::infinity() : note.ticks;
        note.ticks_left = 0;
    }

    bool sounding(int voice) const override { return notes[size_t(voice)].sounding; }
    double level(int voice) const override { return notes[size_t(voice)].peak_db + notes[size_t(voice)].gain_db; }

    int ticks(int count) const override { return (std::max(count - (with.hop - at), 0) + with.hop - 1) / with.hop; }

    void render(const double* controls, float* out, int count) override {
        for (int done = 0; done < count;) {
            if (at == with.hop) {
                std::copy_n(controls, control.size(), control.begin());
                controls += control.size();
                next_tick();
            }
            const int size = std::min(count - done, with.hop - at);
            std::copy_n(sound.get() + at, size, out + done);
            at += size;
            done += size;
        }
    }

private:
    void steal(LatentNote& note) {
        if (fades == with.most_fading) {
            std::rotate(fading.begin(), fading.begin() + 1, fading.end());
            --fades;
        }
        std::swap(note, fading[size_t(fades)].note);
        fading[size_t(fades)].left = with.steal_ticks;
        ++fades;
    }

    void next_tick() {
        sound.clear();
        std::fill(powers.begin(), powers.end(), 0.0f);
        playing.clear();
        for (int v = 0; v < with.voices; ++v)
            if (notes[size_t(v)].sounding) playing.push_back(v);
        advance(with.hop, sound.get());
        for (const int v : playing) add_noise(notes[size_t(v)]);
        int kept = 0;
        for (int i = 0; i < fades; ++i) {
            Fading& one = fading[size_t(i)];
            one.note.fade(one.left);
            add_sinusoids(one.note, with.hop, sound.get());
            add_noise(one.note);
            if (--one.left == 0) continue;
            if (i != kept) std::swap(one, fading[size_t(kept)]);
            ++kept;
        }
        fades = kept;
        noise.add(powers.data(), sound.get());
        ++tick;
        at = 0;
    }

    void add_noise(const LatentNote& note) {
        for (int band = 0; band < with.bands; ++band) powers[size_t(band)] += note.noise[size_t(band)];
    }

    void add_sinusoids(LatentNote& note, int samples, float* out) {
        bank.clear();
        for (int k = 0; k < with.sinusoids(); ++k) {
            const size_t i = size_t(k);
            if (note.before[i] > 0 || note.amplitudes[i] > 0)
                bank.push(note.turns[i], note.steps[i], note.before[i],
                          (note.amplitudes[i] - note.before[i]) / float(samples));
            note.turns[i] += note.steps[i] * samples;
            note.turns[i] -= std::floor(note.turns[i]);
        }
        bank.add(out, samples);
    }

    // Move the notes `playing` on, and add their sinusoids to `out`.
    void advance(int samples, float* out) {
        due.clear();
        for (const int v : playing) {
            LatentNote& note = notes[size_t(v)];
            if (note.ticks_left == 0) {
                note.ticks_left = samples < with.hop ? 1 : note.ticks_to_frame(with, tick);
                due.push_back(v);
            }
            note.ticks += double(samples) / with.hop;
        }
        if (!due.empty()) decode();
        for (const int v : playing) {
            LatentNote& note = notes[size_t(v)];
            note.play(with, control.back());
            add_sinusoids(note, samples, out);
        }
    }

    // -- frames ------------------------------------------------------------------------------------------------------

    static double frame_ticks(const LatentNote& note) { return note.ticks + note.ticks_left - 1; }
    double beyond(const LatentNote& note) const {
        return std::max(std::min(frame_ticks(note), note.release) - with.trained_ticks, 0.0);
    }

    // Decode the next frames of the notes that are `due`, all together.
    void decode() {
        update_notes();
        rows.clear();
        for (const int v : due) {
            const LatentNote& note = notes[size_t(v)];
            const bool late = beyond(note) > 0;
            if (late && !note.late_known) {
                add_row(v, Which::end, with.trained_ticks, std::numeric_limits<double>::infinity());
                add_row(v, Which::start, with.trained_ticks - with.slope_ticks,
                        std::numeric_limits<double>::infinity());
            }
            // A long note that is held stays as it was at the last frame that the network has heard.
            if (!late || !std::isinf(note.release))
                add_row(v, Which::now, frame_ticks(note) - beyond(note), note.release - beyond(note));
        }
        network->frames(scratch, int(rows.size()), hidden.get(), outputs.get());
        for (size_t i = 0; i + 1 < rows.size(); ++i)
            if (rows[i].which == Which::end) set_slope(notes[size_t(rows[i].note)], output(i), output(i + 1));
        for (size_t i = 0; i < rows.size(); ++i)
            if (rows[i].which == Which::now) set_frame(notes[size_t(rows[i].note)], output(i));
        for (const int v : due) {
            LatentNote& note = notes[size_t(v)];
            if (beyond(note) > 0 && std::isinf(note.release)) set_frame(note, note.late_frame.get());
        }
    }

    const float* output(size_t row) const { return outputs.get() + row * size_t(network->output_width()); }

    void add_row(int voice, Which which, double ticks, double release) {
        const size_t width = size_t(network->frame_width());
        network->see_time(scratch, int(rows.size()), ticks, release);
        std::copy_n(notes[size_t(voice)].projected.get(), width, hidden.get() + rows.size() * width);
        rows.push_back({voice, which});
    }

    // Compute what frames share, of the notes whose timbre, pitch or velocity is new.
    void update_notes() {
        changed.clear();
        for (const int v : due) {
            LatentNote& note = notes[size_t(v)];
            if (note.shares(control.data())) continue;
            network->see_note(scratch, int(changed.size()), control.data(), note.touch.pitch, note.touch.velocity);
            changed.push_back(v);
        }
        if (changed.empty()) return;
        network->notes(scratch, int(changed.size()), projected.get());
        const size_t width = size_t(network->frame_width());
        const int harmonics = with.harmonics();
        const int slots = int(with.slot_ratios.size());
        for (size_t i = 0; i < changed.size(); ++i) {
            LatentNote& note = notes[size_t(changed[i])];
            std::copy_n(projected.get() + i * width, width, note.projected.get());
            const float* found = scratch.note(*network, int(i));
            const double inharmonicity =
                std::max(std::pow(10.0, double(found[slots])) - 1, 0.0) * with.least_inharmonicity;
            for (int k = 1; k <= harmonics; ++k) note.ratios[size_t(k - 1)] = k * std::sqrt(1 + inharmonicity * k * k);
            for (int s = 0; s < slots; ++s)
                note.ratios[size_t(harmonics + s)] =
                    with.slot_ratios[size_t(s)] * std::exp2(found[s] * with.slot_cents / 1200);
            note.known = true;
            note.known_pitch = note.touch.pitch;
            note.known_velocity = note.touch.velocity;
            std::copy_n(control.begin(), with.timbre, note.known_timbre.begin());
            note.late_known = false;
        }
    }

    void set_slope(LatentNote& note, const float* end, const float* start) {
        std::copy_n(end, with.frame_outputs(), note.late_frame.get());
        const float scale = float(with.level_db / with.slope_ticks);
        for (int i = 0; i < with.levels(); ++i) note.late_slope.get()[i] = std::min(end[i] - start[i], 0.0f) * scale;
        note.late_known = true;
    }

    // Set the frame that a note moves to, from the outputs of the network.
    void set_frame(LatentNote& note, const float* from) {
        const int count = with.levels();
        const float late = float(beyond(note));
        float* level = raw.get();
        for (int i = 0; i < count; ++i) level[i] = from[i] * float(with.level_db) + float(with.middle_db);
        if (late > 0)
            for (int i = 0; i < count; ++i) level[i] += note.late_slope.get()[i] * late;
        note.peak_db = *std::max_element(level, level + count);
        const double ticks = frame_ticks(note);
        note.silent_frames = from[count + 1] <= 0 && ticks > 1 ? note.silent_frames + 1 : 0;
        note.over =
            note.silent_frames >= 2 || ticks - note.release > with.longest_release || note.peak_db <= with.silent_db;
        if (note.over) note.peak_db = with.silent_db;
        for (int i = 0; i < count; i += W) {
            const vec db = load(level + i);
            const vec amplitude = vexp((db - load(offsets.get() + i)) * 0.115129255f);  // ln(10) / 20
            store(note.frame.get() + i, note.over ? vec{} : pick(db > all(float(with.audible_db)), amplitude, vec{}));
        }
        note.frame_cents = from[count] * with.cents;
        if (!note.begun) note.cents = note.frame_cents;
        note.begun = true;
    }
};

}  // namespace NFX_ARCH
