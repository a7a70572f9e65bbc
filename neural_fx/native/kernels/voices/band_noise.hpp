// Noise in bands as a stream, tick by tick. instruments/latent/live_noise.py is the same in numpy.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "../dense.hpp"
#include "latent_interfaces.hpp"
#include "memory.hpp"
#include "random.hpp"

namespace NFX_ARCH {

class BandNoise {
    // The inverse transform of N = LANES * rows samples takes two small ones, of sizes LANES and rows. Both are matrix
    // products, with LANES samples side by side.
    static constexpr int LANES = 32;

    int hop, size, rows, bins, bands;
    float scale;
    RandomNumbers random;
    Dense response;
    nfx::Buffer density, real, imaginary;         // (bins)
    nfx::Buffer cosine, sine;                     // (LANES / 2, LANES)
    nfx::Buffer twiddle_cosine, twiddle_sine;     // (rows, LANES)
    std::vector<float> outer_cosine, outer_sine;  // (rows, rows)
    nfx::Buffer inner_real, inner_imaginary;      // (rows, LANES)
    nfx::Buffer window, overlap;                  // (size)

    static Dense spread(const nfx::LatentSettings& with, int bins) {
        std::vector<float> weights(with.response);
        weights.resize(weights.size() + size_t(bins));  // the bias is 0
        const float* from = weights.data();
        return Dense(from, bins, with.bands);
    }

public:
    explicit BandNoise(const nfx::LatentSettings& with)
        : hop(with.hop), size(4 * hop), rows(size / LANES), bins(size / 2 + 1), bands(with.bands),
          scale(float(2 * with.noise_scale / size)), random(with.random), response(spread(with, bins)),
          density(size_t(response.width())), real(size_t(bins)), imaginary(size_t(bins)), cosine(LANES / 2 * LANES),
          sine(LANES / 2 * LANES), twiddle_cosine(size_t(rows * LANES)), twiddle_sine(size_t(rows * LANES)),
          outer_cosine(size_t(rows * rows)), outer_sine(size_t(rows * rows)), inner_real(size_t(rows * LANES)),
          inner_imaginary(size_t(rows * LANES)), window(size_t(size)), overlap(size_t(size)) {
        const double turn = 2 * 3.14159265358979323846;
        for (int k = 0; k < LANES / 2; ++k)
            for (int n = 0; n < LANES; ++n) {
                cosine.get()[k * LANES + n] = float(std::cos(turn * k * n / LANES));
                sine.get()[k * LANES + n] = float(std::sin(turn * k * n / LANES));
            }
        for (int k = 0; k < rows; ++k)
            for (int n = 0; n < LANES; ++n) {
                twiddle_cosine.get()[k * LANES + n] = float(std::cos(turn * k * n / size));
                twiddle_sine.get()[k * LANES + n] = float(std::sin(turn * k * n / size));
            }
        for (int n = 0; n < rows; ++n)
            for (int k = 0; k < rows; ++k) {
                outer_cosine[size_t(n * rows + k)] = float(std::cos(turn * (k * n % rows) / rows));
                outer_sine[size_t(n * rows + k)] = float(std::sin(turn * (k * n % rows) / rows));
            }
        std::copy(with.window.begin(), with.window.end(), window.get());
    }

    // Add a tick to `out`. powers: (bands).
    void add(const float* powers, float* out) {
        for (int k = 0; k < bins; ++k) real.get()[k] = 2 * random.next() - 1;
        for (int k = 0; k < bins; ++k) imaginary.get()[k] = 2 * random.next() - 1;
        if (std::any_of(powers, powers + bands, [](float power) { return power > 0; })) next_frame(powers);
        for (int i = 0; i < hop; ++i) out[i] += overlap.get()[i];
        std::copy(overlap.get() + hop, overlap.get() + size, overlap.get());
        std::fill(overlap.get() + size - hop, overlap.get() + size, 0.0f);
    }

private:
    void next_frame(const float* powers) {
        response.run(powers, bands, density.get(), response.width(), 1);
        for (int k = 0; k < bins - 1; ++k) {
            const float gain = k == 0 ? 0.0f : scale * std::sqrt(density.get()[k]);
            real.get()[k] *= gain;
            imaginary.get()[k] *= gain;
        }
        for (int k = 0; k < rows; ++k) inner(k);
        for (int n = 0; n < rows; ++n) outer(n);
    }

    // The bins k, k + rows, k + 2 rows... in all lanes.
    void inner(int first) {
        for (int lane = 0; lane < LANES; lane += W) {
            vec re{};
            vec im{};
            for (int k = 0; k < LANES / 2; ++k) {
                const float x = real.get()[first + rows * k];
                const float y = imaginary.get()[first + rows * k];
                const vec c = load(cosine.get() + k * LANES + lane);
                const vec s = load(sine.get() + k * LANES + lane);
                re += x * c - y * s;
                im += x * s + y * c;
            }
            const vec c = load(twiddle_cosine.get() + first * LANES + lane);
            const vec s = load(twiddle_sine.get() + first * LANES + lane);
            store(inner_real.get() + first * LANES + lane, re * c - im * s);
            store(inner_imaginary.get() + first * LANES + lane, re * s + im * c);
        }
    }

    // LANES samples of the frame.
    void outer(int row) {
        for (int lane = 0; lane < LANES; lane += W) {
            vec sum{};
            for (int k = 0; k < rows; ++k)
                sum += outer_cosine[size_t(row * rows + k)] * load(inner_real.get() + k * LANES + lane) -
                       outer_sine[size_t(row * rows + k)] * load(inner_imaginary.get() + k * LANES + lane);
            float* to = overlap.get() + row * LANES + lane;
            store(to, load(to) + sum * load(window.get() + row * LANES + lane));
        }
    }
};

}  // namespace NFX_ARCH
