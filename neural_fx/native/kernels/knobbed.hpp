// A WaveNet whose weights follow knobs.
//
// The knobs are read every GRID samples. If one has moved, the modulation moves to its new values over the next GRID
// samples. While all stand still, it is folded into the weights and costs nothing.
#pragma once

#include <cmath>

#include "wavenet.hpp"

namespace NFX_ARCH {

class KnobbedStream final : public nfx::Stream {
    static constexpr int GRID = Modulation::GRID;

    nfx::Knobbed spec;
    WaveNetStream stream;
    std::vector<float> held, hidden, next, from, to;
    size_t at = 0;
    bool begun = false, folded = false;

public:
    explicit KnobbedStream(const nfx::Knobbed& knobbed)
        : spec(knobbed), stream(knobbed.net, true), held(knobbed.knobs()), from(knobbed.dense.back().out), to(from) {
        size_t widest = spec.learned.size();
        for (const auto& d : spec.dense) widest = std::max<size_t>(widest, d.out);
        hidden.resize(widest);
        next.resize(widest);
    }

    void reset() override {
        stream.reset();
        at = 0;
        begun = false;
    }

    void process(const float* in, size_t in_stride, float* out, size_t out_stride, int n) override {
        const float* knobs = in + spec.net.in * in_stride;
        for (int start = 0, end = 0; start < n; at += end - start, start = end) {
            if (at % GRID == 0) read_knobs(knobs + start, in_stride);
            Modulation& m = stream.modulation_of_knobs;
            m.at = int(at % GRID);
            end = start + GRID - m.at;
            if (!m.moving)
                while (end < n && !moved(knobs + end, in_stride)) end += GRID;
            end = std::min(end, n);
            stream.process(in + start, in_stride, out + start, out_stride, end - start);
        }
        for (const auto& level : spec.levels)
            for (int t = 0; t < n; ++t) {
                const float gain = gain_at(level, knobs[level.index * in_stride + t]);
                for (int c = 0; c < spec.net.out(); ++c) out[c * out_stride + t] *= gain;
            }
    }

private:
    bool moved(const float* knobs, size_t stride) const {
        for (int k : spec.learned)
            if (knobs[k * stride] != held[k]) return true;
        return false;
    }

    // Start to move to the modulation of the knobs, or stand still if none has moved.
    void read_knobs(const float* knobs, size_t stride) {
        const bool moving = begun && moved(knobs, stride);
        std::swap(from, to);
        if (moving || !begun) {
            for (int k : spec.learned) held[k] = knobs[k * stride];
            modulate();
            folded = false;
        } else {
            to = from;
        }
        begun = true;
        if (!moving && !folded) {
            stream.fold(to.data());
            folded = true;
        }
        stream.modulation_of_knobs = {from.data(), to.data(), 0, moving};
    }

    // Compute the modulation `to` from the held knobs, by the dense layers.
    void modulate() {
        for (size_t i = 0; i < spec.learned.size(); ++i) hidden[i] = 2 * held[spec.learned[i]] - 1;
        for (size_t d = 0; d < spec.dense.size(); ++d) {
            const auto& dense = spec.dense[d];
            for (int o = 0; o < dense.out; ++o) {
                float sum = dense.bias[o];
                for (int i = 0; i < dense.in; ++i) sum += dense.weight[size_t(o) * dense.in + i] * hidden[i];
                next[o] = d + 1 < spec.dense.size() ? std::tanh(sum) : sum;
            }
            std::swap(hidden, next);
        }
        std::copy(hidden.begin(), hidden.begin() + to.size(), to.begin());
    }

    static float gain_at(const nfx::Level& level, float knob) {
        const float place = std::min(std::max(knob, 0.0f), 1.0f) * float(level.gains.size() - 1);
        const size_t low = std::min(size_t(place), level.gains.size() - 2);
        return level.gains[low] + (place - float(low)) * (level.gains[low + 1] - level.gains[low]);
    }
};

}  // namespace NFX_ARCH
