// A matrix for one vector at a time, by column.
#pragma once

#include <vector>

#include "memory.hpp"
#include "simd.hpp"

namespace NFX_ARCH {

// y = bias + M x for a matrix of `rows` x `columns`. Rows are a multiple of W.
struct Matrix {
    int rows;
    int columns;
    nfx::Buffer weight;
    nfx::Buffer bias;

    // Convert torch's (gates * hidden, columns), padding each gate to `padded` rows.
    Matrix(const std::vector<float>& w, const std::vector<float>& b, int gates, int hidden, int padded, int columns)
        : rows(gates * padded), columns(columns), weight(size_t(gates) * padded * columns),
          bias(size_t(gates) * padded) {
        for (int g = 0; g < gates; ++g)
            for (int h = 0; h < hidden; ++h) {
                const int row = g * hidden + h;
                bias.get()[g * padded + h] = b[row];
                for (int c = 0; c < columns; ++c)
                    weight.get()[size_t(c) * rows + g * padded + h] = w[size_t(row) * columns + c];
            }
    }

    // Compute R vectors of rows. Four sums for each hide the latency of the additions.
    template <int R>
    void chunk(const float* x, float* y, int r0) const {
        vec sum[4][R];
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
            sum[0][r] = load(bias.get() + r0 + r * W);
            sum[1][r] = sum[2][r] = sum[3][r] = vec{};
        }
        const float* w = weight.get() + r0;
        int c = 0;
        for (; c + 3 < columns; c += 4)
#pragma GCC unroll 4
            for (int k = 0; k < 4; ++k, w += rows)
#pragma GCC unroll 4
                for (int r = 0; r < R; ++r) sum[k][r] += x[c + k] * load(w + r * W);
        for (; c < columns; ++c, w += rows)
#pragma GCC unroll 4
            for (int r = 0; r < R; ++r) sum[0][r] += x[c] * load(w + r * W);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) store(y + r0 + r * W, (sum[0][r] + sum[1][r]) + (sum[2][r] + sum[3][r]));
    }

    void multiply(const float* x, float* y) const {
        int r = 0;
        for (; r + 4 * W <= rows; r += 4 * W) chunk<4>(x, y, r);
        for (; r < rows; r += W) chunk<1>(x, y, r);
    }
};

}  // namespace NFX_ARCH
