// WaveNets on the matrix units of x86-64 servers (AMX), which multiply bfloat16 and add in float32: 16 times as many
// products per cycle as vectors have. Each number goes in as two of them, its upper half and the rest, so four products
// stand for one; together they keep 17 of float32's 24 bits, and the sums keep all.
//
// Channels lie side by side, time goes down: a row has the lanes of one vector, which are 16 channels of one sample, or
// 8 of two, 4 of four, 2 of eight (other widths are padded with zeros). A dword with both halves of a number in each
// lane, a row is a row of the left matrix; the weights, block by block on the diagonal if a row has several samples,
// are the right one.
#pragma once

#include <bit>
#include <cstdint>

#include "rows.hpp"

#if defined(NFX_AMX)

namespace NFX_ARCH {

// The two halves of each number, the rest in the lower one.
NFX_INLINE vec halves(vec x) {
    const __m512i round = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32(int(0xffff0000u));
    const __m512i high = _mm512_and_si512(_mm512_add_epi32((__m512i)x, round), upper);
    const __m512i rest = _mm512_add_epi32((__m512i)(x - (vec)high), round);
    return (vec)_mm512_or_si512(high, _mm512_srli_epi32(rest, 16));
}

// Numbers by channel in the lanes of every sample of a row; zeros in the lanes beyond.
inline vec by_lane(const float* p, int channels, int lanes) {
    vec v{};
    for (int i = 0; i < W; ++i)
        if (i % lanes < channels) v[i] = p[i % lanes];
    return v;
}

constexpr int TILE = 16 * W;  // floats

// A convolution as matrices: for each tap (and for each row of the input that goes into one of the output) the upper
// halves of the weights, then the rests.
struct Matrices {
    int taps = 0, dilation = 1, lanes_in = W, lanes_out = W;  // lanes of one sample
    nfx::Buffer tiles;
    alignas(64) float bias[W] = {}, joined[W] = {};  // by lane; joined: the weights of a 1x1 of another signal

    Matrices() = default;
    Matrices(const nfx::Conv& c, int lanes_in, int lanes_out, const nfx::Conv* other = nullptr)
        : taps(c.out ? c.taps : 0), dilation(c.dilation), lanes_in(lanes_in), lanes_out(lanes_out),
          tiles(size_t(2) * taps * phases() * TILE) {
        set(c, other);
    }
    explicit operator bool() const { return taps > 0; }
    int phases() const { return lanes_in / lanes_out; }

    // Take these weights; outputs times 1 + scale, plus shift, where these are given.
    void set(const nfx::Conv& c, const nfx::Conv* other, const float* scale = nullptr, const float* shift = nullptr) {
        const int together = W / lanes_in;  // samples in a row of the input
        for (int o = 0; o < c.out; ++o) {
            const float gain = scale ? 1.0f + scale[o] : 1.0f;
            for (int i = 0; i < c.in; ++i)
                for (int k = 0; k < taps; ++k) {
                    const auto [high, rest] = pairs(c.weight[(size_t(o) * c.in + i) * taps + k] * gain);
                    for (int s = 0; s < together * phases(); ++s) {
                        float* to = tiles.get() + size_t(2) * (k * phases() + s / together) * TILE +
                                    (s % together * lanes_in + i) * W + s * lanes_out + o;
                        to[0] = high;
                        to[TILE] = rest;
                    }
                }
            const float b = (c.bias.empty() ? 0.0f : c.bias[o]) * gain + (shift ? shift[o] : 0.0f);
            for (int lane = o; lane < W; lane += lanes_out) {
                bias[lane] = b;
                joined[lane] = other ? other->weight[o] * gain : 0.0f;
            }
        }
    }

private:
    // The upper half of a weight, twice, for both halves of what it multiplies; and the rest of it, twice.
    static std::pair<float, float> pairs(float w) {
        const uint32_t high = (std::bit_cast<uint32_t>(w) + 0x8000u) >> 16;
        const float left = w - std::bit_cast<float>(high << 16);
        const uint32_t rest = (std::bit_cast<uint32_t>(left) + 0x8000u) >> 16;
        return {std::bit_cast<float>(high << 16 | high), std::bit_cast<float>(rest << 16 | rest)};
    }
};

// y = start + m(x) for a tile of rows; x: the row of halves that goes with y's first; start_stride: 64 bytes, or 0 if
// every row starts from the first. `meanwhile` is called after each product, with its number.
template <int TAPS = 0, class Meanwhile>
NFX_INLINE void multiply_tile(const Matrices& m, const float* x, const float* start, long start_stride, float* y,
                              Meanwhile meanwhile) {
    const int phases = TAPS ? 1 : m.phases(), taps = TAPS ? TAPS : m.taps;
    const float* w = m.tiles.get();
    asm volatile("" ::: "memory");  // what the tiles will read is written
    _tile_loadd(0, start, start_stride);
    const float* past = x - ptrdiff_t(taps - 1) * m.dilation * m.lanes_in;
#pragma GCC unroll 8
    for (int k = 0; k < taps; ++k, past += ptrdiff_t(m.dilation) * m.lanes_in)
        for (int p = 0; p < phases; ++p, w += 2 * TILE) {
            _tile_loadd(1, past + p * W, 64l * phases);
            _tile_loadd(2, w, 64);
            _tile_loadd(3, w + TILE, 64);
            _tile_dpbf16ps(0, 1, 2);
            meanwhile(2 * (k * phases + p));
            _tile_dpbf16ps(0, 1, 3);
            meanwhile(2 * (k * phases + p) + 1);
        }
    _tile_stored(0, y, 64);
}

// The same for any number of rows, and nothing beside it.
inline void multiply(const Matrices& m, const float* x, const float* start, long start_stride, float* y, int rows) {
    for (int r = 0; r < rows; r += 16) {
        multiply_tile(m, x, start, start_stride, y, [](int) {});
        x += ptrdiff_t(TILE) * m.phases(), start += 4 * start_stride, y += TILE;
    }
}

// Past and present of what a convolution reads, as halves; moved to the front when the room is used up.
class Past {
    nfx::Buffer buffer;
    int lanes = W, history = 0, room = 0, at = 0;
    alignas(64) float silence[W] = {};

public:
    Past() = default;
    // silence: what stands for zeros, by channel.
    Past(int lanes, int samples, const std::vector<float>& silence)
        : lanes(lanes), history((samples + 15) / 16 * 16), room(std::max(512, history) + BLOCK) {
        buffer = nfx::Buffer(size_t(history + room) * lanes + 4 * TILE);
        store(this->silence, halves(by_lane(silence.data(), int(silence.size()), lanes)));
        clear();
    }
    void clear() {
        for (size_t i = 0; i < buffer.size(); i += W) store(buffer.get() + i, load(silence));
        at = history;
    }
    float* now() { return buffer.get() + size_t(at) * lanes; }
    void advance(int n) {
        at += n;
        if (at + BLOCK <= history + room) return;
        std::memmove(buffer.get(), buffer.get() + size_t(at - history) * lanes,
                     size_t(history) * lanes * sizeof(float));
        at = history;
    }
};

// Rows of L vectors of 16 samples x L lanes, in `from`, to L rows of 16 samples.
template <int L>
inline void transpose(const float* from, Rows to, int channels, int n) {
    const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odds = _mm512_add_epi32(evens, _mm512_set1_epi32(1));
    for (int t = 0; t < n; t += W, from += L * W) {
        __m512 v[L], u[L];
        for (int i = 0; i < L; ++i) v[i] = _mm512_loadu_ps(from + i * W);
        for (int half = 1; half < L; half *= 2) {  // each round moves the lowest bit of the place to the top
            for (int i = 0; i < L / 2; ++i) {
                u[i] = _mm512_permutex2var_ps(v[2 * i], evens, v[2 * i + 1]);
                u[L / 2 + i] = _mm512_permutex2var_ps(v[2 * i], odds, v[2 * i + 1]);
            }
            std::copy(u, u + L, v);
        }
        for (int c = 0; c < channels; ++c) _mm512_storeu_ps(to.row(c) + t, v[c]);
    }
}

// The arrays of a WaveNet, up to what the last head reads.
class TiledArrays {
    struct Layer {
        const nfx::Layer* spec;
        Matrices conv, residual;
        Matrices unmodulated;  // the convolution without modulation, if the weights follow knobs
        Past input;
        nfx::Conv spec_conv;  // the convolution of what the layer reads here
    };
    struct Array {
        const nfx::Array* spec;
        int channels, lanes;
        Matrices rechannel, head;  // from the array before; the first array has `first_weight` and `first_bias`
        std::vector<Layer> layers;
        bool three;  // taps in every layer
    };
    std::vector<Array> arrays;
    alignas(64) float first_weight[W], first_bias[W] = {};
    nfx::Buffer room;
    float *x, *z, *sum, *last, *condition;  // rows of a block

    static int lanes_of(int channels) { return std::max(2, int(std::bit_ceil(unsigned(channels)))); }

public:
    // Whether these kernels run it, and faster than vectors do: no gates, no FiLM, no heads of single layers, at most
    // 16 channels, and 48 products or more for each output of the first layer.
    static bool run(const nfx::WaveNet& net) {
        if (net.in != 1 || !net.condition.empty()) return false;
        if (net.arrays[0].layers[0].conv.in * net.arrays[0].layers[0].conv.taps < 48) return false;
        int before = W;
        for (const auto& a : net.arrays) {
            const int channels = a.rechannel.out, lanes = lanes_of(channels);
            const bool final = &a == &net.arrays.back();
            if (lanes > before || a.rechannel.taps != 1 || a.head.in != channels || (a.head.taps != 1 && !final))
                return false;
            if (!final && a.head.out != (&a + 1)->head.in) return false;
            before = lanes;
            for (const auto& l : a.layers)
                if (l.activation.kind != a.layers[0].activation.kind || l.gating != nfx::Gating::none ||
                    !l.films.empty() || l.head.out || l.conv.out != channels || l.conv.in != channels ||
                    l.mixin.in != 1 || l.mixin.taps != 1 || l.residual.taps != 1)
                    return false;
        }
        return true;
    }

    // The description must outlive this. knobbed: `fold` and modulations will come.
    TiledArrays(const nfx::WaveNet& net, bool knobbed) {
        // Rows that are read and written together begin at different places of a page: processors take an address that
        // ends like one just written for the same.
        constexpr size_t page = 1024, rows = BLOCK * W + 4 * TILE;
        room = nfx::Buffer(5 * (rows + page));
        size_t place = 0;
        for (float** part : {&z, &sum, &condition, &x, &last}) {
            *part = room.get() + place;
            place += rows + page / 3 / W * W;
        }
        std::vector<float>
            lacking;  // by channel: the biases of the residuals so far, which are left out of what layers read
        for (const auto& a : net.arrays) {
            Array made{&a, a.rechannel.out, lanes_of(a.rechannel.out), {}, {}, {}, true};
            const int lanes = made.lanes;
            if (arrays.empty()) {
                store(first_weight, by_lane(a.rechannel.weight.data(), made.channels, lanes));
                if (!a.rechannel.bias.empty())
                    store(first_bias, by_lane(a.rechannel.bias.data(), made.channels, lanes));
            } else {
                made.rechannel = Matrices(reading(a.rechannel, lacking), arrays.back().lanes, lanes);
                made.head = Matrices(arrays.back().spec->head, arrays.back().lanes, lanes);
            }
            lacking.assign(made.channels, 0.0f);
            for (const auto& l : a.layers) {
                std::vector<float> silence = lacking;
                for (float& v : silence) v = -v;
                const nfx::Conv conv = reading(l.conv, lacking);
                made.three &= conv.taps == 3;
                made.layers.push_back({&l, Matrices(conv, lanes, lanes, &l.mixin), Matrices(l.residual, lanes, lanes),
                                       knobbed ? Matrices(conv, lanes, lanes, &l.mixin) : Matrices(),
                                       Past(lanes, (conv.taps - 1) * conv.dilation, silence), conv});
                if (!l.residual.bias.empty())
                    for (int c = 0; c < made.channels; ++c) lacking[c] += l.residual.bias[c];
            }
            arrays.push_back(std::move(made));
        }
    }

    // Samples at a time: 128 rows of the first array. Twice as many, and what lies between arrays leaves the nearest
    // cache.
    int step() const { return std::min(BLOCK, 128 * W / arrays[0].lanes); }

    void reset() {
        for (auto& a : arrays)
            for (auto& l : a.layers) l.input.clear();
    }

    // Fold a modulation that stands still into the weights of the layers.
    void fold(const float* m) {
        for (auto& a : arrays) {
            for (auto& l : a.layers) {
                l.conv.set(l.spec_conv, &l.spec->mixin, m, m + a.channels);
                m += 2 * a.channels;
            }
            m += a.channels;
        }
    }

    // in: n samples, and zeros up to whole vectors. out: what the last head reads.
    void process(const float* in, Rows out, int n, Modulation m) {
        struct alignas(64) Shape {
            uint8_t palette = 1, start = 0, reserved[14] = {};
            uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
        } shape;
        _tile_loadconfig(&shape);
        for (size_t i = 0; i < arrays.size(); ++i) {
            Array& a = arrays[i];
            const bool final = i + 1 == arrays.size();
            if (i == 0 || a.lanes != arrays[i - 1].lanes) repeat(in, a.lanes, rows_of(a, n));
            begin(a, i ? &arrays[i - 1] : nullptr, n);
            Modulation now = m;
            // 64 rows at a time: with the weights of a layer they fit the nearest cache
            for (int t = 0, some; t < n; t += some, now.at += some) {
                some = std::min(n - t, 64 * W / a.lanes);
                with_function(a.layers[0].spec->activation.kind, [&](auto function) {
                    using F = typename decltype(function)::type;
                    const Part part{x + t * a.lanes,    sum + t * a.lanes, condition + t * a.lanes,
                                    last + t * a.lanes, rows_of(a, some),  final};
                    if (now.moving)
                        moving_layers<F>(a, part, now);
                    else if (!a.three || !(std::is_same_v<F, Plain<vtanh>> || std::is_same_v<F, Plain<fast_tanh>>))
                        layers<F, 0, false>(a, part);
                    else if (part.rows <= 16 || part.rows > 32)
                        layers<F, 3, false>(a, part);
                    else
                        layers<F, 3, true>(a, part);
                });
                for (auto& l : a.layers) l.input.advance(some);
            }
            if (m) {
                m = m.skip(2 * a.channels * int(a.layers.size()));
                scale_sum(a, rows_of(a, n), m);
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
    // A convolution of a signal that lacks these constants.
    static nfx::Conv reading(nfx::Conv c, const std::vector<float>& lacking) {
        c.bias.resize(c.out, 0.0f);
        for (int o = 0; o < c.out; ++o) {
            double sum = c.bias[o];
            for (int i = 0; i < c.in; ++i)
                for (int k = 0; k < c.taps; ++k)
                    sum += double(c.weight[(size_t(o) * c.in + i) * c.taps + k]) * lacking[i];
            c.bias[o] = float(sum);
        }
        return c;
    }

    // The samples of the input in the lanes of each.
    void repeat(const float* in, int lanes, int rows) {
        __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        places = _mm512_srli_epi32(places, unsigned(std::countr_zero(unsigned(lanes))));
        for (int r = 0; r < rows; ++r)
            _mm512_store_ps(condition + r * W, _mm512_permutexvar_ps(places, _mm512_loadu_ps(in + r * (W / lanes))));
    }

    static int rows_of(const Array& a, int n) { return (n * a.lanes + W - 1) / W; }

    // What comes into an array: from the input, or from the array before.
    void begin(Array& a, const Array* before, int n) {
        const int rows = rows_of(a, n);
        if (!before) {
            const vec bias = load(first_bias), weight = load(first_weight);
            for (int r = 0; r < rows * W; r += W) {
                store(x + r, bias + load(condition + r) * weight);
                store(sum + r, vec{});
            }
            return;
        }
        multiply(a.rechannel, last, a.rechannel.bias, 0, x, rows);
        for (int r = 0; r < rows_of(*before, n) * W; r += W) store(last + r, halves(load(sum + r)));
        multiply(a.head, last, a.head.bias, 0, sum, rows);
    }

    // Rows that go through the layers of an array together.
    struct Part {
        float* x;
        float* sum;
        const float* condition;
        float* last;  // where the halves of what the last layer gives are put
        int rows;
        bool final;  // nobody reads what the last layer gives
    };

    // All layers of an array, a tile at a time. While the matrix units work at some tiles, the vector units work at
    // others: of each tile the convolution, the activation, the residual and what the next layer reads of it come in
    // turn, and each turn, one step of four tiles is done. Tiles come in the order of time, layer by layer, so none
    // waits for a later one. TAPS: of every layer, or 0 for any number; TWO: there are two tiles.
    template <class F, int TAPS, bool TWO>
    void layers(Array& a, const Part& part) {
        const int tiles = TWO ? 2 : (part.rows + 15) / 16, count = int(a.layers.size());
        // The place of a step: which tile of which layer.
        struct Place {
            int layer = 0, tile = 0;
        };
        const auto go = [tiles](Place& p) {
            if (++p.tile == tiles) p.tile = 0, ++p.layer;
        };

        const auto give = [&](int j, int g) NFX_BODY {  // tile g of layer j's output, to where the next layer reads it
            float* to = (j + 1 < count ? a.layers[j + 1].input.now() : part.last) + g * TILE;
            const float* from = part.x + g * TILE;
#pragma GCC unroll 16
            for (int r = 0; r < TILE; r += W) store(to + r, halves(load(from + r)));
        };
        const auto finish = [&](Place& p) NFX_BODY {
            if (p.layer < count - part.final) give(p.layer, p.tile);
            go(p);
        };
        const auto convolve = [&](Place& p, auto meanwhile) NFX_BODY {
            const bool runs = p.layer < count;
            if (runs) {
                Layer& l = a.layers[p.layer];
                const int at = p.tile * TILE;
                multiply_tile<TAPS>(l.conv, l.input.now() + at, l.conv.bias, 0, z + at, meanwhile);
            }
            go(p);
            return runs;
        };
        const auto add_residual = [&](Place& p, auto meanwhile) NFX_BODY {
            const bool runs = p.layer < count - part.final && a.layers[p.layer].residual;
            if (runs) {
                float* to = part.x + p.tile * TILE;
                multiply_tile<1>(a.layers[p.layer].residual, z + p.tile * TILE, to, 64, to, meanwhile);
            }
            go(p);
            return runs;
        };
        const auto nothing = [](int) {};
        for (int g = 0; g < tiles; ++g) give(-1, g);
        const int ahead = std::min(std::max(tiles - 2, 0), 2);  // tiles that convolutions are ahead of activations
        Place convolved, added, finished;
        for (int i = 0; i < std::max(ahead, 1); ++i) convolve(convolved, nothing);
        for (Place p; p.layer < count;) {
            const Layer& l = a.layers[p.layer];
            const F f = function_of<F>(a, l);
            const vec joined = load(l.conv.joined);
            const int at = p.tile * TILE;
            float *const signal = z + at, *const heads = part.sum + at;
            const float* const cond = part.condition + at;
            // z = halves of f(z + joined), added to the sum
            const auto activate = [&](int from, int to) NFX_BODY {
                for (int r = from * W; r < to * W; r += W) {
                    const vec v = f(load(signal + r) + load(cond + r) * joined);
                    store(heads + r, load(heads + r) + v);
                    store(signal + r, halves(v));
                }
            };
            // The rows beside a residual, and those beside a convolution.
            constexpr int few = TWO ? 8 : 4;
            const auto some = [&](int product) NFX_BODY { activate(product * few / 2, (product + 1) * few / 2); };
            const int products = 2 * (TAPS ? TAPS : convolved.layer < count ? a.layers[convolved.layer].conv.taps : 1);
            const int share = (16 - few + products - 1) / products;
            const auto others = [&](int product) NFX_BODY {
                const int from = few + product * share;
                if (from < 16) activate(from, std::min(16, from + share));
            };
            const bool begun = p.layer || p.tile;
            if (tiles == 1) {
                activate(0, 16);
                add_residual(added, nothing);
                finish(finished);
                convolve(convolved, nothing);
            } else {
                if (!begun || !add_residual(added, some)) activate(0, few);
                if (begun && tiles == 2) finish(finished);
                if (!convolve(convolved, others)) activate(few, 16);
                if (begun && tiles > 2) finish(finished);
            }
            go(p);
        }
        while (added.layer < count) add_residual(added, nothing);
        while (finished.layer < count) finish(finished);
    }

    // The same, with modulations that move, one step after the other.
    template <class F>
    void moving_layers(Array& a, const Part& part, Modulation m) {
        for (int r = 0; r < part.rows * W; r += W) store(a.layers[0].input.now() + r, halves(load(part.x + r)));
        for (size_t j = 0; j < a.layers.size(); ++j, m = m.skip(2 * a.channels)) {
            Layer& l = a.layers[j];
            const bool ends = j + 1 == a.layers.size();
            multiply(l.unmodulated, l.input.now(), l.unmodulated.bias, 0, z, part.rows);
            const F f = function_of<F>(a, l);
            const Glide glide(m, a);
            const vec joined = load(l.unmodulated.joined);
            for (int r = 0; r < part.rows; ++r) {
                const int at = r * W;
                const vec v = f(glide(load(z + at) + load(part.condition + at) * joined, r));
                store(part.sum + at, load(part.sum + at) + v);
                store(z + at, halves(v));
            }
            if (ends && part.final) return;
            if (l.residual) multiply(l.residual, z, part.x, 64, part.x, part.rows);
            float* next = ends ? part.last : a.layers[j + 1].input.now();
            for (int r = 0; r < part.rows * W; r += W) store(next + r, halves(load(part.x + r)));
        }
    }

    // A layer's activation.
    template <class F>
    static F function_of(const Array& a, const Layer& l) {
        const auto& act = l.spec->activation;
        return F(act, act.kind == nfx::Act::prelu ? by_lane(act.params.data(), a.channels, a.lanes) : vec{});
    }

    // How a modulation scales (and shifts) the lanes of a row.
    struct Glide {
        vec scale, scale_by, shift, shift_by, place;
        float step;

        Glide(const Modulation& m, const Array& a, bool shifts = true) : step(float(W / a.lanes) / Modulation::GRID) {
            const auto by_lane = [&a](const float* p) { return NFX_ARCH::by_lane(p, a.channels, a.lanes); };
            const vec to = by_lane(m.to), from = m.moving ? by_lane(m.from) : to;
            scale = 1.0f + from, scale_by = to - from;
            if (shifts) {
                shift = by_lane(m.from + a.channels);
                shift_by = by_lane(m.to + a.channels) - shift;
            } else {
                shift = shift_by = vec{};
            }
            for (int i = 0; i < W; ++i) place[i] = float(m.at + i / a.lanes + 1) / Modulation::GRID;
        }
        vec operator()(vec v, int r) const {
            const vec w = place + step * float(r);
            return v * (scale + scale_by * w) + (shift + shift_by * w);
        }
    };

    void scale_sum(const Array& a, int rows, const Modulation& m) {
        const Glide modulation(m, a, false);
        for (int r = 0; r < rows; ++r) store(sum + r * W, modulation(load(sum + r * W), r));
    }
};

}  // namespace NFX_ARCH

#else

namespace NFX_ARCH {

struct TiledArrays {  // runs nothing
    static bool run(const nfx::WaveNet&) { return false; }
    TiledArrays(const nfx::WaveNet&, bool) {}
    int step() const { return BLOCK; }
    void reset() {}
    void fold(const float*) {}
    void process(const float*, Rows, int, const Modulation&) {}
};

}  // namespace NFX_ARCH

#endif
