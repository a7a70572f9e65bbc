// Voices of a network that plays sample by sample. All voices of a block go through its matrices together.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "../voices/random.hpp"
#include "conditions.hpp"
#include "draws.hpp"
#include "front.hpp"
#include "generator_interfaces.hpp"
#include "product.hpp"

namespace NFX_ARCH {

// The two output layers, for rows of voices.
class OutputLayers {
    ClassLayout layout;
    Product hidden;
    nfx::Buffer hidden_bias;
    Product last;
    nfx::Buffer last_bias;
    nfx::Buffer middle;  // (rows, hidden outputs)
    nfx::Buffer found;   // (rows, last outputs)
    bool classes;
    int outputs;

    static void rectify(float* x, int count) {
        for (int i = 0; i < count; i += W) store(x + i, vmax(load(x + i), vec{}));
    }

public:
    static size_t weights(const nfx::GeneratorSizes& sizes, int in) {
        return size_t(sizes.hidden) * (in + 1) + size_t(sizes.outputs) * (sizes.hidden + 1);
    }
    OutputLayers(const nfx::GeneratorSizes& sizes, int in, WeightReader& reader, int rows)
        : layout(sizes.outputs), classes(sizes.classes()), outputs(sizes.outputs) {
        const int wide = padded(sizes.hidden);
        const auto place = [this](int o) { return place_of(o); };
        hidden = Product(reader.take(size_t(sizes.hidden) * in), in, sizes.hidden, in, wide, [](int o) { return o; });
        hidden_bias = widened(reader.take(sizes.hidden), sizes.hidden, wide);
        last = Product(reader.take(size_t(outputs) * sizes.hidden), sizes.hidden, outputs, sizes.hidden, layout.wide(),
                       place);
        last_bias = widened(nullptr, 0, layout.wide(), NEVER);
        const float* const bias = reader.take(outputs);
        for (int o = 0; o < outputs; ++o) last_bias.get()[place_of(o)] = bias[o];
        middle = nfx::Buffer(size_t(rows) * wide + 1);
        found = nfx::Buffer(size_t(rows) * layout.wide());
    }
    int place_of(int o) const { return classes ? layout.place(o) : o; }
    size_t floats() const { return hidden.floats() + last.floats(); }

    // x: (rows, stride). It is rectified in place if asked to. Return the distributions, (rows, wide).
    float* run(float* x, int stride, bool rectified, int rows) {
        const int wide = hidden.outputs();
        each_group(rows, [&]<int R>(int first) NFX_BODY {
            float* const from = x + first * size_t(stride);
            float* const through = middle.get() + first * size_t(wide);
            if (rectified) rectify(from, R * stride);
            hidden.run<R>(from, stride, hidden_bias.get(), 0, through, wide);
            rectify(through, R * wide);
            last.run<R>(through, wide, last_bias.get(), 0, found.get() + first * size_t(layout.wide()), layout.wide());
        });
        return found.get();
    }
    const ClassLayout& classes_layout() const { return layout; }
};

template <class Core>
class GeneratorOf final : public nfx::Generator {
    struct Slot {
        RandomNumbers random{nfx::RandomState{}};
        float temperature = 1;
        float previous = 0;
    };
    nfx::GeneratorSizes sizes;
    Hoisted hoisted;
    WeightReader reader;
    const float* front_weights;
    Core core;
    OutputLayers output;
    FrameConditions frames;
    PhaseConditions phases;
    std::vector<Slot> slots;

    // Return the next sample of a voice: a class, or a value from -1 to 1.
    float draw(Slot& slot, float* distribution) {
        if (sizes.classes()) {
            const float uniform = slot.random.next();
            return float(draw_class(output.classes_layout(), distribution, uniform, slot.temperature));
        }
        const float choice = slot.random.next();
        const float uniform = slot.random.next();
        return draw_logistic(distribution, sizes.outputs / 3, choice, uniform, slot.temperature);
    }

    // For each sample: compute the distributions, and pass them to use(row, sample, distribution).
    template <class Use>
    void run(const nfx::GeneratorBlock& block, Use use) {
        for (int n = 0; n < block.samples; ++n) {
            frames.move(block, n);
            phases.move(block, n);
            for (int row = 0; row < block.count; ++row)
                core.set_input(row, slots[block.slots[row]].previous, phases.at(row, n));
            float* const x = core.step(block.count, block.slots, frames);
            float* const found = output.run(x, core.stride(), Core::RECTIFIED, block.count);
            for (int row = 0; row < block.count; ++row)
                use(row, n, found + row * size_t(output.classes_layout().wide()));
        }
    }

public:
    static size_t weights(const nfx::GeneratorSizes& sizes) {
        const size_t front = size_t(sizes.front_rows()) * Core::front_width(sizes);
        return front + Core::weights(sizes) + OutputLayers::weights(sizes, Core::results(sizes));
    }
    GeneratorOf(const nfx::GeneratorSizes& sizes, const float* weights, int count)
        : sizes(sizes), hoisted(sizes, Core::hoisted_rows(sizes)), reader(weights),
          front_weights(reader.take(size_t(sizes.front_rows()) * Core::front_width(sizes))),
          core(sizes, front_weights, reader, hoisted, count), output(sizes, Core::results(sizes), reader, count),
          frames(sizes, hoisted, count), phases(sizes, count), slots(count) {
        for (int slot = 0; slot < count; ++slot) start(slot, {});
        hoisted = Hoisted(sizes, 0);
    }

    void start(int slot, const nfx::RandomState& random) override {
        core.reset(slot);
        slots[slot].random = RandomNumbers(random);
        slots[slot].previous = sizes.classes() ? float(sizes.zero) : 0.0f;
    }
    void set_temperature(int slot, float temperature) override { slots[slot].temperature = temperature; }

    void generate(const nfx::GeneratorBlock& block, float* out) override {
        run(block, [&](int row, int n, float* distribution) {
            Slot& slot = slots[block.slots[row]];
            slot.previous = draw(slot, distribution);
            const float value = sizes.classes() ? sizes.values[size_t(slot.previous)] : sizes.peak * slot.previous;
            out[size_t(row) * block.samples + n] = value;
        });
    }
    void force(const nfx::GeneratorBlock& block, const float* previous, float* out) override {
        // `set_input` reads a slot's previous sample, so each sample sets that of the next one.
        const auto set_previous = [&](int row, int n) {
            if (n < block.samples) slots[block.slots[row]].previous = previous[size_t(row) * block.samples + n];
        };
        for (int row = 0; row < block.count; ++row) set_previous(row, 0);
        run(block, [&](int row, int n, float* distribution) {
            float* const to = out + (size_t(row) * block.samples + n) * sizes.outputs;
            for (int o = 0; o < sizes.outputs; ++o) to[o] = distribution[output.place_of(o)];
            set_previous(row, n + 1);
        });
    }
    size_t bytes_per_sample() const override { return (core.floats() + output.floats()) * sizeof(float); }
};

}  // namespace NFX_ARCH
