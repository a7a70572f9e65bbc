// Fully connected layers for several rows at a time.
#pragma once

#include <algorithm>

#include "memory.hpp"
#include "simd.hpp"

namespace NFX_ARCH {

// A fully connected layer. The matrix is stored in panels of two vectors of outputs, which stay in registers while the
// loop runs over inputs. Memory is read in order, so that large layers stream through the caches.
class Dense {
    int in = 0;
    int out = 0;
    int wide = 0;  // outputs, rounded up to pairs of vectors
    nfx::Buffer weight;
    nfx::Buffer bias;

    // R rows at a time share each load of weights.
    template <int R>
    void rows(const float* x, int stride, float* y, int y_stride) const {
        for (int o = 0; o < wide; o += 2 * W) {
            vec a[R], b[R];
            for (int r = 0; r < R; ++r) {
                a[r] = load(bias.get() + o);
                b[r] = load(bias.get() + o + W);
            }
            const float* w = weight.get() + size_t(o) * in;
            for (int i = 0; i < in; ++i, w += 2 * W) {
                const vec p = load(w), q = load(w + W);
                for (int r = 0; r < R; ++r) {
                    const vec v = all(x[size_t(r) * stride + i]);
                    a[r] += p * v;
                    b[r] += q * v;
                }
            }
            for (int r = 0; r < R; ++r) {
                store(y + size_t(r) * y_stride + o, a[r]);
                store(y + size_t(r) * y_stride + o + W, b[r]);
            }
        }
    }

public:
    Dense() = default;
    // Read weights (out, in), then a bias (out). `from` moves past them.
    Dense(const float*& from, int out, int in)
        : in(in), out(out), wide((out + 2 * W - 1) / (2 * W) * 2 * W), weight(size_t(wide) * in), bias(size_t(wide)) {
        for (int o = 0; o < out; ++o)
            for (int i = 0; i < in; ++i)
                weight.get()[(size_t(o / (2 * W)) * in + i) * 2 * W + size_t(o % (2 * W))] = *from++;
        std::copy(from, from + out, bias.get());
        from += out;
    }
    int width() const { return wide; }
    void run(const float* x, int stride, float* y, int y_stride, int count) const {
        if constexpr (W == 16)  // with 32 registers
            for (; count >= 8; count -= 8, x += 8 * stride, y += 8 * y_stride) rows<8>(x, stride, y, y_stride);
        for (; count >= 4; count -= 4, x += 4 * stride, y += 4 * y_stride) rows<4>(x, stride, y, y_stride);
        for (; count > 0; --count, x += stride, y += y_stride) rows<1>(x, stride, y, y_stride);
    }
};

}  // namespace NFX_ARCH
