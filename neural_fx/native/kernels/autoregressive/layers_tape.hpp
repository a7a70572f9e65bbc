// Training windows of WaveNets that play sample by sample.
#pragma once

#include <algorithm>
#include <tuple>
#include <vector>

#include "../simd.hpp"
#include "generator_interfaces.hpp"
#include "trained_output.hpp"

namespace NFX_ARCH {

// tanh(f) * sigmoid(g) layers. Blocks of time run through all layers while they are in the cache.
class GatedLayersTape final : public nfx::GeneratorTape {
    static constexpr int SPAN = SHARED_ROWS;

    struct Layer {
        int dilation = 1;
        TrainedMatrix past, present, conditions, residual, skip;
        TrainedBias gate_bias, residual_bias;
        nfx::Buffer x;      // (dilation + samples, channels), after zeros
        nfx::Buffer gates;  // (samples + dilation, 2 * channels), tanh and sigmoid; then the gradient before them
    };
    nfx::GeneratorSizes sizes;
    int batch;
    int samples;
    int channels;
    int skips;
    int wide;  // conditions, rounded up to whole vectors
    size_t table;
    Places places;
    std::vector<Layer> layers;
    TrainedBias total_bias;
    TrainedOutput output;
    nfx::Buffer condition;   // (samples, wide)
    nfx::Buffer total_back;  // (samples, skips)
    nfx::Buffer total;       // (SPAN, skips)
    nfx::Buffer z;           // (SPAN, channels)
    nfx::Buffer z_back;      // (SPAN, channels)
    nfx::Buffer x_back;      // (SPAN, channels)
    nfx::Buffer c_back;      // (SPAN, wide)
    nfx::Buffer zeros;

    Samples input_of(Layer& layer, int sample) const {
        return Samples{layer.x.get(), size_t(channels)}.from(layer.dilation + sample);
    }
    Samples gates_of(Layer& layer, int sample) const {
        return Samples{layer.gates.get(), size_t(2 * channels)}.from(sample);
    }
    Samples conditions_at(int sample) { return Samples{condition.get(), size_t(wide)}.from(sample); }

    void forward_layer(size_t n, int first, int rows) {
        Layer& layer = layers[n];
        const Samples x = input_of(layer, first);
        const Samples gate = gates_of(layer, first);
        const Samples out{z.get(), size_t(channels)};
        const Samples sum{total.get(), size_t(skips)};
        multiply_rows(layer.conditions.forward, conditions_at(first), layer.gate_bias.all_rows(), gate, rows);
        multiply_rows(layer.past.forward, x.from(-layer.dilation), gate, gate, rows);
        multiply_rows(layer.present.forward, x, gate, gate, rows);
        for (int t = 0; t < rows; ++t)
            for (int i = 0; i < channels; i += W) {
                float* const top = gate.row(t) + i;
                const vec a = quick_tanh(load(top));
                const vec b = quick_sigmoid(load(top + channels));
                store(top, a);
                store(top + channels, b);
                store(out.row(t) + i, a * b);
            }
        multiply_rows(layer.skip.forward, out, sum, sum, rows);
        if (n + 1 == layers.size()) return;
        const Samples next = input_of(layers[n + 1], first);
        for (int t = 0; t < rows; ++t)
            for (int i = 0; i < channels; i += W)
                store(next.row(t) + i, load(x.row(t) + i) + load(layer.residual_bias.value.get() + i));
        multiply_rows(layer.residual.forward, out, next, next, rows);
    }

    // `x_back` is the gradient of the layer's output, and becomes that of its input.
    void backward_layer(size_t n, int first, int rows) {
        Layer& layer = layers[n];
        const Samples x = input_of(layer, first);
        const Samples gate = gates_of(layer, first);
        const Samples out{z.get(), size_t(channels)};
        const Samples out_back{z_back.get(), size_t(channels)};
        const Samples in_back{x_back.get(), size_t(channels)};
        const Samples sum_back = Samples{total_back.get(), size_t(skips)}.from(first);
        multiply_rows(layer.skip.backward, sum_back, {zeros.get(), 0}, out_back, rows);
        if (n + 1 < layers.size()) multiply_rows(layer.residual.backward, in_back, out_back, out_back, rows);
        for (int t = 0; t < rows; ++t)
            for (int i = 0; i < channels; i += W) {
                float* const top = gate.row(t) + i;
                const vec a = load(top);
                const vec b = load(top + channels);
                const vec back = load(out_back.row(t) + i);
                store(out.row(t) + i, a * b);
                store(top, back * b * (1.0f - a * a));
                store(top + channels, back * a * b * (1.0f - b));
            }
        layer.skip.gather(sum_back, out, rows);
        if (n + 1 < layers.size()) {
            layer.residual.gather(in_back, out, rows);
            layer.residual_bias.gather(in_back, rows);
        }
        layer.past.gather(gate, x.from(-layer.dilation), rows);
        layer.present.gather(gate, x, rows);
        layer.conditions.gather(gate, conditions_at(first), rows);
        layer.gate_bias.gather(gate, rows);
        const Samples c{c_back.get(), size_t(wide)};
        multiply_rows(layer.conditions.backward, gate, c, c, rows);
        multiply_rows(layer.present.backward, gate, in_back, in_back, rows);
        multiply_rows(layer.past.backward, gate.from(layer.dilation), in_back, in_back, rows);
    }

    void run_item(const nfx::TrainingWindow& window, int item) {
        const size_t begin = size_t(item) * samples;
        const float* const rows_of_table = window.parameters + table;
        const int r = sizes.residual;
        const int count = sizes.conditions();
        for (int t = 0; t < samples; ++t)
            std::copy_n(window.conditions + (begin + t) * count, count, conditions_at(t).p);
        for (int first = 0; first < samples; first += SPAN) {
            const int rows = std::min(SPAN, samples - first);
            for (int t = 0; t < rows; ++t) {
                const float* const row = rows_of_table + size_t(window.previous[begin + first + t]) * r;
                std::copy_n(row, r, input_of(layers[0], first).row(t));
            }
            const Samples sum{total.get(), size_t(skips)};
            for (int t = 0; t < rows; ++t) std::copy_n(total_bias.value.get(), skips, sum.row(t));
            for (size_t n = 0; n < layers.size(); ++n) forward_layer(n, first, rows);
            const Samples back = Samples{total_back.get(), size_t(skips)}.from(first);
            for (int t = 0; t < rows; t += TrainedOutput::SPAN) {
                const int some = std::min(TrainedOutput::SPAN, rows - t);
                output.run(sum.from(t), back.from(t), some, [&](int row) {
                    const size_t at = begin + first + t + row;
                    return std::tuple(window.targets[at], window.weights[at], window.losses + at);
                });
            }
            total_bias.gather(back, rows);
        }
        for (int first = (samples - 1) / SPAN * SPAN; first >= 0; first -= SPAN) {
            const int rows = std::min(SPAN, samples - first);
            x_back.clear();
            c_back.clear();
            for (size_t n = layers.size(); n-- > 0;) backward_layer(n, first, rows);
            for (int t = 0; t < rows; ++t) {
                const size_t at = begin + first + t;
                float* const to = window.gradients + table + size_t(window.previous[at]) * r;
                const float* const back = x_back.get() + size_t(t) * channels;
                for (int i = 0; i < r; ++i) to[i] += back[i];
                std::copy_n(c_back.get() + size_t(t) * wide, count, window.condition_gradients + at * count);
            }
        }
    }

public:
    GatedLayersTape(const nfx::GeneratorSizes& sizes, int batch, int samples)
        : sizes(sizes), batch(batch), samples(samples), channels(padded(sizes.residual)), skips(padded(sizes.skip)),
          wide(padded(sizes.conditions())), layers(sizes.dilations.size()), condition(size_t(samples) * wide),
          total_back(size_t(samples) * skips), total(size_t(SPAN) * skips), z(size_t(SPAN) * channels),
          z_back(size_t(SPAN) * channels), x_back(size_t(SPAN) * channels), c_back(size_t(SPAN) * wide),
          zeros(channels) {
        const int r = sizes.residual;
        const size_t columns = size_t(2) * r + sizes.conditions();
        table = places.take(size_t(sizes.outputs) * r);
        for (size_t n = 0; n < layers.size(); ++n) {
            Layer& layer = layers[n];
            layer.dilation = sizes.dilations[n];
            const size_t gate = places.take(2 * r * columns);
            const std::vector<int> rows = padded_rows(2, r);
            layer.past = TrainedMatrix(gate, columns, rows, r, 2 * channels);
            layer.present = TrainedMatrix(gate + r, columns, rows, r, 2 * channels);
            layer.conditions = TrainedMatrix(gate + 2 * r, columns, rows, sizes.conditions(), 2 * channels);
            layer.gate_bias = TrainedBias(places.take(2 * r), rows, 2 * channels);
            if (n + 1 < layers.size()) {
                layer.residual = TrainedMatrix(places.take(size_t(r) * r), r, padded_rows(1, r), r, channels);
                layer.residual_bias = TrainedBias(places.take(r), padded_rows(1, r), channels);
            }
            layer.skip = TrainedMatrix(places.take(size_t(sizes.skip) * r), r, padded_rows(1, sizes.skip), r, skips);
            layer.x = nfx::Buffer(size_t(layer.dilation + samples) * channels);
            layer.gates = nfx::Buffer(size_t(samples + layer.dilation) * 2 * channels);
        }
        total_bias = TrainedBias(places.take(sizes.skip), padded_rows(1, sizes.skip), skips);
        output = TrainedOutput(sizes, sizes.skip, true, places);
    }
    void run(const nfx::TrainingWindow& window) override {
        for (Layer& layer : layers) {
            for (TrainedMatrix* m : {&layer.past, &layer.present, &layer.conditions, &layer.residual, &layer.skip})
                m->set(window.parameters);
            layer.gate_bias.set(window.parameters);
            layer.residual_bias.set(window.parameters);
        }
        total_bias.set(window.parameters);
        output.load_weights(window.parameters);
        std::fill_n(window.gradients, places.count(), 0.0f);
        for (int item = 0; item < batch; ++item) run_item(window, item);
        for (const Layer& layer : layers) {
            for (const TrainedMatrix* m :
                 {&layer.past, &layer.present, &layer.conditions, &layer.residual, &layer.skip})
                m->store_gradient(window.gradients);
            layer.gate_bias.store_gradient(window.gradients);
            layer.residual_bias.store_gradient(window.gradients);
        }
        total_bias.store_gradient(window.gradients);
        output.store_gradient(window.gradients);
    }
};

}  // namespace NFX_ARCH
