// One sample of a GRU for a few voices.
#pragma once

#include <algorithm>
#include <vector>

#include "conditions.hpp"
#include "front.hpp"
#include "product.hpp"

namespace NFX_ARCH {

// A GRU. What its gates get from the previous sample is a row of a table, so that sample costs no product.
class GatedUnits {
    int units;   // rounded up to whole vectors
    int phases;  // numbers of the phase
    Front front;
    Product phase;
    Product state;
    nfx::Buffer state_bias;
    nfx::Buffer kept;  // (slots, units)
    // Scratch: a row for each voice of the block.
    nfx::Buffer h;       // (rows, units)
    nfx::Buffer turns;   // (rows, phases)
    nfx::Buffer input;   // (rows, 3 * units), gates from the input
    nfx::Buffer before;  // (rows, 3 * units), gates from the state

    int wide() const { return 3 * units; }

    template <int R>
    NFX_INLINE void run_units(int first, const int* slots, const FrameConditions& frames) {
        float* const from_input = input.get() + first * size_t(wide());
        float* const from_state = before.get() + first * size_t(wide());
        for (int row = 0; row < R; ++row)
            for (int i = 0; i < wide(); i += W) {
                float* const at = from_input + row * size_t(wide()) + i;
                store(at, load(at) + frames.at(first + row, i));
            }
        phase.run<R>(turns.get() + first * size_t(phases), phases, from_input, wide(), from_input, wide());
        state.run<R>(h.get() + first * size_t(units), units, state_bias.get(), 0, from_state, wide());
        for (int row = 0; row < R; ++row) {
            const float* const a = from_input + row * size_t(wide());
            const float* const b = from_state + row * size_t(wide());
            float* const to = h.get() + (first + row) * size_t(units);
            float* const keep = kept.get() + slots[first + row] * size_t(units);
            for (int i = 0; i < units; i += W) {
                const int update_at = units + i;
                const int new_at = 2 * units + i;
                const vec reset = quick_sigmoid(load(a + i) + load(b + i));
                const vec update = quick_sigmoid(load(a + update_at) + load(b + update_at));
                const vec fresh = quick_tanh(load(a + new_at) + reset * load(b + new_at));
                const vec value = fresh + update * (load(to + i) - fresh);
                store(to + i, value);
                store(keep + i, value);
            }
        }
    }

public:
    static constexpr bool RECTIFIED = false;

    static int front_width(const nfx::GeneratorSizes& sizes) { return sizes.embedded; }
    static size_t weights(const nfx::GeneratorSizes& sizes) {
        const size_t rows = size_t(3) * sizes.units;
        return rows * (sizes.embedded + sizes.conditions() + 1) + rows * (sizes.units + 1);
    }
    static size_t hoisted_rows(const nfx::GeneratorSizes& sizes) { return size_t(3) * padded(sizes.units); }
    static int results(const nfx::GeneratorSizes& sizes) { return sizes.units; }

    GatedUnits(const nfx::GeneratorSizes& sizes, const float* front_weights, WeightReader& reader, Hoisted& hoisted,
               int slots)
        : units(padded(sizes.units)), phases(sizes.phases()), kept(size_t(slots) * units), h(size_t(slots) * units),
          turns(size_t(slots) * phases + 1), input(size_t(slots) * wide()), before(size_t(slots) * wide()) {
        const int count = sizes.units;
        const int embedded = sizes.embedded;
        const int columns = embedded + sizes.conditions();
        const auto place = [this, count](int o) { return o / count * units + o % count; };
        const float* const weight = reader.take(size_t(3) * count * columns);
        const float* const bias = reader.take(size_t(3) * count);
        for (int o = 0; o < 3 * count; ++o)
            hoisted.set(sizes, place(o), weight + size_t(o) * columns + embedded, bias[o]);
        front = Front(sizes, front_weights, embedded, wide(), [&](const float* from, float* to) {
            for (int o = 0; o < 3 * count; ++o) {
                double sum = 0;
                for (int i = 0; i < embedded; ++i) sum += double(weight[size_t(o) * columns + i]) * from[i];
                to[place(o)] = float(sum);
            }
        });
        phase = Product(weight + embedded + sizes.frame, columns, 3 * count, phases, wide(), place);
        state = Product(reader.take(size_t(3) * count * count), count, 3 * count, count, wide(), place);
        state_bias = nfx::Buffer(wide());
        const float* const state_biases = reader.take(size_t(3) * count);
        for (int o = 0; o < 3 * count; ++o) state_bias.get()[place(o)] = state_biases[o];
    }

    void reset(int slot) { std::fill_n(kept.get() + slot * size_t(units), units, 0.0f); }

    // Give a row its previous sample and the conditions of the phase.
    void set_input(int row, float previous, const float* turn) {
        front.each(previous, [&](int i, vec v) { store(input.get() + row * size_t(wide()) + i, v); });
        std::copy_n(turn, phases, turns.get() + row * size_t(phases));
    }

    // Compute a sample. Return the state, (rows, stride).
    float* step(int count, const int* slots, const FrameConditions& frames) {
        for (int row = 0; row < count; ++row)
            std::copy_n(kept.get() + slots[row] * size_t(units), units, h.get() + row * size_t(units));
        each_group(count, [&]<int R>(int first) NFX_BODY { run_units<R>(first, slots, frames); });
        return h.get();
    }
    int stride() const { return units; }

    // Number of weights that a sample reads.
    size_t floats() const { return phase.floats() + state.floats(); }
};

}  // namespace NFX_ARCH
