// One sample of a WaveNet for a few voices. Every layer's past is kept, as in "Fast WaveNet" (arXiv 1611.09482).
#pragma once

#include <algorithm>
#include <vector>

#include "conditions.hpp"
#include "front.hpp"
#include "product.hpp"

namespace NFX_ARCH {

// tanh(f) * sigmoid(g) layers with residual and skip connections.
//
// Each sample waits for the one before, and each layer for the one below. So the product with a layer's past, which
// waits for nothing, is computed between the products of the layer below.
class GatedLayers {
    struct Layer {
        int dilation = 1;
        size_t past = 0;   // where its past begins among those of a slot
        Product ahead;     // of the past and the phases
        Product present;   // of the layer's input
        Product residual;  // without outputs in the last layer
        nfx::Buffer residual_bias;
        Product skip;
    };
    int channels;  // rounded up to whole vectors
    int reads;     // floats that `ahead` reads
    int skips;     // rounded up to whole vectors
    Front front;
    size_t past_floats = 0;
    std::vector<Layer> layers;
    std::vector<int> turn;  // (slots, layers), where the oldest sample of a past is
    nfx::Buffer pasts;      // by slot, then layer: (dilation, channels)
    // Scratch: a row for each voice of the block.
    nfx::Buffer x;      // (rows, channels), a layer's input
    nfx::Buffer input;  // (rows, reads)
    nfx::Buffer gates;  // (rows, 2 * channels)
    nfx::Buffer z;      // (rows, channels), a layer's output
    nfx::Buffer total;  // (rows, skips)
    nfx::Buffer total_bias;

    float* past_of(int slot, size_t n) {
        const Layer& layer = layers[n];
        return pasts.get() + slot * past_floats + layer.past + size_t(turn[slot * layers.size() + n]) * channels;
    }

    // Compute what the gates of a layer get from its past and from the conditions.
    template <int R>
    NFX_INLINE void begin(size_t n, int first, const int* slots, const FrameConditions& frames) {
        for (int row = first; row < first + R; ++row) {
            const float* past = past_of(slots[row], n);
            float* const to = input.get() + row * size_t(reads);
            for (int i = 0; i < channels; i += W) store(to + i, load(past + i));
            float* const gate = gates.get() + row * size_t(2 * channels);
            for (int i = 0; i < 2 * channels; i += W) store(gate + i, frames.at(row, n * 2 * channels + i));
        }
        float* const gate = gates.get() + first * size_t(2 * channels);
        layers[n].ahead.run<R>(input.get() + first * size_t(reads), reads, gate, 2 * channels, gate, 2 * channels);
    }

    // Compute a layer's output, and keep its input.
    template <int R>
    NFX_INLINE void activate(size_t n, int first, const int* slots) {
        float* const gate = gates.get() + first * size_t(2 * channels);
        layers[n].present.run<R>(x.get() + first * size_t(channels), channels, gate, 2 * channels, gate, 2 * channels);
        for (int row = first; row < first + R; ++row) {
            const float* const of = gates.get() + row * size_t(2 * channels);
            float* const past = past_of(slots[row], n);
            const size_t at = row * size_t(channels);
            for (int i = 0; i < channels; i += W) {
                store(z.get() + at + i, quick_tanh(load(of + i)) * quick_sigmoid(load(of + channels + i)));
                const vec v = load(x.get() + at + i);
                store(past + i, v);
                store(x.get() + at + i, v + load(layers[n].residual_bias.get() + i));
            }
            int& next = turn[slots[row] * layers.size() + n];
            next = next + 1 == layers[n].dilation ? 0 : next + 1;
        }
    }

    template <int R>
    NFX_INLINE void pass_on(size_t n, int first) {
        const Layer& layer = layers[n];
        const float* const from = z.get() + first * size_t(channels);
        float* const to = x.get() + first * size_t(channels);
        float* const sum = total.get() + first * size_t(skips);
        layer.residual.run<R>(from, channels, to, channels, to, channels);
        layer.skip.run<R>(from, channels, sum, skips, sum, skips);
    }

    template <int R>
    NFX_INLINE void run_layers(int first, const int* slots, const FrameConditions& frames) {
        begin<R>(0, first, slots, frames);
        for (size_t n = 0; n < layers.size(); ++n) {
            activate<R>(n, first, slots);
            if (n + 1 < layers.size()) begin<R>(n + 1, first, slots, frames);
            pass_on<R>(n, first);
        }
    }

    // Read the gates of a layer: columns for its past, its input and the conditions.
    void read_gates(const nfx::GeneratorSizes& sizes, WeightReader& reader, size_t n, Hoisted& hoisted) {
        const int r = sizes.residual;
        const int columns = 2 * r + sizes.conditions();
        const float* const gate = reader.take(size_t(2) * r * columns);
        const float* const bias = reader.take(size_t(2) * r);
        const auto place = [this, r](int o) { return o < r ? o : channels + o - r; };
        std::vector<float> ahead(size_t(2) * r * reads);
        for (int o = 0; o < 2 * r; ++o) {
            const float* const from = gate + size_t(o) * columns;
            float* const to = &ahead[size_t(o) * reads];
            std::copy_n(from, r, to);
            std::copy_n(from + 2 * r + sizes.frame, sizes.phases(), to + channels);
            hoisted.set(sizes, n * 2 * channels + place(o), from + 2 * r, bias[o]);
        }
        layers[n].ahead = Product(ahead.data(), reads, 2 * r, reads, 2 * channels, place);
        layers[n].present = Product(gate + r, columns, 2 * r, r, 2 * channels, place);
    }

public:
    static constexpr bool RECTIFIED = true;  // a rectifier follows what `step` returns

    static int front_width(const nfx::GeneratorSizes& sizes) { return sizes.residual; }
    static size_t weights(const nfx::GeneratorSizes& sizes) {
        const size_t r = sizes.residual;
        const size_t count = sizes.dilations.size();
        const size_t gate = 2 * r * (2 * r + sizes.conditions() + 1);
        return count * (gate + sizes.skip * r) + (count - 1) * (r * r + r) + sizes.skip;
    }
    static size_t hoisted_rows(const nfx::GeneratorSizes& sizes) {
        return sizes.dilations.size() * 2 * padded(sizes.residual);
    }
    // Number of results of `step`.
    static int results(const nfx::GeneratorSizes& sizes) { return sizes.skip; }

    GatedLayers(const nfx::GeneratorSizes& sizes, const float* front_weights, WeightReader& reader, Hoisted& hoisted,
                int slots)
        : channels(padded(sizes.residual)), reads(channels + sizes.phases()), skips(padded(sizes.skip)),
          layers(sizes.dilations.size()), turn(slots * sizes.dilations.size()), x(size_t(slots) * channels),
          input(size_t(slots) * reads + 1), gates(size_t(slots) * 2 * channels), z(size_t(slots) * channels),
          total(size_t(slots) * skips) {
        const int r = sizes.residual;
        const auto same = [](int o) { return o; };
        front =
            Front(sizes, front_weights, r, channels, [r](const float* from, float* to) { std::copy_n(from, r, to); });
        for (size_t n = 0; n < layers.size(); ++n) {
            Layer& layer = layers[n];
            layer.dilation = sizes.dilations[n];
            layer.past = past_floats;
            past_floats += size_t(layer.dilation) * channels;
            read_gates(sizes, reader, n, hoisted);
            layer.residual_bias = nfx::Buffer(channels);
            if (n + 1 < layers.size()) {
                layer.residual = Product(reader.take(size_t(r) * r), r, r, r, channels, same);
                layer.residual_bias = widened(reader.take(r), r, channels);
            }
            layer.skip = Product(reader.take(size_t(sizes.skip) * r), r, sizes.skip, r, skips, same);
        }
        total_bias = widened(reader.take(sizes.skip), sizes.skip, skips);
        pasts = nfx::Buffer(past_floats * slots);
    }

    void reset(int slot) {
        std::fill_n(pasts.get() + slot * past_floats, past_floats, 0.0f);
        std::fill_n(turn.begin() + slot * layers.size(), layers.size(), 0);
    }

    // Give a row its previous sample and the conditions of the phase.
    void set_input(int row, float previous, const float* phases) {
        front.each(previous, [&](int i, vec v) { store(x.get() + row * size_t(channels) + i, v); });
        std::copy_n(phases, reads - channels, input.get() + row * size_t(reads) + channels);
        std::copy_n(total_bias.get(), skips, total.get() + row * size_t(skips));
    }

    // Compute a sample. Return the sums of the skip connections, (rows, stride).
    float* step(int count, const int* slots, const FrameConditions& frames) {
        each_group(count, [&]<int R>(int first) NFX_BODY { run_layers<R>(first, slots, frames); });
        return total.get();
    }
    int stride() const { return skips; }

    // Number of weights that a sample reads.
    size_t floats() const {
        size_t sum = 0;
        for (const Layer& layer : layers)
            sum += layer.ahead.floats() + layer.present.floats() + layer.residual.floats() + layer.skip.floats();
        return sum;
    }
};

}  // namespace NFX_ARCH
