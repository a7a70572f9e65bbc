// Signals of several channels, in blocks of up to BLOCK samples.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "memory.hpp"
#include "nets.hpp"
#include "simd.hpp"

namespace NFX_ARCH {

constexpr int BLOCK = 256;
constexpr int SLACK = 64;  // readable floats after the last sample of a row

// Channels of a block, `stride` floats apart.
struct Rows {
    float* p;
    size_t stride;
    float* row(int i) const { return p + i * stride; }
};

// Replace each vector of a row by f of it. The last one may reach beyond n, into the slack.
template <class F>
inline void each(float* x, int n, F f) {
    for (int t = 0; t < n; t += W) store(x + t, f(load(x + t)));
}

// Past and present of a signal: rows of history, then room for blocks. When the room is used up, the history moves to
// the front.
class Line {
    nfx::Buffer buffer;
    int channels = 0;
    int history = 0;
    int room = 0;
    int at = 0;
    size_t stride = 0;

public:
    Line(int channels, int history) : channels(channels), history((history + 15) / 16 * 16) {
        room = std::max(512, this->history) + BLOCK;
        stride = size_t(this->history) + room + SLACK;
        buffer = nfx::Buffer(stride * channels);
        clear();
    }
    void clear() {
        buffer.clear();
        at = history;
    }
    Rows now() { return {buffer.get() + at, stride}; }
    void advance(int n) {
        at += n;
        if (at + BLOCK <= history + room) return;
        for (int c = 0; c < channels; ++c) {
            float* row = buffer.get() + c * stride;
            std::memmove(row, row + at - history, history * sizeof(float));
        }
        at = history;
    }
};

// Round up to whole vectors.
inline int padded(int n) { return (n + W - 1) / W * W; }

// x += y
inline void plus(Rows x, Rows y, int channels, int n) {
    for (int c = 0; c < channels; ++c)
        for (int t = 0; t < n; t += W) store(x.row(c) + t, load(x.row(c) + t) + load(y.row(c) + t));
}

inline void copy(Rows from, Rows to, int channels, int n) {
    for (int c = 0; c < channels; ++c) std::memcpy(to.row(c), from.row(c), padded(n) * sizeof(float));
}

}  // namespace NFX_ARCH
