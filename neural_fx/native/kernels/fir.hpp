// Long filters without latency. The first PART taps are a convolution, and the rest is a uniformly partitioned
// overlap-save (Stockham 1966, Kulp 1988). The FFTs run at the end of every PART samples.
#pragma once

#include <cmath>
#include <vector>

#include "fft.hpp"
#include "packed_conv.hpp"

namespace NFX_ARCH {

// A filter with one input and one output.
class LongFir {
    static constexpr int PART = 256, SIZE = 2 * PART;

    Packed direct;
    Line line;
    Fft<float> fft{SIZE};
    int parts = 0, at = 0, newest = 0;
    nfx::Buffer response;  // spectra of the filter's parts, (parts, 2, SIZE)
    nfx::Buffer spectra;   // spectra of the last inputs, a ring of (parts, 2, SIZE)
    nfx::Buffer sum;       // (2, SIZE)
    nfx::Buffer recent;    // the last PART samples, then the present ones
    nfx::Buffer tail;      // what the far taps add to the present samples

    static nfx::Conv first(const nfx::Conv& c) {
        nfx::Conv near{1, 1, PART, 1, {}, c.bias};
        near.weight.assign(c.weight.end() - PART, c.weight.end());
        return near;
    }

public:
    static bool fits(const nfx::Conv& c) { return c.out == 1 && c.in == 1 && c.dilation == 1 && c.taps >= 4 * PART; }

    explicit LongFir(const nfx::Conv& c)
        : direct(first(c)), line(1, PART - 1), parts((c.taps - 1) / PART), response(size_t(parts) * 2 * SIZE),
          spectra(size_t(parts) * 2 * SIZE), sum(2 * SIZE), recent(SIZE), tail(PART + SLACK) {
        for (int p = 0; p < parts; ++p) {  // weights come with the last tap = now
            float* re = response.get() + size_t(p) * 2 * SIZE;
            for (int j = 0; j < PART && PART * (p + 1) + j < c.taps; ++j)
                re[j] = c.weight[c.taps - 1 - PART * (p + 1) - j];
            fft.run(re, re + SIZE, 1);
        }
    }
    void clear() {
        line.clear();
        spectra.clear();
        recent.clear();
        tail.clear();
        at = newest = 0;
    }
    // x: n samples, replaced by the output.
    void process(float* x, int n) {
        for (int done = 0; done < n;) {
            const int m = std::min({n - done, PART - at, BLOCK});
            const Rows now = line.now();
            std::memcpy(now.p, x + done, m * sizeof(float));
            std::fill(now.p + m, now.p + padded(m), 0.0f);
            std::memcpy(recent.get() + PART + at, x + done, m * sizeof(float));
            alignas(64) float out[BLOCK + SLACK];
            conv(direct, now, {out, 0}, m);
            for (int t = 0; t < m; ++t) x[done + t] = out[t] + tail.get()[at + t];
            line.advance(m);
            at += m;
            done += m;
            if (at == PART) convolve_far_taps();
        }
    }

private:
    // Compute what the taps after the first PART add to the next PART samples.
    void convolve_far_taps() {
        newest = (newest + parts - 1) % parts;
        float* re = spectra.get() + size_t(newest) * 2 * SIZE;
        std::memcpy(re, recent.get(), SIZE * sizeof(float));
        std::fill(re + SIZE, re + 2 * SIZE, 0.0f);
        fft.run(re, re + SIZE, 1);
        sum.clear();
        for (int p = 0; p < parts; ++p) {
            const float *h = response.get() + size_t(p) * 2 * SIZE,
                        *s = spectra.get() + size_t((newest + p) % parts) * 2 * SIZE;
            float* y = sum.get();
            for (int k = 0; k < SIZE; k += W) {
                const vec hr = load(h + k), hi = load(h + SIZE + k), sr = load(s + k), si = load(s + SIZE + k);
                store(y + k, load(y + k) + hr * sr - hi * si);
                store(y + SIZE + k, load(y + SIZE + k) + hr * si + hi * sr);
            }
        }
        fft.run(sum.get(), sum.get() + SIZE, -1);
        for (int t = 0; t < PART; ++t) tail.get()[t] = sum.get()[PART + t] * (1.0f / SIZE);
        std::memcpy(recent.get(), recent.get() + PART, PART * sizeof(float));
        at = 0;
    }
};

}  // namespace NFX_ARCH
