// What the audio thread and the connections' thread pass each other through the rings.
//
// A *block* is what the host hands over in one call, and what a BLOCK message carries. The host alone decides how long
// its blocks are. A *chunk* is what goes through a ring at once: a block, or a part of one that is too long. The
// connections' thread joins the chunks that have come together since it last looked, and sends them as one BLOCK.
#pragma once

#include <cstdint>

namespace nfx {

constexpr int MACROS = 8;
constexpr int MAX_CHANNELS = 2;
constexpr std::uint32_t MAX_CHUNK_FRAMES = 2048;

// A macro's new value or a MIDI message, `offset` frames into its chunk.
struct Event {
    std::uint32_t offset;
    std::uint8_t macro;      // 1 to 8; 0 for MIDI
    std::uint8_t midi_size;  // bytes
    std::uint8_t midi[4];
    double value;
};

// Precedes a chunk's events and its samples, which are stored channel by channel.
struct ChunkHeader {
    std::int64_t position;  // of the first frame, counted from the activation
    std::uint32_t activation;
    std::uint32_t frames;
    std::uint32_t events;
};

}  // namespace nfx
