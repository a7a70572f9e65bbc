// A board as a flat list of steps, for the native loop.
//
// The arithmetic is that of the Python classes `Ramp`, `Player` and `Pedalboard`, operation by operation. So a stream
// can move between Python and the loop at any block.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "memory.hpp"
#include "nets.hpp"

namespace nfx {

// A value that moves to its target in a straight line: `neural_fx.parameters.Ramp`.
struct Ramp {
    double value = 0, target = 0, step = 0;
    int64_t samples = 1, left = 0;
    double setting = 0;  // the parameter as Python knows it: dB where `target` is a factor

    void aim(double to) {
        if (to == target) return;
        target = to;
        left = samples;
        step = (target - value) / double(samples);
    }

    // Write the next n values if the ramp moves. Otherwise return false, and all of them are `held()`.
    bool next(float* values, int n) {
        if (!left) return false;
        const int moving = int(std::min<int64_t>(left, n));
        for (int t = 0; t < moving; ++t) values[t] = float(target - step * double(left - (t + 1)));
        std::fill(values + moving, values + n, float(target));
        left -= moving;
        value = left ? target - step * double(left) : target;
        return true;
    }

    float held() const { return float(value); }
};

class Program;

// A new target of a ramp: `offset` frames into the next block, or at Unix time `when`.
struct Change {
    const Program* program = nullptr;
    int ramp = 0, offset = 0;
    double setting = 0, target = 0, when = 0;
};

// The last samples of some rows.
class Past {
    size_t rows, length, at = 0;
    std::vector<float> samples;  // (rows, length), each row a ring

public:
    explicit Past(size_t rows = 0, size_t length = 0) : rows(rows), length(length), samples(rows * length) {}

    size_t row_count() const { return rows; }
    size_t size() const { return length; }
    void put(size_t row, const float* from, int n) {
        for (int t = std::max(0, n - int(length)); t < n; ++t)
            samples[row * length + (at + size_t(t)) % length] = from[t];
    }
    void advance(int n) {
        if (length) at = (at + size_t(n)) % length;
    }
    // All rows, oldest sample first.
    void set(const float* from) {
        at = 0;
        std::copy_n(from, samples.size(), samples.begin());
    }
    void get(float* to) const {
        for (size_t r = 0; r < rows; ++r)
            for (size_t t = 0; t < length; ++t) to[r * length + t] = samples[r * length + (at + t) % length];
    }
};

class Program {
public:
    enum class Do { keep, recall, clear, add, blend, run };

    const int channels, frames;
    const double rate;

    Program(int channels, int frames, double rate) : channels(channels), frames(frames), rate(rate) {
        if (channels < 1 || frames < 1 || !(rate > 0)) throw std::invalid_argument("Program: sizes do not fit");
        now = Buffer(block());
        values = Buffer(size_t(frames));
        aimed.reserve(64);
    }

    int add_ramp(const Ramp& ramp, double aim) {
        if (ramp.samples < 1 || ramp.left < 0) throw std::invalid_argument("Program: a ramp has no length");
        ramps.push_back(ramp);
        aimed.push_back(aim);
        return int(ramps.size()) - 1;
    }

    // A step on one of the kept blocks, with a ramp for `blend`.
    void add_step(Do what, int place, int ramp = 0) {
        if (what == Do::run || place < 0 || place > int(kept.size()) || (what == Do::blend && !known(ramp)))
            throw std::invalid_argument("Program: a step does not fit");
        if (place == int(kept.size())) kept.emplace_back(block());
        steps.push_back({what, place, ramp, {}, {}, 0, Past()});
    }

    // Networks, a stream per channel. Ramps: the gain before them, their knobs, the gain after them; or none at all.
    // Returns the step's number.
    size_t add_networks(std::vector<Stream*> streams, int inputs, int outputs, std::vector<int> its_ramps) {
        bool fits = int(streams.size()) == channels && inputs > 0 && outputs > 0;
        fits = fits && (its_ramps.empty() ? inputs == 1 : int(its_ramps.size()) == inputs + 1);
        for (int ramp : its_ramps) fits = fits && known(ramp);
        if (!fits) throw std::invalid_argument("Program: a network does not fit");
        if (rows.size() < size_t(inputs) * size_t(frames)) rows = Buffer(size_t(inputs) * size_t(frames));
        if (answers.size() < size_t(outputs) * size_t(frames)) answers = Buffer(size_t(outputs) * size_t(frames));
        steps.push_back({Do::run, 0, 0, std::move(streams), std::move(its_ramps), outputs, Past()});
        return steps.size() - 1;
    }

    // Keep the last samples that go into a step's networks, beginning with those given: (channels, inputs, length).
    void remember(size_t step, const float* past, size_t inputs, size_t length) {
        if (step >= steps.size() || steps[step].what != Do::run || inputs + 1 != steps[step].ramps.size())
            throw std::invalid_argument("Program: a past does not fit");
        steps[step].past = Past(size_t(channels) * inputs, length);
        steps[step].past.set(past);
    }
    const Past& past(size_t step) const {
        if (step >= steps.size()) throw std::invalid_argument("Program: there is no such step");
        return steps[step].past;
    }

    const Ramp& ramp(int index) const {
        if (!known(index)) throw std::invalid_argument("Program: there is no such ramp");
        return ramps[size_t(index)];
    }
    bool known(int index) const { return index >= 0 && index < int(ramps.size()); }

    // Set where a ramp goes from the next `play` on. Of several changes the last one counts.
    void set(const Change& change) {
        aimed[size_t(change.ramp)] = change.target;
        ramps[size_t(change.ramp)].setting = change.setting;
    }

    // Play the next n frames. Channels of `in` and `out` are `frames` apart. Allocates nothing.
    void play(const float* in, float* out, int n) {
        for (size_t i = 0; i < ramps.size(); ++i) ramps[i].aim(aimed[i]);
        copy(in, now.get(), n);
        for (auto& step : steps) follow(step, n);
        copy(now.get(), out, n);
    }

private:
    struct Step {
        Do what;
        int place, ramp;
        std::vector<Stream*> streams;
        std::vector<int> ramps;
        int outputs;
        Past past;
    };

    std::vector<Step> steps;
    std::vector<Ramp> ramps;
    std::vector<double> aimed;
    std::vector<Buffer> kept;
    Buffer now, values, rows, answers;

    size_t block() const { return size_t(channels) * size_t(frames); }
    void copy(const float* from, float* to, int n) const {
        for (int c = 0; c < channels; ++c) std::copy_n(from + size_t(c) * frames, n, to + size_t(c) * frames);
    }

    void follow(Step& step, int n) {
        float* const place = step.what == Do::run ? nullptr : kept[size_t(step.place)].get();
        switch (step.what) {
            case Do::keep: copy(now.get(), place, n); break;
            case Do::recall: copy(place, now.get(), n); break;
            case Do::clear: std::fill_n(place, block(), 0.0f); break;
            case Do::add: add(place, n); break;
            case Do::blend: blend(place, ramps[size_t(step.ramp)], n); break;
            case Do::run: run(step, n); break;
        }
    }

    void add(float* place, int n) {
        for (int c = 0; c < channels; ++c)
            for (int t = 0; t < n; ++t) place[size_t(c) * frames + t] += now.get()[size_t(c) * frames + t];
    }

    // Mix the dry block that was kept with this one: dry + value * (wet - dry).
    void blend(const float* place, Ramp& ramp, int n) {
        const bool moves = ramp.next(values.get(), n);
        if (!moves) {
            if (ramp.held() == 1) return;
            std::fill_n(values.get(), n, ramp.held());
        }
        for (int c = 0; c < channels; ++c) {
            const float* dry = place + size_t(c) * frames;
            float* wet = now.get() + size_t(c) * frames;
            for (int t = 0; t < n; ++t) wet[t] = dry[t] + values.get()[t] * (wet[t] - dry[t]);
        }
    }

    void run(Step& step, int n) {
        if (!step.ramps.empty()) amplify(ramps[size_t(step.ramps.front())], n);
        for (size_t i = 1; i + 1 < step.ramps.size(); ++i) {
            Ramp& knob = ramps[size_t(step.ramps[i])];
            float* row = rows.get() + i * size_t(frames);
            if (!knob.next(row, n)) std::fill_n(row, n, knob.held());
        }
        for (int c = 0; c < channels; ++c) {
            float* audio = now.get() + size_t(c) * frames;
            std::copy_n(audio, n, rows.get());
            if (step.past.size()) remember_rows(step, size_t(c), n);
            step.streams[size_t(c)]->process(rows.get(), size_t(frames), answers.get(), size_t(frames), n);
            std::copy_n(answers.get(), n, audio);
        }
        step.past.advance(n);
        if (!step.ramps.empty()) amplify(ramps[size_t(step.ramps.back())], n);
    }

    void remember_rows(Step& step, size_t channel, int n) const {
        const size_t inputs = step.ramps.size() - 1;
        for (size_t i = 0; i < inputs; ++i) step.past.put(channel * inputs + i, rows.get() + i * size_t(frames), n);
    }

    void amplify(Ramp& gain, int n) {
        const bool moves = gain.next(values.get(), n);
        if (!moves) {
            if (gain.held() == 1) return;
            std::fill_n(values.get(), n, gain.held());
        }
        for (int c = 0; c < channels; ++c)
            for (int t = 0; t < n; ++t) now.get()[size_t(c) * frames + t] *= values.get()[t];
    }
};

}  // namespace nfx
