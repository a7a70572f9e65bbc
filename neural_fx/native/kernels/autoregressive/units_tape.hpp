// Training windows of GRUs that play sample by sample.
#pragma once

#include <algorithm>
#include <tuple>
#include <vector>

#include "../simd.hpp"
#include "generator_interfaces.hpp"
#include "trained_output.hpp"

namespace NFX_ARCH {

// A GRU, trained by backpropagation through the whole window. Rows are in the order of time, then of items, so all
// items of the batch go through the state's matrix together.
class GatedUnitsTape final : public nfx::GeneratorTape {
    nfx::GeneratorSizes sizes;
    int batch;
    int samples;
    int units;     // rounded up to whole vectors
    int wide;      // conditions, rounded up to whole vectors
    int together;  // samples of a block
    Places places;
    size_t table;
    TrainedMatrix embedded;  // the gates from the embedded previous sample
    TrainedMatrix conditions;
    TrainedBias input_bias;
    TrainedMatrix state;
    TrainedBias state_bias;
    TrainedOutput output;
    nfx::Buffer rows_of_table;  // (classes, embedded)
    nfx::Buffer folded;         // (classes, 3 * units), the gates of each class
    nfx::Buffer folded_back;
    nfx::Buffer condition;   // (rows, wide)
    nfx::Buffer gates;       // (rows, 3 * units): reset, update, new; then their gradients before the activations
    nfx::Buffer from_state;  // (rows, units): what the reset gate multiplies
    nfx::Buffer h;           // (batch + rows, units)
    nfx::Buffer h_back;      // (rows, units)
    nfx::Buffer step;        // (together * batch, 3 * units), gates from the state, or their gradients
    nfx::Buffer carried;     // (batch, units), gradient of the state
    nfx::Buffer c_back;      // (together * batch, wide)
    nfx::Buffer zeros;

    size_t all_gates() const { return size_t(3) * units; }
    Samples gates_of(int row) { return Samples{gates.get(), all_gates()}.from(row); }
    Samples state_before(int row) { return Samples{h.get(), size_t(units)}.from(row); }
    Samples state_after(int row) { return state_before(row + batch); }
    Samples back_of(int row) { return Samples{h_back.get(), size_t(units)}.from(row); }
    Samples condition_of(int row) { return Samples{condition.get(), size_t(wide)}.from(row); }
    // Return where a row stands in arrays of the caller, which have an item's samples side by side.
    size_t outside(int row) const { return size_t(row % batch) * samples + row / batch; }

    void forward_step(int row) {
        const Samples from{step.get(), all_gates()};
        multiply_rows(state.forward, state_before(row), state_bias.all_rows(), from, batch);
        for (int b = 0; b < batch; ++b) {
            float* const gate = gates_of(row + b).p;
            const float* const of = from.row(b);
            const float* const before = state_before(row + b).p;
            for (int i = 0; i < units; i += W) {
                const vec reset = quick_sigmoid(load(gate + i) + load(of + i));
                const vec update = quick_sigmoid(load(gate + units + i) + load(of + units + i));
                const vec kept = load(of + 2 * units + i);
                const vec fresh = quick_tanh(load(gate + 2 * units + i) + reset * kept);
                store(gate + i, reset);
                store(gate + units + i, update);
                store(gate + 2 * units + i, fresh);
                store(from_state.get() + size_t(row + b) * units + i, kept);
                store(state_after(row + b).p + i, fresh + update * (load(before + i) - fresh));
            }
        }
    }

    // Turn the gates of a step into their gradients. `back` gets those of the gates from the state.
    void backward_step(int row, Samples back) {
        for (int b = 0; b < batch; ++b) {
            float* const gate = gates_of(row + b).p;
            float* const of = back.row(b);
            float* const carry = carried.get() + size_t(b) * units;
            for (int i = 0; i < units; i += W) {
                const vec reset = load(gate + i);
                const vec update = load(gate + units + i);
                const vec fresh = load(gate + 2 * units + i);
                const vec kept = load(from_state.get() + size_t(row + b) * units + i);
                const vec d = load(carry + i) + load(back_of(row + b).p + i);
                const vec d_fresh = d * (1.0f - update) * (1.0f - fresh * fresh);
                const vec d_update = d * (load(state_before(row + b).p + i) - fresh) * update * (1.0f - update);
                const vec d_reset = d_fresh * kept * reset * (1.0f - reset);
                store(gate + i, d_reset);
                store(gate + units + i, d_update);
                store(gate + 2 * units + i, d_fresh);
                store(of + i, d_reset);
                store(of + units + i, d_update);
                store(of + 2 * units + i, d_fresh * reset);
                store(carry + i, d * update);
            }
        }
        const Samples carry{carried.get(), size_t(units)};
        multiply_rows(state.backward, back, carry, carry, batch);
    }

    void forward_block(const nfx::TrainingWindow& window, int first, int rows) {
        for (int t = 0; t < rows; ++t) {
            const size_t at = outside(first + t);
            const float* const row = folded.get() + size_t(window.previous[at]) * all_gates();
            float* const to = gates_of(first + t).p;
            const float* const bias = input_bias.value.get();
            for (size_t i = 0; i < all_gates(); i += W) store(to + i, load(row + i) + load(bias + i));
            std::copy_n(window.conditions + at * sizes.conditions(), sizes.conditions(), condition_of(first + t).p);
        }
        const Samples gate = gates_of(first);
        multiply_rows(conditions.forward, condition_of(first), gate, gate, rows);
        for (int t = 0; t < rows; t += batch) forward_step(first + t);
        for (int t = 0; t < rows; t += TrainedOutput::SPAN) {
            const int some = std::min(TrainedOutput::SPAN, rows - t);
            output.run(state_after(first + t), back_of(first + t), some, [&](int row) {
                const size_t at = outside(first + t + row);
                return std::tuple(window.targets[at], window.weights[at], window.losses + at);
            });
        }
    }

    void backward_block(const nfx::TrainingWindow& window, int first, int rows) {
        const Samples back{step.get(), all_gates()};
        for (int t = rows - batch; t >= 0; t -= batch) backward_step(first + t, back.from(t));
        const Samples gate = gates_of(first);
        state.gather(back, state_before(first), rows);
        conditions.gather(gate, condition_of(first), rows);
        state_bias.gather(back, rows);
        input_bias.gather(gate, rows);
        const Samples c{c_back.get(), size_t(wide)};
        multiply_rows(conditions.backward, gate, {zeros.get(), 0}, c, rows);
        for (int t = 0; t < rows; ++t) {
            const size_t at = outside(first + t);
            float* const to = folded_back.get() + size_t(window.previous[at]) * all_gates();
            for (size_t i = 0; i < all_gates(); i += W) store(to + i, load(to + i) + load(gate.row(t) + i));
            std::copy_n(c.row(t), sizes.conditions(), window.condition_gradients + at * sizes.conditions());
        }
    }

    void load_weights(const float* parameters) {
        for (TrainedMatrix* m : {&embedded, &conditions, &state}) m->set(parameters);
        input_bias.set(parameters);
        state_bias.set(parameters);
        output.load_weights(parameters);
        for (int i = 0; i < sizes.outputs; ++i)
            std::copy_n(parameters + table + size_t(i) * sizes.embedded, sizes.embedded,
                        rows_of_table.get() + size_t(i) * embedded.ins);
        multiply_rows(embedded.forward, {rows_of_table.get(), size_t(embedded.ins)}, {zeros.get(), 0},
                      {folded.get(), all_gates()}, sizes.outputs);
        folded_back.clear();
    }

    void store_gradients(float* gradients) {
        const Samples back{folded_back.get(), all_gates()};
        const Samples rows{rows_of_table.get(), size_t(embedded.ins)};
        embedded.gather(back, rows, sizes.outputs);
        multiply_rows(embedded.backward, back, {zeros.get(), 0}, rows, sizes.outputs);
        for (int i = 0; i < sizes.outputs; ++i)
            std::copy_n(rows.row(i), sizes.embedded, gradients + table + size_t(i) * sizes.embedded);
        for (const TrainedMatrix* m : {&embedded, &conditions, &state}) m->store_gradient(gradients);
        input_bias.store_gradient(gradients);
        state_bias.store_gradient(gradients);
        output.store_gradient(gradients);
    }

public:
    GatedUnitsTape(const nfx::GeneratorSizes& sizes, int batch, int samples)
        : sizes(sizes), batch(batch), samples(samples), units(padded(sizes.units)), wide(padded(sizes.conditions())),
          together(std::max(1, SHARED_ROWS / batch)) {
        const int count = sizes.units;
        const size_t columns = size_t(sizes.embedded) + sizes.conditions();
        const std::vector<int> three = padded_rows(3, count);
        table = places.take(size_t(sizes.outputs) * sizes.embedded);
        const size_t input = places.take(size_t(3) * count * columns);
        embedded = TrainedMatrix(input, columns, three, sizes.embedded, int(all_gates()));
        conditions = TrainedMatrix(input + sizes.embedded, columns, three, sizes.conditions(), int(all_gates()));
        input_bias = TrainedBias(places.take(size_t(3) * count), three, int(all_gates()));
        state = TrainedMatrix(places.take(size_t(3) * count * count), count, three, count, int(all_gates()));
        state_bias = TrainedBias(places.take(size_t(3) * count), three, int(all_gates()));
        output = TrainedOutput(sizes, count, false, places);
        const size_t rows = size_t(batch) * samples;
        const size_t block = size_t(together) * batch;
        rows_of_table = nfx::Buffer(size_t(sizes.outputs) * embedded.ins);
        folded = nfx::Buffer(size_t(sizes.outputs) * all_gates());
        folded_back = nfx::Buffer(folded.size());
        condition = nfx::Buffer(rows * wide);
        gates = nfx::Buffer(rows * all_gates());
        from_state = nfx::Buffer(rows * units);
        h = nfx::Buffer((rows + batch) * units);
        h_back = nfx::Buffer(rows * units);
        step = nfx::Buffer(block * all_gates());
        carried = nfx::Buffer(size_t(batch) * units);
        c_back = nfx::Buffer(block * wide);
        zeros = nfx::Buffer(std::max({all_gates(), size_t(wide), size_t(embedded.ins)}));
    }
    void run(const nfx::TrainingWindow& window) override {
        load_weights(window.parameters);
        const int rows = batch * samples;
        const int block = together * batch;
        for (int first = 0; first < rows; first += block) forward_block(window, first, std::min(block, rows - first));
        carried.clear();
        for (int first = (rows - 1) / block * block; first >= 0; first -= block)
            backward_block(window, first, std::min(block, rows - first));
        store_gradients(window.gradients);
    }
};

}  // namespace NFX_ARCH
