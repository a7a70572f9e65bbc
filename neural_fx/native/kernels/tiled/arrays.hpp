// The arrays of a WaveNet on matrix units, up to what the last head reads.
#pragma once

#include <algorithm>
#include <bit>
#include <type_traits>
#include <utility>
#include <vector>

#include "layers.hpp"

namespace NFX_ARCH {

class TiledArrays {
    std::vector<TiledArray> arrays;
    alignas(64) float first_weight[W];
    alignas(64) float first_bias[W] = {};
    nfx::Buffer room;
    // Rows of a block in `room`.
    float* x;
    float* z;
    float* sum;
    float* last;
    float* condition;

    static int lanes_of(int channels) { return std::max(2, int(std::bit_ceil(unsigned(channels)))); }

public:
    // Return whether these kernels can run a network, and run it faster than vectors do. It must have no gates, no
    // FiLM, no heads of single layers, at most 16 channels, and at least 48 products for each output of the first
    // layer.
    static bool supports(const nfx::WaveNet& net) {
        if (net.in != 1 || !net.condition.empty()) return false;
        if (net.arrays[0].layers[0].conv.in * net.arrays[0].layers[0].conv.taps < 48) return false;
        int lanes_before = W;
        for (const auto& a : net.arrays) {
            const int channels = a.rechannel.out;
            const int lanes = lanes_of(channels);
            const bool final = &a == &net.arrays.back();
            if (lanes > lanes_before || a.rechannel.taps != 1 || a.head.in != channels || (a.head.taps != 1 && !final))
                return false;
            if (!final && a.head.out != (&a + 1)->head.in) return false;
            lanes_before = lanes;
            for (const auto& l : a.layers)
                if (l.activation.kind != a.layers[0].activation.kind || l.gating != nfx::Gating::none ||
                    !l.films.empty() || l.head.out || l.conv.out != channels || l.conv.in != channels ||
                    l.mixin.in != 1 || l.mixin.taps != 1 || l.residual.taps != 1)
                    return false;
        }
        return true;
    }

    // The description must outlive this. knobbed: whether `fold` and modulations will be used.
    TiledArrays(const nfx::WaveNet& net, bool knobbed) {
        place_rows();
        // A layer's input is the residual signal without the biases of the residuals so far. Leaving them out saves
        // an addition, and the convolutions that read the signal have them in their own biases instead.
        std::vector<float> lacking;  // by channel
        for (const auto& a : net.arrays) {
            TiledArray made{&a, a.rechannel.out, lanes_of(a.rechannel.out), {}, {}, {}, true};
            const int lanes = made.lanes;
            if (arrays.empty()) {
                store(first_weight, by_lane(a.rechannel.weight.data(), made.channels, lanes));
                if (!a.rechannel.bias.empty())
                    store(first_bias, by_lane(a.rechannel.bias.data(), made.channels, lanes));
            } else {
                made.rechannel = Matrices(with_input_offset(a.rechannel, lacking), arrays.back().lanes, lanes);
                made.head = Matrices(arrays.back().spec->head, arrays.back().lanes, lanes);
            }
            lacking.assign(made.channels, 0.0f);
            for (const auto& l : a.layers) {
                std::vector<float> silence = lacking;
                for (float& value : silence) value = -value;
                const nfx::Conv conv = with_input_offset(l.conv, lacking);
                made.three_taps &= conv.taps == 3;
                made.layers.push_back({&l, Matrices(conv, lanes, lanes, &l.mixin), Matrices(l.residual, lanes, lanes),
                                       knobbed ? Matrices(conv, lanes, lanes, &l.mixin) : Matrices(),
                                       Past(lanes, (conv.taps - 1) * conv.dilation, silence), conv});
                if (!l.residual.bias.empty())
                    for (int c = 0; c < made.channels; ++c) lacking[c] += l.residual.bias[c];
            }
            arrays.push_back(std::move(made));
        }
    }

    // Samples at a time: 128 rows of the first array. With twice as many, the rows between arrays do not fit the L1
    // cache any more.
    int step() const { return std::min(BLOCK, 128 * W / arrays[0].lanes); }

    void reset() {
        for (auto& a : arrays)
            for (auto& l : a.layers) l.input.clear();
    }

    // Fold a modulation that stands still into the weights of the layers.
    void fold(const float* modulation) {
        for (auto& a : arrays) {
            for (auto& l : a.layers) {
                l.conv.set(l.spec_conv, &l.spec->mixin, modulation, modulation + a.channels);
                modulation += 2 * a.channels;
            }
            modulation += a.channels;
        }
    }

    // in: n samples, and zeros up to whole vectors. out: what the last head reads.
    void process(const float* in, Rows out, int n, Modulation m) {
        configure_tiles();
        for (size_t i = 0; i < arrays.size(); ++i) {
            TiledArray& a = arrays[i];
            const bool final = i + 1 == arrays.size();
            if (i == 0 || a.lanes != arrays[i - 1].lanes) repeat_in_lanes(in, a.lanes, a.rows_of(n));
            begin(a, i ? &arrays[i - 1] : nullptr, n);
            Modulation now = m;
            // 64 rows at a time fit the L1 cache together with the weights of a layer.
            int samples = 0;
            for (int t = 0; t < n; t += samples, now.at += samples) {
                samples = std::min(n - t, 64 * W / a.lanes);
                run(a, t, samples, final, now);
                for (auto& l : a.layers) l.input.advance(samples);
            }
            if (m) {
                m = m.skip(2 * a.channels * int(a.layers.size()));
                scale_sum(a, a.rows_of(n), m);
                m = m.skip(a.channels);
            }
        }
        _tile_release();
        switch (arrays.back().lanes) {
            case 2: transpose<2>(sum, out, arrays.back().channels, n); break;
            case 4: transpose<4>(sum, out, arrays.back().channels, n); break;
            case 8: transpose<8>(sum, out, arrays.back().channels, n); break;
            default: transpose<16>(sum, out, arrays.back().channels, n);
        }
    }

private:
    // Processors compare only the lower 12 bits of addresses to find loads of what was just stored. So rows that are
    // read and written together begin at different offsets in a page.
    void place_rows() {
        constexpr size_t page = 1024;  // floats
        constexpr size_t rows = BLOCK * W + 4 * TILE;
        room = nfx::Buffer(5 * (rows + page));
        size_t place = 0;
        for (float** part : {&z, &sum, &condition, &x, &last}) {
            *part = room.get() + place;
            place += rows + page / 3 / W * W;
        }
    }

    // All tiles have 16 rows of 64 bytes.
    static void configure_tiles() {
        struct alignas(64) Shape {
            uint8_t palette = 1, start = 0, reserved[14] = {};
            uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
        } shape;
        _tile_loadconfig(&shape);
    }

    // Return a convolution for a signal that lacks constants: they go into its bias.
    static nfx::Conv with_input_offset(nfx::Conv conv, const std::vector<float>& lacking) {
        conv.bias.resize(conv.out, 0.0f);
        for (int o = 0; o < conv.out; ++o) {
            double sum = conv.bias[o];
            for (int i = 0; i < conv.in; ++i)
                for (int k = 0; k < conv.taps; ++k)
                    sum += double(conv.weight[(size_t(o) * conv.in + i) * conv.taps + k]) * lacking[i];
            conv.bias[o] = float(sum);
        }
        return conv;
    }

    // Write each sample of the input to all lanes of its own.
    void repeat_in_lanes(const float* in, int lanes, int rows) {
        __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        places = _mm512_srli_epi32(places, unsigned(std::countr_zero(unsigned(lanes))));
        for (int r = 0; r < rows; ++r)
            _mm512_store_ps(condition + r * W, _mm512_permutexvar_ps(places, _mm512_loadu_ps(in + r * (W / lanes))));
    }

    // Compute what comes into an array: from the input, or from the array before.
    void begin(TiledArray& a, const TiledArray* before, int n) {
        const int rows = a.rows_of(n);
        if (!before) {
            const vec bias = load(first_bias);
            const vec weight = load(first_weight);
            for (int r = 0; r < rows * W; r += W) {
                store(x + r, bias + load(condition + r) * weight);
                store(sum + r, vec{});
            }
            return;
        }
        multiply(a.rechannel, last, a.rechannel.bias, 0, x, rows);
        for (int r = 0; r < before->rows_of(n) * W; r += W) store(last + r, halves(load(sum + r)));
        multiply(a.head, last, a.head.bias, 0, sum, rows);
    }

    // Run the layers of an array on some samples from t on.
    void run(TiledArray& a, int t, int samples, bool final, const Modulation& now) {
        const int at = t * a.lanes;
        const RowBlock block{x + at, z, sum + at, condition + at, last + at, a.rows_of(samples), final};
        with_function(a.layers[0].spec->activation.kind, [&](auto function) {
            using F = typename decltype(function)::type;
            constexpr bool is_common = std::is_same_v<F, Plain<vtanh>> || std::is_same_v<F, Plain<fast_tanh>>;
            if (now.moving)
                run_moving_layers<F>(a, block, now);
            else if (!a.three_taps || !is_common)
                run_layers<F, 0, false>(a, block);
            else if (block.rows <= TILE_ROWS || block.rows > 2 * TILE_ROWS)
                run_layers<F, 3, false>(a, block);
            else
                run_layers<F, 3, true>(a, block);
        });
    }

    void scale_sum(const TiledArray& a, int rows, const Modulation& m) {
        const Glide modulation(m, a, false);
        for (int r = 0; r < rows; ++r) store(sum + r * W, modulation(load(sum + r * W), r));
    }
};

}  // namespace NFX_ARCH
