// A sum of sinusoids of any frequencies, which are constant. Amplitudes change linearly.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "../harmonic.hpp"
#include "memory.hpp"

namespace NFX_ARCH {

class SinusoidBank {
    // Vectors of samples that stay in registers while the loop runs over sinusoids.
    static constexpr int TOGETHER = W == 16 ? 8 : 4;

    int count = 0;
    std::vector<double> turns, steps;  // phases at the first sample, and their change per sample
    nfx::Buffer coarse, fine;          // steps as sums of two: lanes times the coarse one have no rounding errors
    nfx::Buffer begin, slope;          // amplitudes at the first sample, and their change per sample
    nfx::Buffer here, cosine, sine;    // phases at the first sample of a part; the rotation by a vector of samples

public:
    static constexpr int ROOM = TOGETHER * W;  // samples that `add` may write beyond the last one

    explicit SinusoidBank(int most)
        : turns(size_t(most + W)), steps(size_t(most + W)), coarse(size_t(most + W)), fine(size_t(most + W)),
          begin(size_t(most + W)), slope(size_t(most + W)), here(size_t(most + W)), cosine(size_t(most + W)),
          sine(size_t(most + W)) {}

    void clear() { count = 0; }

    void push(double turn, double step, float from, float change) {
        turns[size_t(count)] = turn;
        steps[size_t(count)] = step;
        coarse.get()[count] = float(std::nearbyint(step * 4096) / 4096);
        fine.get()[count] = float(step - double(coarse.get()[count]));
        begin.get()[count] = from;
        slope.get()[count] = change;
        ++count;
    }

    // Add the sum of all cosines to `out`, which has room for `ROOM` samples more.
    void add(float* out, int samples) {
        if (count == 0) return;
        for (int k = 0; k < count; ++k) here.get()[k] = near(W * steps[size_t(k)]);
        for (int k = 0; k < count; k += W) rotation(load(here.get() + k), cosine.get() + k, sine.get() + k);
        for (int at = 0; at < samples; at += TOGETHER * W) part(at, out + at);
    }

private:
    // A phase in turns, from -0.5 to 0.5.
    static float near(double turn) { return float(turn - std::floor(turn + 0.5)); }
    static vec near(vec turn) {
        const vec round = all(12582912.0f);  // 1.5 * 2^23: adding it rounds to whole numbers
        return turn - ((turn + round) - round);
    }
    static void rotation(vec turn, float* c, float* s) {
        store(c, sine_of_turn(near(turn + 0.25f)));
        store(s, sine_of_turn(turn));
    }

    void part(int at, float* out) {
        for (int k = 0; k < count; ++k) here.get()[k] = near(turns[size_t(k)] + at * steps[size_t(k)]);
        vec lane;
        for (int i = 0; i < W; ++i) lane[i] = float(i);
        vec sum[TOGETHER];
        for (int j = 0; j < TOGETHER; ++j) sum[j] = load(out + j * W);
        for (int k = 0; k < count; ++k) {
            const vec turn = near(here.get()[k] + (near(lane * coarse.get()[k]) + lane * fine.get()[k]));
            const float rise = slope.get()[k];
            vec c = sine_of_turn(near(turn + 0.25f));
            vec s = sine_of_turn(turn);
            vec amplitude = begin.get()[k] + rise * (lane + float(at));
            const float turn_c = cosine.get()[k];
            const float turn_s = sine.get()[k];
#pragma GCC unroll 8
            for (int j = 0; j < TOGETHER; ++j) {
                sum[j] += amplitude * c;
                amplitude += rise * float(W);
                const vec next = c * turn_c - s * turn_s;
                s = c * turn_s + s * turn_c;
                c = next;
            }
        }
        for (int j = 0; j < TOGETHER; ++j) store(out + j * W, sum[j]);
    }
};

}  // namespace NFX_ARCH
