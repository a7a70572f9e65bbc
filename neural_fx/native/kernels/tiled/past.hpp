// Past and present of what a convolution reads, as halves.
#pragma once

#include <vector>

#include "halves.hpp"

namespace NFX_ARCH {

// Rows of history, then room for blocks. When the room is used up, the history moves to the front.
class Past {
    nfx::Buffer buffer;
    int lanes = W;
    int history = 0;
    int room = 0;
    int at = 0;
    alignas(64) float silence[W] = {};

public:
    Past() = default;
    // silence: the value of each channel before the stream starts.
    Past(int lanes, int samples, const std::vector<float>& silence)
        : lanes(lanes), history((samples + 15) / 16 * 16), room(std::max(512, history) + BLOCK) {
        buffer = nfx::Buffer(size_t(history + room) * lanes + 4 * TILE);
        store(this->silence, halves(by_lane(silence.data(), int(silence.size()), lanes)));
        clear();
    }
    void clear() {
        for (size_t i = 0; i < buffer.size(); i += W) store(buffer.get() + i, load(silence));
        at = history;
    }
    float* now() { return buffer.get() + size_t(at) * lanes; }
    void advance(int n) {
        at += n;
        if (at + BLOCK <= history + room) return;
        std::memmove(buffer.get(), buffer.get() + size_t(at - history) * lanes,
                     size_t(history) * lanes * sizeof(float));
        at = history;
    }
};

}  // namespace NFX_ARCH
