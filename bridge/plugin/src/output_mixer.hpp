// Mixes the processed and the dry signal into the host's output, and fades wherever one takes over from the other.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "chunk.hpp"
#include "controls.hpp"
#include "dry_delay.hpp"
#include "ramp.hpp"

namespace nfx {

class OutputMixer {
public:
    OutputMixer(int inputs, int outputs) : dry(inputs), channels(outputs) {}

    DryDelay dry;

    void reset(const Controls& controls, std::uint32_t latency, std::uint32_t frames_of_fade);
    // Follows the controls and the latency from here on.
    void start_block(const Controls& controls, std::uint32_t latency);
    // Plays `frames` frames: `wet` has the processed ones by channel. Null means a dropout, and only the dry are
    // played.
    void play(const std::vector<float>* wet, float* const* out, std::uint32_t offset, std::int64_t position,
              std::uint32_t frames);
    std::uint32_t dropouts() const { return dropout_count.load(); }

private:
    const int channels;
    std::uint32_t fade_frames = 480;
    Ramp active;  // 1, or 0 for bypass
    Ramp mix;
    Ramp output_gain;
    bool was_wet = true;
    std::uint32_t fade_in_left = 0;
    // Where the processed signal breaks off, its distance from the dry one fades out. So there is no click.
    std::uint32_t tail_left = 0;
    float last_distance[MAX_CHANNELS] = {};
    float tail[MAX_CHANNELS] = {};
    std::atomic<std::uint32_t> dropout_count{0};

    void fade_over(bool is_wet);
};

}  // namespace nfx
