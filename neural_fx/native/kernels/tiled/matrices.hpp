// Convolutions as products of tiles.
#pragma once

#include <bit>
#include <cstdint>
#include <utility>

#include "halves.hpp"

namespace NFX_ARCH {

// The weights of a convolution as tiles. For each tap there is a tile of upper halves, then one of rests. If a row of
// the output takes several rows of the input, there are such pairs for each of them (the phases).
struct Matrices {
    int taps = 0;
    int dilation = 1;
    int lanes_in = W;  // lanes of one sample
    int lanes_out = W;
    nfx::Buffer tiles;
    alignas(64) float bias[W] = {};    // by lane
    alignas(64) float joined[W] = {};  // by lane: the weights of a 1x1 convolution of another signal

    Matrices() = default;
    Matrices(const nfx::Conv& conv, int lanes_in, int lanes_out, const nfx::Conv* other = nullptr)
        : taps(conv.out ? conv.taps : 0), dilation(conv.dilation), lanes_in(lanes_in), lanes_out(lanes_out),
          tiles(size_t(2) * taps * phases() * TILE) {
        set(conv, other);
    }
    explicit operator bool() const { return taps > 0; }
    int phases() const { return lanes_in / lanes_out; }

    // Load weights. With `scale` and `shift`, output o becomes output o * (1 + scale[o]) + shift[o].
    void set(const nfx::Conv& conv, const nfx::Conv* other, const float* scale = nullptr,
             const float* shift = nullptr) {
        const int samples_per_row = W / lanes_in;
        for (int o = 0; o < conv.out; ++o) {
            const float gain = scale ? 1.0f + scale[o] : 1.0f;
            for (int i = 0; i < conv.in; ++i)
                for (int k = 0; k < taps; ++k) {
                    const auto [upper, rest] = doubled_halves(conv.weight[(size_t(o) * conv.in + i) * taps + k] * gain);
                    // The same weight applies to each sample of a row, so it stands in a block on the diagonal.
                    for (int s = 0; s < samples_per_row * phases(); ++s) {
                        const int phase = s / samples_per_row;
                        const int row = s % samples_per_row * lanes_in + i;
                        float* tile = tiles.get() + size_t(2) * (k * phases() + phase) * TILE;
                        tile[row * W + s * lanes_out + o] = upper;
                        tile[TILE + row * W + s * lanes_out + o] = rest;
                    }
                }
            const float sum = (conv.bias.empty() ? 0.0f : conv.bias[o]) * gain + (shift ? shift[o] : 0.0f);
            for (int lane = o; lane < W; lane += lanes_out) {
                bias[lane] = sum;
                joined[lane] = other ? other->weight[o] * gain : 0.0f;
            }
        }
    }

private:
    // Return the upper half of a weight and the rest of it. Each stands twice in a float, because it multiplies both
    // halves of a sample: (upper + rest) of the weight times (upper + rest) of the sample is four products.
    static std::pair<float, float> doubled_halves(float weight) {
        const uint32_t upper = (std::bit_cast<uint32_t>(weight) + 0x8000u) >> 16;
        const float remainder = weight - std::bit_cast<float>(upper << 16);
        const uint32_t rest = (std::bit_cast<uint32_t>(remainder) + 0x8000u) >> 16;
        return {std::bit_cast<float>(upper << 16 | upper), std::bit_cast<float>(rest << 16 | rest)};
    }
};

// y = start + m(x) for a tile of rows.
//   x: halves of the row that belongs to the first row of y.
//   start_stride: bytes from row to row of `start`: 64, or 0 to use its first row for all.
//   meanwhile: called after each product with its number. The vector units can work while the matrix units do.
template <int TAPS = 0, class Meanwhile>
NFX_INLINE void multiply_tile(const Matrices& m, const float* x, const float* start, long start_stride, float* y,
                              Meanwhile meanwhile) {
    const int phases = TAPS ? 1 : m.phases();
    const int taps = TAPS ? TAPS : m.taps;
    const float* weights = m.tiles.get();
    asm volatile("" ::: "memory");  // the compiler does not know that tile loads read memory
    _tile_loadd(0, start, start_stride);
    const float* past = x - ptrdiff_t(taps - 1) * m.dilation * m.lanes_in;
#pragma GCC unroll 8
    for (int k = 0; k < taps; ++k, past += ptrdiff_t(m.dilation) * m.lanes_in)
        for (int p = 0; p < phases; ++p, weights += 2 * TILE) {
            _tile_loadd(1, past + p * W, 64l * phases);
            _tile_loadd(2, weights, 64);
            _tile_loadd(3, weights + TILE, 64);
            _tile_dpbf16ps(0, 1, 2);
            meanwhile(2 * (k * phases + p));
            _tile_dpbf16ps(0, 1, 3);
            meanwhile(2 * (k * phases + p) + 1);
        }
    _tile_stored(0, y, 64);
}

// The same for any number of rows, without other work meanwhile.
inline void multiply(const Matrices& m, const float* x, const float* start, long start_stride, float* y, int rows) {
    for (int r = 0; r < rows; r += TILE_ROWS) {
        multiply_tile(m, x, start, start_stride, y, [](int) {});
        x += ptrdiff_t(TILE) * m.phases();
        start += 4 * start_stride;
        y += TILE;
    }
}

}  // namespace NFX_ARCH
