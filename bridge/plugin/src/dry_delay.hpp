// The dry signal, delayed by the plugin's latency so that it lines up with the processed one.
#pragma once

#include <cstdint>
#include <vector>

#include "chunk.hpp"

namespace nfx {

class DryDelay {
public:
    static constexpr std::uint32_t FRAMES = 1 << 19;  // that are kept; a power of two

    // An instrument has no dry signal: `channels` is 0, and `read` returns silence.
    explicit DryDelay(int channels);

    void reset(std::uint32_t delay_frames, std::uint32_t frames_of_fade);
    void write(const float* const* in, std::uint32_t frames, std::int64_t position);
    // Crossfades to a new delay. A change during a fade waits until it is over: call this in every block.
    void set_delay(std::uint32_t frames);
    float read(int channel, std::int64_t position) const;
    // Goes one frame on in the crossfade.
    void advance() {
        if (fade_left) --fade_left;
    }

private:
    const int channels;
    std::vector<float> lines[MAX_CHANNELS];
    std::uint32_t delay = 0;
    std::uint32_t delay_before = 0;
    std::uint32_t fade_frames = 1;
    std::uint32_t fade_left = 0;

    float read_delayed(int channel, std::int64_t position, std::uint32_t frames) const;
};

}  // namespace nfx
