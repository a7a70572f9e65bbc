// The layers of an array, a tile at a time.
#pragma once

#include <algorithm>
#include <vector>

#include "../activations.hpp"
#include "../modulation.hpp"
#include "matrices.hpp"
#include "past.hpp"

namespace NFX_ARCH {

struct TiledLayer {
    const nfx::Layer* spec;
    Matrices conv;
    Matrices residual;
    Matrices unmodulated;  // the convolution without modulation, if the weights follow knobs
    Past input;
    nfx::Conv spec_conv;  // as `spec->conv`, for an input that lacks some biases
};

struct TiledArray {
    const nfx::Array* spec;
    int channels;
    int lanes;
    Matrices rechannel;  // from the array before; empty in the first array
    Matrices head;       // of the array before; empty in the first array
    std::vector<TiledLayer> layers;
    bool three_taps;  // in every layer

    int rows_of(int samples) const { return (samples * lanes + W - 1) / W; }
};

// Rows that go through the layers of an array together.
struct RowBlock {
    float* x;                // the residual signal
    float* z;                // scratch: the outputs of convolutions, then of activations as halves
    float* sum;              // the sum of the layers' outputs
    const float* condition;  // the network's input, in the lanes of each sample
    float* last;             // where the halves of the last layer's output go
    int rows;
    bool final;  // nothing reads the last layer's output
};

// A layer's activation.
template <class F>
F activation_of(const TiledArray& a, const TiledLayer& l) {
    const auto& act = l.spec->activation;
    return F(act, act.kind == nfx::Act::prelu ? by_lane(act.params.data(), a.channels, a.lanes) : vec{});
}

// How a modulation scales, and shifts if asked to, the lanes of a row.
struct Glide {
    vec scale;
    vec scale_by;
    vec shift{};
    vec shift_by{};
    vec place;  // of the first row's samples on the way, 0 to 1
    float step;

    Glide(const Modulation& m, const TiledArray& a, bool shifts = true) : step(float(W / a.lanes) / Modulation::GRID) {
        const auto lanes_of = [&a](const float* values) { return by_lane(values, a.channels, a.lanes); };
        const vec to = lanes_of(m.to);
        const vec from = m.moving ? lanes_of(m.from) : to;
        scale = 1.0f + from;
        scale_by = to - from;
        if (shifts) {
            shift = lanes_of(m.from + a.channels);
            shift_by = lanes_of(m.to + a.channels) - shift;
        }
        for (int i = 0; i < W; ++i) place[i] = float(m.at + i / a.lanes + 1) / Modulation::GRID;
    }
    vec operator()(vec v, int row) const {
        const vec progress = place + step * float(row);
        return v * (scale + scale_by * progress) + (shift + shift_by * progress);
    }
};

// All layers of an array, as a pipeline.
//
// Each tile of each layer takes four steps: the convolution, the activation, the residual, and the halves that the next
// layer reads. The matrix units do the first and third, the vector units the second and fourth. So that both always
// have work, a turn does one step of each of four different tiles. Tiles come in the order of time, layer by layer, so
// a tile never needs a later one.
//   TAPS: of every layer; 0 for any number. TWO: whether there are exactly two tiles.
template <class F, int TAPS, bool TWO>
void run_layers(TiledArray& a, const RowBlock& block) {
    const int tiles = TWO ? 2 : (block.rows + TILE_ROWS - 1) / TILE_ROWS;
    const int count = int(a.layers.size());
    float* const z = block.z;

    struct Position {
        int layer = 0;
        int tile = 0;
    };
    const auto advance = [tiles](Position& p) {
        if (++p.tile == tiles) {
            p.tile = 0;
            ++p.layer;
        }
    };

    // Write a tile of a layer's output to where the next layer reads it.
    const auto pass_on = [&](int layer, int tile) NFX_BODY {
        float* to = (layer + 1 < count ? a.layers[layer + 1].input.now() : block.last) + tile * TILE;
        const float* from = block.x + tile * TILE;
#pragma GCC unroll 16
        for (int r = 0; r < TILE; r += W) store(to + r, halves(load(from + r)));
    };
    const auto finish = [&](Position& p) NFX_BODY {
        if (p.layer < count - block.final) pass_on(p.layer, p.tile);
        advance(p);
    };
    // These two return whether the matrix units had work, and called `meanwhile`.
    const auto convolve = [&](Position& p, auto meanwhile) NFX_BODY {
        const bool runs = p.layer < count;
        if (runs) {
            TiledLayer& l = a.layers[p.layer];
            const int at = p.tile * TILE;
            multiply_tile<TAPS>(l.conv, l.input.now() + at, l.conv.bias, 0, z + at, meanwhile);
        }
        advance(p);
        return runs;
    };
    const auto add_residual = [&](Position& p, auto meanwhile) NFX_BODY {
        const bool runs = p.layer < count - block.final && a.layers[p.layer].residual;
        if (runs) {
            float* to = block.x + p.tile * TILE;
            multiply_tile<1>(a.layers[p.layer].residual, z + p.tile * TILE, to, 64, to, meanwhile);
        }
        advance(p);
        return runs;
    };
    const auto nothing = [](int) {};

    for (int tile = 0; tile < tiles; ++tile) pass_on(-1, tile);
    const int lead = std::min(std::max(tiles - 2, 0), 2);  // tiles that convolutions are ahead of activations
    Position convolved;
    Position added;
    Position finished;
    for (int i = 0; i < std::max(lead, 1); ++i) convolve(convolved, nothing);
    for (Position p; p.layer < count;) {
        const TiledLayer& l = a.layers[p.layer];
        const F f = activation_of<F>(a, l);
        const vec joined = load(l.conv.joined);
        const int at = p.tile * TILE;
        float* const signal = z + at;
        float* const sum = block.sum + at;
        const float* const condition = block.condition + at;
        // For rows of the tile: z = f(z + joined * condition), which is added to the sum.
        const auto activate = [&](int from, int to) NFX_BODY {
            for (int r = from * W; r < to * W; r += W) {
                const vec v = f(load(signal + r) + load(condition + r) * joined);
                store(sum + r, load(sum + r) + v);
                store(signal + r, halves(v));
            }
        };
        // The products of a residual and of a convolution share the 16 rows of the activation among them.
        constexpr int beside_residual = TWO ? 8 : 4;
        const auto activate_first = [&](int product) NFX_BODY {
            activate(product * beside_residual / 2, (product + 1) * beside_residual / 2);
        };
        const int taps = TAPS ? TAPS : convolved.layer < count ? a.layers[convolved.layer].conv.taps : 1;
        const int products = 2 * taps;
        const int rows_per_product = (TILE_ROWS - beside_residual + products - 1) / products;
        const auto activate_rest = [&](int product) NFX_BODY {
            const int from = beside_residual + product * rows_per_product;
            if (from < TILE_ROWS) activate(from, std::min(TILE_ROWS, from + rows_per_product));
        };
        const bool is_first = !p.layer && !p.tile;
        if (tiles == 1) {
            activate(0, TILE_ROWS);
            add_residual(added, nothing);
            finish(finished);
            convolve(convolved, nothing);
        } else {
            if (is_first || !add_residual(added, activate_first)) activate(0, beside_residual);
            if (!is_first && tiles == 2) finish(finished);
            if (!convolve(convolved, activate_rest)) activate(beside_residual, TILE_ROWS);
            if (!is_first && tiles > 2) finish(finished);
        }
        advance(p);
    }
    while (added.layer < count) add_residual(added, nothing);
    while (finished.layer < count) finish(finished);
}

// All layers of an array while modulations move. This is rare, so it runs one step after the other.
template <class F>
void run_moving_layers(TiledArray& a, const RowBlock& block, Modulation m) {
    float* const z = block.z;
    for (int r = 0; r < block.rows * W; r += W) store(a.layers[0].input.now() + r, halves(load(block.x + r)));
    for (size_t j = 0; j < a.layers.size(); ++j, m = m.skip(2 * a.channels)) {
        TiledLayer& l = a.layers[j];
        const bool is_last = j + 1 == a.layers.size();
        multiply(l.unmodulated, l.input.now(), l.unmodulated.bias, 0, z, block.rows);
        const F f = activation_of<F>(a, l);
        const Glide glide(m, a);
        const vec joined = load(l.unmodulated.joined);
        for (int r = 0; r < block.rows; ++r) {
            const int at = r * W;
            const vec v = f(glide(load(z + at) + load(block.condition + at) * joined, r));
            store(block.sum + at, load(block.sum + at) + v);
            store(z + at, halves(v));
        }
        if (is_last && block.final) return;
        if (l.residual) multiply(l.residual, z, block.x, 64, block.x, block.rows);
        float* next = is_last ? block.last : a.layers[j + 1].input.now();
        for (int r = 0; r < block.rows * W; r += W) store(next + r, halves(load(block.x + r)));
    }
}

}  // namespace NFX_ARCH
