// Feature-wise linear modulation (Perez et al. 2018): a condition scales a signal, and may shift it.
#pragma once

#include "packed_conv.hpp"

namespace NFX_ARCH {

struct Film {
    Packed conv;
    bool shift;

    explicit operator bool() const { return conv.out > 0; }

    // x = x * scale(cond) + shift(cond), in place.
    void apply(Rows x, Rows cond, Rows scratch, int n) const {
        const int channels = conv.out / (shift ? 2 : 1);
        NFX_ARCH::conv(conv, cond, scratch, n);
        for (int c = 0; c < channels; ++c)
            for (int t = 0; t < n; t += W) {
                vec v = load(x.row(c) + t) * load(scratch.row(c) + t);
                if (shift) v += load(scratch.row(channels + c) + t);
                store(x.row(c) + t, v);
            }
    }
};

}  // namespace NFX_ARCH
