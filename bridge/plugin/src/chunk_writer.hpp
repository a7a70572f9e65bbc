// Sends the host's audio and events to the worker: from the audio thread into the ring.
#pragma once

#include <cstdint>
#include <vector>

#include "chunk.hpp"
#include "link.hpp"
#include "macro_changes.hpp"
#include "ramp.hpp"

namespace nfx {

struct Midi {
    std::uint32_t frame;  // of the host's block
    std::uint8_t size;
    std::uint8_t bytes[4];
};

class ChunkWriter {
public:
    ChunkWriter(Link& shared_link, MacroChanges& macro_changes, int inputs, int outputs);

    void reset(float input_gain_now, std::uint32_t frames_of_fade);
    void set_input_gain(float gain) { input_gain.aim(gain, fade_frames); }
    // Sends a host's block, whose first frame is at `position`, as chunks.
    void write_block(const float* const* in, std::uint32_t frames, std::int64_t position, const Midi* midi,
                     std::uint32_t midi_count);

private:
    Link& link;
    MacroChanges& macros;
    const int inputs;
    const int outputs;
    Ramp input_gain;
    std::uint32_t fade_frames = 480;
    std::vector<float> samples;

    void write_chunk(const float* const* in, std::uint32_t start, std::uint32_t frames, std::int64_t position,
                     const Midi* midi, std::uint32_t midi_count);
    void write_samples(const float* const* in, std::uint32_t start, std::uint32_t frames);
};

}  // namespace nfx
