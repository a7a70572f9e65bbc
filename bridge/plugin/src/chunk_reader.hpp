// Reads the worker's audio: from the ring to the audio thread.
#pragma once

#include <cstdint>
#include <vector>

#include "chunk.hpp"
#include "link.hpp"

namespace nfx {

class ChunkReader {
public:
    enum class Found {
        audio,    // `frames` processed frames, in `wet`
        gap,      // `frames` frames that will never come: the stream goes on after them
        nothing,  // not yet, or never
    };
    struct Result {
        Found found;
        std::uint32_t frames;
        bool worker_delivers;  // a chunk of this activation was seen, however late
    };

    ChunkReader(Link& shared_link, int outputs);

    // Reads up to `frames` frames from `first` on, no further than one chunk goes. Discards chunks that end before.
    Result read(std::int64_t first, std::uint32_t frames);
    const std::vector<float>* wet() const { return channels; }

private:
    Link& link;
    const int outputs;
    std::vector<float> channels[MAX_CHANNELS];
};

}  // namespace nfx
