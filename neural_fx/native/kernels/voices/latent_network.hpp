// The decoder of a latent instrument. instruments/latent/network.py and features.py are the same in numpy.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "../dense.hpp"
#include "../rows.hpp"
#include "latent_interfaces.hpp"
#include "memory.hpp"

namespace NFX_ARCH {

class LatentNetwork final : public nfx::LatentNetwork {
    nfx::LatentSettings with;
    // In the order of the weights.
    Dense note_first, note_second, note_outputs, frame_note, frame_time, frame_gate, frame_hidden, frame_outputs;

    // SiLU to within a few units in the last place. Levels are exponents, so errors of the network are heard enlarged.
    static vec silu(vec x) { return x / (1 + vexp(-vmax(x, all(-30.0f)))); }

    // How near a value is to some places, 1 at the place itself.
    static float* bumps(double value, const std::vector<double>& places, double width, float* to) {
        for (const double place : places) {
            const double distance = (value - place) / width;
            *to++ = float(std::exp(-distance * distance));
        }
        return to;
    }

public:
    // What one caller needs while it decodes up to some rows at once.
    class Scratch {
        friend class LatentNetwork;
        nfx::Buffer seen, first, second, notes, times, gate, hidden;

    public:
        Scratch(const LatentNetwork& of, int rows)
            : seen(size_t(rows * of.with.note_features())), first(size_t(rows * of.note_first.width())),
              second(size_t(rows * of.note_second.width())), notes(size_t(rows * of.note_outputs.width())),
              times(size_t(rows * of.with.time_features())), gate(size_t(rows * of.frame_width())),
              hidden(size_t(rows * of.frame_width())) {}
        // What `LatentNetwork::notes` returned for a row: cents of the slots, then the inharmonicity.
        const float* note(const LatentNetwork& of, int row) const {
            return notes.get() + row * of.note_outputs.width();
        }
    };

    LatentNetwork(const nfx::LatentSettings& settings, const float* from)
        : with(settings), note_first(from, with.note, with.note_features()), note_second(from, with.note, with.note),
          note_outputs(from, int(with.slot_ratios.size()) + 1, with.note), frame_note(from, with.frame, with.note),
          frame_time(from, with.frame, with.time_features()), frame_gate(from, with.frame, with.time_features()),
          frame_hidden(from, with.frame, with.frame), frame_outputs(from, with.frame_outputs(), with.frame) {}

    int frame_width() const { return frame_hidden.width(); }
    int output_width() const { return frame_outputs.width(); }

    // Set what the network sees of the note of a row.
    void see_note(Scratch& scratch, int row, const double* timbre, double pitch, double velocity) const {
        float* to = scratch.seen.get() + row * with.note_features();
        for (int i = 0; i < with.timbre; ++i) *to++ = float(timbre[i]);
        to = bumps(pitch, with.pitches, with.pitch_width, to);
        *to++ = float((pitch - 60) / 36);
        bumps(velocity, with.velocities, with.velocity_width, to);
    }

    // Compute what the frames of each note share. projected: (rows, frame_width).
    void notes(Scratch& scratch, int rows, float* projected) const {
        note_first.run(scratch.seen.get(), with.note_features(), scratch.first.get(), note_first.width(), rows);
        each(scratch.first.get(), rows * note_first.width(), silu);
        note_second.run(scratch.first.get(), note_first.width(), scratch.second.get(), note_second.width(), rows);
        each(scratch.second.get(), rows * note_second.width(), silu);
        note_outputs.run(scratch.second.get(), note_second.width(), scratch.notes.get(), note_outputs.width(), rows);
        frame_note.run(scratch.second.get(), note_second.width(), projected, frame_width(), rows);
    }

    // Set the time of a row's frame. Ticks are since the onset; `release` is infinite while the note is held.
    void see_time(Scratch& scratch, int row, double ticks, double release) const {
        float* to = scratch.times.get() + row * with.time_features();
        const bool held = ticks < release;
        const double after = held ? 0 : ticks - release;
        to = bumps(std::log2(1 + ticks), with.onsets, with.place_width, to);
        *to++ = float(ticks / with.ticks_per_second);
        if (held) {
            std::fill_n(to, with.releases.size(), 0.0f);
            to += with.releases.size();
        } else {
            to = bumps(std::log2(1 + after), with.releases, with.place_width, to);
        }
        *to++ = float(after / with.ticks_per_second);
        *to = held ? 1.0f : 0.0f;
    }

    // Decode frames. hidden: (rows, frame_width), first the notes' `projected`, then overwritten.
    // outputs: (rows, output_width).
    void frames(Scratch& scratch, int rows, float* hidden, float* outputs) const {
        const int width = frame_width();
        const int inputs = with.time_features();
        frame_time.run(scratch.times.get(), inputs, scratch.hidden.get(), width, rows);
        frame_gate.run(scratch.times.get(), inputs, scratch.gate.get(), width, rows);
        for (int i = 0; i < rows * width; i += W) {
            const vec seen = silu(load(hidden + i) + load(scratch.hidden.get() + i));
            store(hidden + i, seen * (1 + load(scratch.gate.get() + i)));
        }
        frame_hidden.run(hidden, width, scratch.hidden.get(), width, rows);
        for (int i = 0; i < rows * width; i += W)
            store(hidden + i, load(hidden + i) + silu(load(scratch.hidden.get() + i)));
        frame_outputs.run(hidden, width, outputs, output_width(), rows);
    }
};

}  // namespace NFX_ARCH
