// Convolutions, activations and scalings, one after another.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "activations.hpp"
#include "fir.hpp"
#include "packed_conv.hpp"

namespace NFX_ARCH {

class SequentialStream final : public nfx::Stream {
    struct Stage {
        const nfx::Stage* spec;
        Packed conv;
        Line input;
        std::unique_ptr<LongFir> fir;  // replaces `conv` and `input` for a long filter
    };
    nfx::Sequential net;
    std::vector<Stage> stages;
    nfx::Buffer scratch;
    Rows input, signal;

public:
    explicit SequentialStream(const nfx::Sequential& description) : net(description) {
        int widest = net.in;
        for (const auto& s : net.stages) {
            if (s.conv.out && LongFir::fits(s.conv)) {
                stages.push_back({&s, Packed(nfx::Conv{}), Line(0, 0), std::make_unique<LongFir>(s.conv)});
                continue;
            }
            const Packed conv(s.conv);
            widest = std::max({widest, conv.out, conv.in});
            stages.push_back({&s, conv, Line(conv.in, conv.out ? conv.history() : 0), nullptr});
        }
        const size_t stride = BLOCK + SLACK;
        scratch = nfx::Buffer(2 * widest * stride);
        input = {scratch.get(), stride};
        signal = {scratch.get() + widest * stride, stride};
    }

    void reset() override {
        for (auto& s : stages) {
            if (s.fir) s.fir->clear();
            s.input.clear();
        }
    }

    void process(const float* in, size_t in_stride, float* out, size_t out_stride, int n) override {
        for (int start = 0; start < n; start += BLOCK) {
            const int m = std::min(BLOCK, n - start);
            for (int c = 0; c < net.in; ++c) {
                const float gain = c == 0 ? net.input_gain : 1.0f;
                for (int t = 0; t < m; ++t) input.row(c)[t] = gain * in[c * in_stride + start + t];
                std::fill(input.row(c) + m, input.row(c) + padded(m), 0.0f);
            }
            copy(input, signal, net.in, m);
            int channels = net.in;
            for (auto& s : stages) channels = stage(s, channels, m);
            for (int c = 0; c < net.out; ++c)
                for (int t = 0; t < m; ++t)
                    out[c * out_stride + start + t] =
                        net.output_gain * (signal.row(c)[t] + (net.skip ? input.row(0)[t] : 0.0f));
        }
    }

private:
    // Run a stage on `signal`. Return the number of its output channels.
    int stage(Stage& s, int channels, int n) {
        if (s.fir) {
            s.fir->process(signal.row(0), n);
        } else if (s.conv.out) {
            const Rows now = s.input.now();
            copy(signal, now, channels, n);
            conv(s.conv, now, signal, n);
            s.input.advance(n);
            channels = s.conv.out;
        }
        for (size_t c = 0; c < s.spec->scale.size(); ++c)
            for (int t = 0; t < n; t += W)
                store(signal.row(c) + t, load(signal.row(c) + t) * s.spec->scale[c] + s.spec->shift[c]);
        activate(s.spec->activation, signal, channels, n);
        return channels;
    }
};

}  // namespace NFX_ARCH
