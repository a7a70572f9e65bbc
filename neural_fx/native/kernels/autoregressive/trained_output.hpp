// The output layers in training, and the categorical loss.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "draws.hpp"
#include "generator_interfaces.hpp"
#include "trained_matrix.hpp"

namespace NFX_ARCH {

// Two layers and a softmax. A block of samples goes forwards and backwards at once.
class TrainedOutput {
    bool rectified;  // whether a rectifier comes before the first layer
    TrainedMatrix hidden;
    TrainedBias hidden_bias;
    TrainedMatrix last;
    TrainedBias last_bias;
    nfx::Buffer read;    // (SPAN, ins of hidden)
    nfx::Buffer middle;  // (SPAN, outs of hidden)
    nfx::Buffer back;    // its gradient
    nfx::Buffer logits;  // (SPAN, outs of last)
    nfx::Buffer zeros;

    static Samples rows_of(nfx::Buffer& buffer, int width) { return {buffer.get(), size_t(width)}; }

    static void rectify(Samples from, Samples to, int width, int rows) {
        for (int t = 0; t < rows; ++t)
            for (int i = 0; i < width; i += W) store(to.row(t) + i, vmax(load(from.row(t) + i), vec{}));
    }
    // Clear gradients where a rectifier's output is zero.
    static void rectify_back(Samples output, Samples gradient, int width, int rows) {
        for (int t = 0; t < rows; ++t)
            for (int i = 0; i < width; i += W) {
                float* const at = gradient.row(t) + i;
                store(at, pick(load(output.row(t) + i) > vec{}, load(at), vec{}));
            }
    }
    // Turn logits into their gradient. Return the loss in nats.
    float softmax(float* row, int target, float weight) const {
        const float most = largest(row, last.outs);
        const float at_target = row[target] - most;
        vec sum{};
        for (int i = 0; i < last.outs; i += W) {
            const vec e = vexp(load(row + i) - most);
            sum += e;
            store(row + i, e);
        }
        float total = 0;
        for (int i = 0; i < W; ++i) total += sum[i];
        const vec scale = all(weight / total);
        for (int i = 0; i < last.outs; i += W) store(row + i, load(row + i) * scale);
        row[target] -= weight;
        return std::log(total) - at_target;
    }

public:
    static constexpr int SPAN = 64;

    TrainedOutput() = default;
    TrainedOutput(const nfx::GeneratorSizes& sizes, int in, bool rectified, Places& places) : rectified(rectified) {
        const int wide = padded(sizes.hidden);
        hidden = TrainedMatrix(places.take(size_t(sizes.hidden) * in), in, padded_rows(1, sizes.hidden), in, wide);
        hidden_bias = TrainedBias(places.take(sizes.hidden), padded_rows(1, sizes.hidden), wide);
        const int outputs = padded(sizes.outputs);
        last = TrainedMatrix(places.take(size_t(sizes.outputs) * sizes.hidden), sizes.hidden,
                             padded_rows(1, sizes.outputs), sizes.hidden, outputs);
        last_bias = TrainedBias(places.take(sizes.outputs), padded_rows(1, sizes.outputs), outputs);
        std::fill_n(last_bias.value.get(), outputs, NEVER);
        read = nfx::Buffer(size_t(SPAN) * hidden.ins);
        middle = nfx::Buffer(size_t(SPAN) * wide);
        back = nfx::Buffer(size_t(SPAN) * wide);
        logits = nfx::Buffer(size_t(SPAN) * outputs);
        zeros = nfx::Buffer(std::max(wide, hidden.ins));
    }
    void load_weights(const float* parameters) {
        hidden.set(parameters);
        hidden_bias.set(parameters);
        last.set(parameters);
        last_bias.set(parameters);
    }
    // For up to SPAN samples: write the loss of each, and the gradient of what the layers read.
    // sample(row) gives {target, weight, where the loss goes}.
    template <class Sample>
    void run(Samples in, Samples in_back, int rows, Sample sample) {
        const Samples x = rectified ? rows_of(read, hidden.ins) : in;
        const Samples h = rows_of(middle, hidden.outs);
        const Samples h_back = rows_of(back, hidden.outs);
        const Samples y = rows_of(logits, last.outs);
        if (rectified) rectify(in, x, hidden.ins, rows);
        multiply_rows(hidden.forward, x, hidden_bias.all_rows(), h, rows);
        rectify(h, h, hidden.outs, rows);
        multiply_rows(last.forward, h, last_bias.all_rows(), y, rows);
        for (int t = 0; t < rows; ++t) {
            const auto& [target, weight, loss] = sample(t);
            *loss = softmax(y.row(t), target, weight);
        }
        multiply_rows(last.backward, y, {zeros.get(), 0}, h_back, rows);
        rectify_back(h, h_back, hidden.outs, rows);
        last.gather(y, h, rows);
        last_bias.gather(y, rows);
        multiply_rows(hidden.backward, h_back, {zeros.get(), 0}, in_back, rows);
        if (rectified) rectify_back(x, in_back, hidden.ins, rows);
        hidden.gather(h_back, x, rows);
        hidden_bias.gather(h_back, rows);
    }
    void store_gradient(float* gradients) const {
        hidden.store_gradient(gradients);
        hidden_bias.store_gradient(gradients);
        last.store_gradient(gradients);
        last_bias.store_gradient(gradients);
    }
};

}  // namespace NFX_ARCH
