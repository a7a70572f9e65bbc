// Pitch tracking: candidates from the autocorrelation of each frame, and the cheapest path through them.
// The numbers are those of neural_fx/timbre/analysis.py, which also runs without these kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "memory.hpp"
#include "nets.hpp"
#include "simd.hpp"

namespace NFX_ARCH {

class Tracker : public nfx::Tracker {
    nfx::Pitch at;
    nfx::Buffer x;                   // the window without its mean, then silence
    nfx::Buffer r;                   // autocorrelation by lag
    std::vector<double> energy;      // running sums of squares
    std::vector<double> n;           // normalised square difference by lag (McLeod and Wyvill 2005)
    std::vector<double> pitch{0.0};  // candidates of the last frame with any, in octaves
    std::vector<double> cost{0.0};   // of the cheapest path to each of them
    double held;                     // the last confident pitch, in octaves
    // Of one frame: scores and lags of the best candidates, their octaves, how clear they are, and their costs.
    std::vector<std::pair<double, int>> best;
    std::vector<double> octaves, sure, costs;

    int padded_lags() const { return (at.lags + 2 + 4 * W - 1) / (4 * W) * 4 * W; }

    void correlate() {
        const float* p = x.get();
        for (int lag = 0; lag < padded_lags(); lag += 4 * W) {
            // Four independent sums hide the latency of the additions.
            vec a{};
            vec b{};
            vec c{};
            vec d{};
            for (int j = 0; j < at.window - lag; ++j) {
                const vec v = all(p[j]);
                const float* q = p + j + lag;
                a += v * load(q);
                b += v * load(q + W);
                c += v * load(q + 2 * W);
                d += v * load(q + 3 * W);
            }
            store(r.get() + lag, a);
            store(r.get() + lag + W, b);
            store(r.get() + lag + 2 * W, c);
            store(r.get() + lag + 3 * W, d);
        }
    }
    // Find the top of the parabola through three values around lag i.
    void summit(int i, double& where, double& high) const {
        const double a = n[i - 1], b = n[i], c = n[i + 1], bend = a - 2 * b + c;
        const double shift = bend < 0 ? std::clamp(0.5 * (a - c) / bend, -0.5, 0.5) : 0.0;
        where = i + shift;
        high = b - 0.25 * (a - c) * shift;
    }
    // Compute the normalised square difference of a window: 2 r(lag) / m(lag), 1 for a perfect period.
    void normalise(const float* window) {
        const int w = at.window;
        double mean = 0;
        for (int i = 0; i < w; ++i) mean += window[i];
        mean /= w;
        double sum = 0;
        for (int i = 0; i < w; ++i) {
            x.get()[i] = float(window[i] - mean);
            energy[i] = sum += double(x.get()[i]) * x.get()[i];
        }
        correlate();
        for (int lag = 0; lag < at.lags + 2; ++lag) {
            const double m = lag ? energy[w - 1 - lag] + energy[w - 1] - energy[lag - 1] : 2 * energy[w - 1];
            n[lag] = 2 * r.get()[lag] / (m + 1e-9);
        }
    }

public:
    explicit Tracker(const nfx::Pitch& settings)
        : at(settings), x(size_t(at.window) + size_t(padded_lags()) + 4 * W), r(size_t(padded_lags())),
          energy(size_t(at.window)), n(size_t(at.lags) + 2), held(std::log2(220.0)) {
        best.reserve(size_t(at.candidates));
        for (auto* list : {&pitch, &cost, &octaves, &sure, &costs}) list->reserve(size_t(at.candidates));
    }

    void process(const float* half, int count, double* f0, double* confidence, double* lags, double* clear) override {
        for (int k = 0; k < count; ++k) {
            normalise(half + size_t(k) * at.hop);
            best.clear();
            for (int i = at.first; i <= at.lags; ++i)
                if (n[i] >= n[i - 1] && n[i] > n[i + 1] && n[i] > 0.2) keep(at.bias * std::log2(double(i)) - n[i], i);
            const int found = int(best.size());
            octaves.clear();
            sure.clear();
            for (int c = 0; c < at.candidates; ++c) {
                double exact = 0, high = 0;
                if (c < found) {
                    summit(best[c].second, exact, high);
                    refine(exact, high);
                    high = std::min(high, 1.0);
                    octaves.push_back(std::log2(at.rate / exact));
                    sure.push_back(high);
                }
                lags[size_t(k) * at.candidates + c] = exact;
                clear[size_t(k) * at.candidates + c] = high;
            }
            follow(f0[k], confidence[k]);
        }
    }

private:
    // Keep a candidate if it is among the best, which are in order. Of equals, the first stays before the others.
    void keep(double score, int lag) {
        if (int(best.size()) == at.candidates) {
            if (!(score < best.back().first)) return;
            best.pop_back();
        }
        auto place = best.end();
        while (place != best.begin() && score < std::prev(place)->first) --place;
        best.insert(place, {score, lag});
    }
    // Sharpen a period by a later peak. A peak some periods on has the same error in samples, so a fraction per period.
    void refine(double& exact, double high) const {
        const int times = std::clamp(int((at.lags - 2) / std::max(exact, 1.0)), 1, 4);
        if (times == 1) return;
        int far = std::clamp(int(std::nearbyint(exact * times)), 1, at.lags - 1);
        int top = far - 1;
        for (int i = far; i <= far + 1; ++i)
            if (n[std::clamp(i, 1, at.lags)] > n[std::clamp(top, 1, at.lags)]) top = i;
        far = std::clamp(top, 1, at.lags - 1);
        double distant = 0;
        double its_height = 0;
        summit(far, distant, its_height);
        if (its_height > 0.9 * high && std::abs(distant / times - exact) < 0.03 * exact) exact = distant / times;
    }
    // Extend the cheapest path through the candidates by a frame (Viterbi). With no candidate, the pitch is held.
    void follow(double& f0, double& confidence) {
        if (octaves.empty()) {
            for (double& c : cost) c *= at.memory;
            f0 = std::exp2(held);
            confidence = 0;
            return;
        }
        costs.assign(octaves.size(), 0.0);
        for (size_t i = 0; i < octaves.size(); ++i) {
            double least_before = std::numeric_limits<double>::infinity();
            for (size_t j = 0; j < pitch.size(); ++j)
                least_before = std::min(
                    least_before, at.memory * cost[j] + at.jump * std::min(std::abs(octaves[i] - pitch[j]), at.cap));
            costs[i] = 1 - sure[i] + at.bias * (12 - octaves[i]) + least_before;
        }
        const size_t best = size_t(std::min_element(costs.begin(), costs.end()) - costs.begin());
        const double least = costs[best];
        pitch = octaves;
        cost = costs;
        for (double& c : cost) c -= least;
        confidence = sure[best];
        if (confidence > 0.5) held = octaves[best];
        f0 = std::exp2(held);
    }
};

}  // namespace NFX_ARCH
