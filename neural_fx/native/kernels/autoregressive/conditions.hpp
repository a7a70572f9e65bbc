// Conditions of a few voices: what is constant over a frame is multiplied once per frame.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "../harmonic.hpp"
#include "../rows.hpp"
#include "front.hpp"
#include "generator_interfaces.hpp"
#include "product.hpp"

namespace NFX_ARCH {

// All products of a network with the conditions of frames and of the instrument, for rows of voices.
//
// Frames are interpolated linearly, and so are their products: a row keeps the products of the frame before a sample,
// and the change to the frame after it.
class FrameConditions {
    int hop;
    int frame;
    int voice;
    Product product;  // of a frame and a voice
    nfx::Buffer bias;
    nfx::Buffer input;
    nfx::Buffer start;   // (rows, wide)
    nfx::Buffer change;  // (rows, wide)
    std::vector<float> shares;

    void multiply(const nfx::GeneratorBlock& block, int row, int64_t index, float* to) {
        const int64_t chosen = std::min<int64_t>(index, block.frames - 1);
        std::copy_n(block.frame + (int64_t(row) * block.frames + chosen) * frame, frame, input.get());
        std::copy_n(block.voice + int64_t(row) * voice, voice, input.get() + frame);
        product.run<1>(input.get(), 0, bias.get(), 0, to, 0);
    }

public:
    FrameConditions(const nfx::GeneratorSizes& sizes, const Hoisted& hoisted, int rows)
        : hop(sizes.hop), frame(sizes.frame), voice(sizes.voice),
          product(hoisted.weight.data(), hoisted.columns, int(hoisted.bias.size()), hoisted.columns,
                  int(hoisted.bias.size()), [](int o) { return o; }),
          bias(widened(hoisted.bias.data(), int(hoisted.bias.size()), int(hoisted.bias.size()))),
          input(size_t(product.inputs())), start(bias.size() * rows), change(bias.size() * rows), shares(rows) {}
    size_t wide() const { return bias.size(); }

    // Go to a sample of the block.
    void move(const nfx::GeneratorBlock& block, int sample) {
        for (int row = 0; row < block.count; ++row) {
            const int64_t at = block.offset[row] + sample;
            if (!sample || at % hop == 0) {
                float* const from = start.get() + row * wide();
                float* const by = change.get() + row * wide();
                multiply(block, row, at / hop, from);
                multiply(block, row, at / hop + 1, by);
                for (size_t i = 0; i < wide(); i += W) store(by + i, load(by + i) - load(from + i));
            }
            shares[row] = float(at % hop) / float(hop);
        }
    }
    // Return a vector of the products of a row at the present sample.
    NFX_INLINE vec at(int row, size_t i) const {
        const size_t place = row * wide() + i;
        return load(start.get() + place) + shares[row] * load(change.get() + place);
    }
};

// Sines and cosines of the running phase and its multiples, some samples ahead.
class PhaseConditions {
    static constexpr int AHEAD = 64;

    std::vector<int> harmonics;
    nfx::Buffer values;  // (rows, AHEAD, count)
    int first = 0;

    void compute(const nfx::GeneratorBlock& block, int row) {
        const int samples = std::min(AHEAD, block.samples - first);
        const double* cycles = block.cycles + int64_t(row) * block.samples + first;
        float* const to = values.get() + size_t(row) * AHEAD * count();
        for (int n = 0; n < samples; n += W) {
            const int some = std::min(W, samples - n);
            for (size_t h = 0; h < harmonics.size(); ++h) {
                double turns[W];
                for (int i = 0; i < some; ++i) turns[i] = cycles[n + i] * harmonics[h];
                vec cosine;
                vec sine;
                point(turns, some, cosine, sine);
                for (int i = 0; i < some; ++i) {
                    to[size_t(n + i) * count() + 2 * h] = sine[i];
                    to[size_t(n + i) * count() + 2 * h + 1] = cosine[i];
                }
            }
        }
    }

public:
    PhaseConditions(const nfx::GeneratorSizes& sizes, int rows)
        : harmonics(sizes.harmonics), values(size_t(rows) * AHEAD * 2 * harmonics.size()) {}
    int count() const { return 2 * int(harmonics.size()); }

    // Go to a sample of the block.
    void move(const nfx::GeneratorBlock& block, int sample) {
        if (sample % AHEAD) return;
        first = sample;
        for (int row = 0; row < block.count; ++row) compute(block, row);
    }
    // Return the conditions of a row at a sample that `move` has reached.
    const float* at(int row, int sample) const {
        return values.get() + (size_t(row) * AHEAD + (sample - first)) * count();
    }
};

}  // namespace NFX_ARCH
