// The fast Fourier transform.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

namespace NFX_ARCH {

// A complex FFT of a fixed power-of-two size, on separate real and imaginary parts.
template <typename Real>
class Fft {
    int size;
    std::vector<int> order;
    std::vector<Real> cosine, sine;

public:
    explicit Fft(int size) : size(size), order(size), cosine(size / 2), sine(size / 2) {
        for (int i = 1, j = 0; i < size; ++i) {
            int bit = size >> 1;
            for (; j & bit; bit >>= 1) j ^= bit;
            order[i] = j ^= bit;
        }
        for (int i = 0; i < size / 2; ++i) {
            const double angle = -2 * 3.14159265358979323846 * i / size;
            cosine[i] = Real(std::cos(angle));
            sine[i] = Real(std::sin(angle));
        }
    }
    // Transform in place. sign: 1 forward, -1 backward, without the division by the size.
    void run(Real* re, Real* im, Real sign) const {
        for (int i = 0; i < size; ++i)
            if (i < order[i]) {
                std::swap(re[i], re[order[i]]);
                std::swap(im[i], im[order[i]]);
            }
        for (int half = 1; half < size; half *= 2) {
            const int step = size / (2 * half);
            for (int start = 0; start < size; start += 2 * half)
                for (int k = 0; k < half; ++k) {
                    const Real c = cosine[k * step], s = sign * sine[k * step];
                    Real *ar = re + start + k, *ai = im + start + k, *br = ar + half, *bi = ai + half;
                    const Real tr = *br * c - *bi * s, ti = *br * s + *bi * c;
                    *br = *ar - tr;
                    *bi = *ai - ti;
                    *ar += tr;
                    *ai += ti;
                }
        }
    }
};

}  // namespace NFX_ARCH
