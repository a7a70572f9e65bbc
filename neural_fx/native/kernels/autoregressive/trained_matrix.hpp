// Matrices in training: products of many rows, forwards and backwards, and the gradients of the weights.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "../rows.hpp"
#include "memory.hpp"
#include "product.hpp"

namespace NFX_ARCH {

constexpr int SHARED_ROWS = 256;  // samples of a block, which share each load of weights into the caches

// Where something stands in the flat list of weights.
class Places {
    size_t at = 0;

public:
    size_t take(size_t count) {
        const size_t found = at;
        at += count;
        return found;
    }
    size_t count() const { return at; }
};

// Rows of numbers, one for each sample, `stride` floats apart.
struct Samples {
    float* p;
    size_t stride;
    Samples from(ptrdiff_t row) const { return {p + row * ptrdiff_t(stride), stride}; }
    float* row(ptrdiff_t row) const { return p + row * ptrdiff_t(stride); }
};

// y = from + M x for many rows. `from` may be y.
inline void multiply_rows(const Product& m, Samples x, Samples from, Samples y, int rows) {
    each_group(rows, [&]<int R>(int first) NFX_BODY {
        m.run<R>(x.row(first), x.stride, from.row(first), from.stride, y.row(first), y.stride);
    });
}

// Add sums over time of products of rows, sum_t a(t) b(t)^T, to a matrix (outs, ins). Both are whole vectors.
class OuterProducts {
    static constexpr int M = W == 16 ? 8 : 4;
    static constexpr int SPAN = 64;  // rows that stay in the first cache

    template <int N>
    static void tile(Samples a, Samples b, int rows, float* sums, size_t ins) {
        vec acc[M][N];
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
            for (int n = 0; n < N; ++n) acc[m][n] = load(sums + m * ins + n * W);
        for (int t = 0; t < rows; ++t) {
            const float* const x = a.row(t);
            const float* const y = b.row(t);
            vec v[N];
#pragma GCC unroll 2
            for (int n = 0; n < N; ++n) {
                v[n] = load(y + n * W);
                NFX_IN_REGISTER(v[n]);
            }
#pragma GCC unroll 8
            for (int m = 0; m < M; ++m) {
                const vec w = all(x[m]);
#pragma GCC unroll 2
                for (int n = 0; n < N; ++n) acc[m][n] += w * v[n];
            }
        }
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
            for (int n = 0; n < N; ++n) store(sums + m * ins + n * W, acc[m][n]);
    }

    static void add_span(Samples a, int outs, Samples b, int ins, int rows, float* sums) {
        for (int o = 0; o < outs; o += M) {
            const Samples left{a.p + o, a.stride};
            float* const to = sums + size_t(o) * ins;
            int i = 0;
            for (; i + 2 * W <= ins; i += 2 * W) tile<2>(left, {b.p + i, b.stride}, rows, to + i, ins);
            for (; i < ins; i += W) tile<1>(left, {b.p + i, b.stride}, rows, to + i, ins);
        }
    }

public:
    static void add(Samples a, int outs, Samples b, int ins, int rows, float* sums) {
        for (int t = 0; t < rows; t += SPAN) add_span(a.from(t), outs, b.from(t), ins, std::min(SPAN, rows - t), sums);
    }
};

// Part of a matrix in the flat list of weights, with its products and its gradient.
struct TrainedMatrix {
    size_t place = 0;
    size_t stride = 0;        // of its rows in the flat list
    std::vector<int> rows;    // where each output stands
    int columns = 0;          // inputs
    int outs = 0;             // outputs, rounded up to whole vectors
    int ins = 0;              // inputs, rounded up to whole vectors
    std::vector<float> wide;  // (outs, ins)
    Product forward;
    Product backward;
    nfx::Buffer gradient;  // (outs, ins)

    TrainedMatrix() = default;
    TrainedMatrix(size_t place, size_t stride, std::vector<int> rows, int columns, int outs)
        : place(place), stride(stride), rows(std::move(rows)), columns(columns), outs(outs), ins(padded(columns)),
          wide(size_t(outs) * ins), gradient(wide.size()) {}

    // Load the weights of a window, and clear the gradient.
    void set(const float* parameters) {
        std::vector<float> turned(wide.size());
        for (size_t o = 0; o < rows.size(); ++o)
            for (int i = 0; i < columns; ++i) {
                const float value = parameters[place + o * stride + i];
                wide[size_t(rows[o]) * ins + i] = value;
                turned[size_t(i) * outs + rows[o]] = value;
            }
        const auto same = [](int o) { return o; };
        forward = Product(wide.data(), ins, outs, columns, outs, same);
        backward = Product(turned.data(), outs, ins, outs, ins, same);
        gradient.clear();
    }
    // Add the gradient of some rows. out: the gradients of the outputs.
    void gather(Samples out, Samples in, int count) { OuterProducts::add(out, outs, in, ins, count, gradient.get()); }
    void store_gradient(float* gradients) const {
        for (size_t o = 0; o < rows.size(); ++o)
            std::copy_n(gradient.get() + size_t(rows[o]) * ins, columns, gradients + place + o * stride);
    }
};

// A bias in the flat list of weights.
struct TrainedBias {
    size_t place = 0;
    std::vector<int> rows;
    nfx::Buffer value;
    nfx::Buffer gradient;

    TrainedBias() = default;
    TrainedBias(size_t place, std::vector<int> rows, int outs)
        : place(place), rows(std::move(rows)), value(outs), gradient(outs) {}

    void set(const float* parameters) {
        for (size_t o = 0; o < rows.size(); ++o) value.get()[rows[o]] = parameters[place + o];
        gradient.clear();
    }
    Samples all_rows() { return {value.get(), 0}; }
    void gather(Samples out, int count) {
        const int outs = int(gradient.size());
        for (int i = 0; i < outs; i += W) {
            vec sum = load(gradient.get() + i);
            for (int t = 0; t < count; ++t) sum += load(out.row(t) + i);
            store(gradient.get() + i, sum);
        }
    }
    void store_gradient(float* gradients) const {
        for (size_t o = 0; o < rows.size(); ++o) gradients[place + o] = gradient.get()[rows[o]];
    }
};

// Where the outputs of a matrix of some parts stand, if each part is rounded up to whole vectors.
inline std::vector<int> padded_rows(int parts, int size) {
    std::vector<int> rows;
    for (int part = 0; part < parts; ++part)
        for (int i = 0; i < size; ++i) rows.push_back(part * padded(size) + i);
    return rows;
}

}  // namespace NFX_ARCH
