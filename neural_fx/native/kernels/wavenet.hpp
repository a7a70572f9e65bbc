// WaveNet over a stream, in blocks of up to BLOCK samples.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "activations.hpp"
#include "film.hpp"
#include "modulation.hpp"
#include "packed_conv.hpp"
#include "tiled.hpp"

namespace NFX_ARCH {

class WaveNetStream final : public nfx::Stream {
    struct Layer {
        Packed conv, mixin, residual, head;
        Packed unmodulated;  // the convolution without modulation, if the weights follow knobs

        const nfx::Layer* spec;
        int bottleneck;  // channels after the gate
        Line input;      // the convolution reads its past, and the residual its present
        Line filmed;     // the convolution reads this instead if there is a FiLM before it
        std::vector<Film> films;
        bool plain;  // no gate, no head convolution, and tanh or leaky ReLU
    };
    struct Post {
        const nfx::Activation* activation;
        Packed conv;
        Line input;
    };
    struct Array {
        Packed rechannel;
        Packed head;
        std::vector<Layer> layers;
        Line accumulated;  // the sum of the layers' outputs, which the head reads
        int width;         // channels of `accumulated`
        int channels;
    };

    nfx::WaveNet net;                    // activations are read from here
    std::unique_ptr<TiledArrays> tiled;  // runs the arrays if it supports them; then `arrays` have no layers
    std::vector<Array> arrays;
    std::vector<Post> post;
    std::unique_ptr<WaveNetStream> condition;
    int condition_out = 0;
    nfx::Buffer scratch;
    Rows input, z, residual, head, cond, mixed, modulation, free;
    int step = BLOCK;  // samples at a time, so that the rows of a layer fit the L1 cache

public:
    // knobbed: whether modulations will be set. Layers must have no FiLM then.
    explicit WaveNetStream(const nfx::WaveNet& description, bool knobbed = false) : net(description) {
        int widest = net.in;
        if (TiledArrays::supports(net)) tiled = std::make_unique<TiledArrays>(net, knobbed);
        for (const auto& a : net.arrays) {
            std::vector<Layer> layers;
            for (const auto& l : a.layers) {
                if (tiled) break;
                const int bottleneck = l.conv.out / (l.gating == nfx::Gating::none ? 1 : 2);
                widest = std::max({widest, l.conv.out, l.conv.in, l.head.out, l.mixin.in});
                std::vector<Film> films;
                for (const auto& f : l.films) {
                    films.push_back({Packed(f.conv), f.shift});
                    widest = std::max(widest, f.conv.out);
                }
                const int history = Packed(l.conv).history();
                const nfx::Act act = l.activation.kind;
                const bool known = act == nfx::Act::tanh || act == nfx::Act::tanh_fast || act == nfx::Act::leaky_relu;
                const bool plain = l.gating == nfx::Gating::none && !l.head.out && known;
                const bool before = !films.empty() && films[nfx::conv_pre];
                // The convolutions of the signal and the condition are one loop, unless a FiLM comes between them.
                const nfx::Conv* mixin = l.films.empty() ? &l.mixin : nullptr;
                layers.push_back({Packed(l.conv, mixin), Packed(l.mixin), Packed(l.residual), Packed(l.head),
                                  knobbed ? Packed(l.conv, mixin) : Packed(nfx::Conv{}), &l, bottleneck,
                                  Line(l.conv.in, before ? 0 : history), Line(before ? l.conv.in : 0, history),
                                  std::move(films), plain});
            }
            widest = std::max({widest, a.head.in, a.head.out});
            arrays.push_back({Packed(a.rechannel), Packed(a.head), std::move(layers),
                              Line(a.head.in, Packed(a.head).history()), a.head.in, a.rechannel.out});
        }
        for (const auto& stage : net.post) {
            widest = std::max({widest, stage.conv.in, stage.conv.out});
            post.push_back({&stage.activation, Packed(stage.conv), Line(stage.conv.in, Packed(stage.conv).history())});
        }
        if (!net.condition.empty()) {
            condition = std::make_unique<WaveNetStream>(net.condition[0]);
            condition_out = net.condition[0].out();
            widest = std::max(widest, condition_out);
        }
        if (widest > 8) step = 128;
        if (tiled) step = tiled->step();
        const size_t stride = BLOCK + SLACK;
        const size_t rows = widest * stride;
        scratch = nfx::Buffer(8 * rows);
        Rows* const parts[] = {&input, &z, &residual, &head, &cond, &mixed, &modulation, &free};
        for (int i = 0; i < 8; ++i) *parts[i] = {scratch.get() + i * rows, stride};
    }

    void reset() override {
        for (auto& a : arrays) {
            a.accumulated.clear();
            for (auto& l : a.layers) {
                l.input.clear();
                l.filmed.clear();
            }
        }
        for (auto& stage : post) stage.input.clear();
        if (condition) condition->reset();
        if (tiled) tiled->reset();
    }

    Modulation modulation_of_knobs;  // set before `process`

    // Fold a modulation that stands still into the weights of the layers.
    void fold(const float* m) {
        if (tiled) return tiled->fold(m);
        for (auto& a : arrays) {
            for (auto& l : a.layers) {
                for (int c = 0; c < l.conv.out; ++c) free.row(0)[c] = 1.0f + m[c];
                l.conv.scale_outputs(l.unmodulated, free.row(0), m + l.conv.out);
                m += 2 * l.conv.out;
            }
            m += a.width;
        }
    }

    void process(const float* in, size_t in_stride, float* out, size_t out_stride, int n) override {
        const int outputs = net.out();
        for (int start = 0; start < n; start += step) {
            const int m = std::min(step, n - start);
            for (int c = 0; c < net.in; ++c) {
                float* row = input.row(c);
                std::memcpy(row, in + c * in_stride + start, m * sizeof(float));
                std::fill(row + m, row + padded(m), 0.0f);
            }
            process_step(m);
            for (int c = 0; c < outputs; ++c) std::memcpy(out + c * out_stride + start, head.row(c), m * sizeof(float));
        }
    }

private:
    // Process up to `step` samples, from `input` to `head`.
    void process_step(int n) {
        if (tiled) {
            Array& a = arrays.back();
            const Rows sum = a.accumulated.now();
            tiled->process(input.p, sum, n, modulation_of_knobs);
            conv(a.head, sum, head, n);
            a.accumulated.advance(n);
            return finish(n);
        }
        Rows x = input;
        Rows c0 = input;  // the condition
        if (condition) {
            condition->process(input.p, input.stride, cond.p, cond.stride, n);
            for (int c = 0; c < condition_out; ++c) std::fill(cond.row(c) + n, cond.row(c) + padded(n), 0.0f);
            c0 = cond;
        }
        Modulation m = modulation_of_knobs;
        for (size_t i = 0; i < arrays.size(); ++i) {
            Array& a = arrays[i];
            const Rows sum = a.accumulated.now();
            for (int c = 0; c < a.width; ++c) {
                if (i == 0)
                    std::fill(sum.row(c), sum.row(c) + padded(n), 0.0f);
                else
                    std::memcpy(sum.row(c), head.row(c), padded(n) * sizeof(float));
            }
            conv(a.rechannel, x, a.layers[0].input.now(), n);
            for (size_t j = 0; j < a.layers.size(); ++j) {
                const bool last = j + 1 == a.layers.size();
                const Rows next = last ? residual : a.layers[j + 1].input.now();
                if (a.layers[j].films.empty())
                    layer(a.layers[j], c0, next, sum, n, m);
                else
                    modulated(a.layers[j], c0, next, sum, n);
                if (m) m = m.skip(2 * a.layers[j].conv.out);
            }
            if (m) {
                m.scale(sum, a.width, n);
                m = m.skip(a.width);
            }
            conv(a.head, sum, head, n);
            x = residual;
            a.accumulated.advance(n);
            for (auto& l : a.layers) {
                l.input.advance(n);
                l.filmed.advance(n);
            }
        }
        finish(n);
    }

    // Scale the output of the last head, and run the stages after it.
    void finish(int n) {
        const int channels = arrays.back().head.out;
        for (int c = 0; c < channels; ++c)
            for (int t = 0; t < n; t += W) store(head.row(c) + t, net.head_scale * load(head.row(c) + t));
        for (auto& stage : post) {
            const Rows now = stage.input.now();
            copy(head, now, stage.conv.in, n);
            activate(*stage.activation, now, stage.conv.in, n);
            conv(stage.conv, now, head, n);
            stage.input.advance(n);
        }
    }

    // Run a layer without FiLM. c: the condition. next: the residual output. sum: the head's input so far.
    void layer(Layer& l, Rows c, Rows next, Rows sum, int n, const Modulation& m) {
        const Rows now = l.input.now();
        if (l.plain && !m.moving) {
            const auto& act = l.spec->activation;
            if (act.kind == nfx::Act::tanh) return plain_layer(l, c, next, sum, n, Plain<vtanh>(act, vec{}));
            if (act.kind == nfx::Act::tanh_fast) return plain_layer(l, c, next, sum, n, Plain<fast_tanh>(act, vec{}));
            return plain_layer(l, c, next, sum, n, LeakyReLU(act, vec{}));
        }
        conv(m.moving ? l.unmodulated : l.conv, now, z, n, nullptr, c);
        if (m.moving) m.scale_and_shift(z, l.conv.out, n);
        shape(l, n);
        if (l.head.out)
            conv(l.head, z, sum, n, &sum);
        else
            plus(sum, z, l.bottleneck, n);
        add_residual(l, next, n);
    }

    // next = input + residual(z)
    void add_residual(Layer& l, Rows next, int n) {
        const Rows now = l.input.now();
        if (l.residual.out)
            conv(l.residual, z, next, n, &now);
        else
            copy(now, next, l.conv.in, n);
    }

    // Run a layer of the commonest kind. The activation and the sum take the convolution's output from its registers.
    // Up to 4 channels are all in registers, so the residual can do the same.
    template <class F>
    void plain_layer(Layer& l, Rows c, Rows next, Rows sum, int n, F f) {
        const Rows now = l.input.now();
        if (l.conv.in == l.conv.out && l.residual.out == l.conv.out) switch (l.conv.out) {
                case 1: return narrow_layer<1>(l, c, next, sum, n, f);
                case 2: return narrow_layer<2>(l, c, next, sum, n, f);
                case 3: return narrow_layer<3>(l, c, next, sum, n, f);
                case 4: return narrow_layer<4>(l, c, next, sum, n, f);
            }
        conv_to(l.conv, now, c, n, [=, z = z](const auto& x, int g, int t0) NFX_BODY {
            each_of(x, [&](int o, int t, vec v) NFX_BODY {
                float* to = sum.row(g + o) + t0 + t;
                v = f(v);
                store(to, load(to) + v);
                store(z.row(g + o) + t0 + t, v);
            });
        });
        add_residual(l, next, n);
    }

    template <int O, class F>
    void narrow_layer(Layer& l, Rows c, Rows next, Rows sum, int n, F f) {
        const Rows now = l.input.now();
        const float* weight = l.residual.weight.data();
        const float* bias = l.residual.bias.data();
        group<O>(l.conv, l.conv.weight.data(), 0, now, c, n, [=]<int T>(vec(&x)[O][T], int, int t0) NFX_BODY {
            each_of(x, [&](int o, int t, vec v) NFX_BODY {
                float* to = sum.row(o) + t0 + t;
                store(to, load(to) + (x[o][t / W] = f(v)));
            });
            each_of(x, [&](int o, int t, vec) NFX_BODY {
                vec y = load(now.row(o) + t0 + t) + bias[o];
#pragma GCC unroll 4
                for (int i = 0; i < O; ++i) y += weight[i * O + o] * x[i][t / W];
                store(next.row(o) + t0 + t, y);
            });
        });
    }

    // Run a layer with FiLM at any of its sites. The steps are the same, but one at a time.
    void modulated(Layer& l, Rows c, Rows next, Rows sum, int n) {
        const Rows now = l.input.now();
        const auto film = [&](nfx::Site site, Rows x) {
            if (l.films[site]) l.films[site].apply(x, c, modulation, n);
        };
        Rows past = now;
        if (l.films[nfx::conv_pre]) {
            past = l.filmed.now();
            copy(now, past, l.conv.in, n);
            film(nfx::conv_pre, past);
        }
        conv(l.conv, past, z, n);
        film(nfx::conv_post, z);
        Rows seen = c;
        if (l.films[nfx::mixin_pre]) {
            copy(c, free, l.mixin.in, n);
            film(nfx::mixin_pre, free);
            seen = free;
        }
        conv(l.mixin, seen, mixed, n);
        film(nfx::mixin_post, mixed);
        plus(z, mixed, l.conv.out, n);
        film(nfx::activation_pre, z);
        shape(l, n);
        film(nfx::activation_post, z);
        if (l.head.out) {
            conv(l.head, z, mixed, n);
            film(nfx::head_post, mixed);
            plus(sum, mixed, l.head.out, n);
        } else {
            plus(sum, z, l.bottleneck, n);
        }
        copy(now, next, l.conv.in, n);
        if (l.residual.out) {
            conv(l.residual, z, mixed, n);
            film(nfx::residual_post, mixed);
            plus(next, mixed, l.conv.in, n);
        }
    }

    // Apply the activation to z, and the gate if the layer has one.
    void shape(Layer& l, int n) {
        const int b = l.bottleneck;
        const int end = padded(n);
        if (l.spec->gating == nfx::Gating::none) {
            activate(l.spec->activation, z, b, n);
        } else {
            const Rows gate{z.row(b), z.stride};
            activate(l.spec->secondary, gate, b, n);
            if (l.spec->gating == nfx::Gating::gated) {
                activate(l.spec->activation, z, b, n);
                for (int c = 0; c < b; ++c)
                    for (int t = 0; t < end; t += W) store(z.row(c) + t, load(z.row(c) + t) * load(gate.row(c) + t));
            } else {
                blend(l.spec->activation, gate, b, n);
            }
        }
    }

    // z = gate * act(z) + (1 - gate) * z
    void blend(const nfx::Activation& act, Rows gate, int channels, int n) {
        alignas(64) float kept[BLOCK + SLACK];
        for (int c = 0; c < channels; ++c) {
            float* row = z.row(c);
            std::memcpy(kept, row, (BLOCK + SLACK) * sizeof(float));
            activate(act, row, c, n);
            for (int t = 0; t < n; t += W) {
                const vec s = load(gate.row(c) + t);
                store(row + t, s * load(row + t) + (1 - s) * load(kept + t));
            }
        }
    }
};

}  // namespace NFX_ARCH
