// What a network reads of the previous sample, and how weights are read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "../rows.hpp"
#include "generator_interfaces.hpp"
#include "memory.hpp"

namespace NFX_ARCH {

// A flat list of weights, read one after another.
class WeightReader {
    const float* at;

public:
    explicit WeightReader(const float* weights) : at(weights) {}
    const float* take(size_t count) {
        const float* found = at;
        at += count;
        return found;
    }
};

// Copy numbers into a buffer of `wide` numbers.
inline nfx::Buffer widened(const float* from, int count, int wide, float rest = 0) {
    nfx::Buffer to(wide);
    std::fill_n(to.get(), wide, rest);
    std::copy_n(from, count, to.get());
    return to;
}

// Products with the conditions of frames and of the instrument, before they are packed.
struct Hoisted {
    int columns;  // frame, then voice
    std::vector<float> weight;
    std::vector<float> bias;

    Hoisted(const nfx::GeneratorSizes& sizes, size_t rows)
        : columns(sizes.frame + sizes.voice), weight(rows * columns), bias(rows) {}
    // Set a row. conditions: weights of all conditions: frame, phases, voice.
    void set(const nfx::GeneratorSizes& sizes, size_t row, const float* conditions, float sum) {
        float* const to = &weight[row * columns];
        std::copy_n(conditions, sizes.frame, to);
        std::copy_n(conditions + sizes.frame + sizes.phases(), sizes.voice, to + sizes.frame);
        bias[row] = sum;
    }
};

// The vector that stands for the previous sample: a row of a table, or a linear function of the sample.
class Front {
    bool classes = true;
    int wide = 0;
    nfx::Buffer rows;  // one for each class; or two, the weight and the bias

public:
    Front() = default;
    // `from` has rows of `width` numbers. convert(row, to) applies a linear function, which writes `wide` numbers.
    template <class Convert>
    Front(const nfx::GeneratorSizes& sizes, const float* from, int width, int wide, Convert convert)
        : classes(sizes.classes()), wide(wide), rows(size_t(sizes.front_rows()) * wide) {
        for (int i = 0; i < sizes.front_rows(); ++i) convert(from + size_t(i) * width, rows.get() + size_t(i) * wide);
    }
    // Call use(i, vector) for all vectors of the row of a sample.
    template <class Use>
    NFX_INLINE void each(float previous, Use use) const {
        if (classes) {
            const float* row = rows.get() + size_t(previous) * wide;
            for (int i = 0; i < wide; i += W) use(i, load(row + i));
        } else {
            for (int i = 0; i < wide; i += W) use(i, previous * load(rows.get() + i) + load(rows.get() + wide + i));
        }
    }
};

}  // namespace NFX_ARCH
