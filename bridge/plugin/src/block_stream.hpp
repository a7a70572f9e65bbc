// The audio of one connection: chunks from the ring become BLOCKs, and the answers to them become chunks again.
#pragma once

#include <deque>
#include <vector>

#include "chunk.hpp"
#include "link.hpp"
#include "messages.hpp"

namespace nfx {

class BlockStream {
public:
    enum class Next {
        block,    // was appended
        nothing,  // the audio thread has put nothing into the ring
        gap,      // frames are missing, or the host has started anew: the worker has to make a new stream
    };

    explicit BlockStream(Link& shared_link) : link(shared_link) {}

    // Forgets the blocks that were not answered: the next one is the first of a new stream.
    void reset();
    // Appends a BLOCK with as many of the waiting chunks as fit.
    Next append_block(messages::Bytes& out, int channels, Clock::time_point now);
    // Hands the worker's audio to the audio thread. Returns false if this AUDIO does not answer the oldest BLOCK.
    bool receive_audio(const messages::Header& header, const std::uint8_t* payload, int channels,
                       Clock::time_point now);
    // How long the oldest BLOCK has been without its answer.
    Clock::duration unanswered_for(Clock::time_point now) const;

private:
    struct SentBlock {
        std::uint64_t sequence;
        std::int64_t position;
        std::uint32_t frames;
        Clock::time_point sent_at;
    };

    Link& link;
    std::uint64_t sequence = 0;
    std::uint32_t activation = 0;
    std::int64_t next_position = -1;  // of the next chunk; -1 before the first
    std::deque<SentBlock> unanswered;

    // The block that is being put together.
    std::int64_t block_position = 0;
    std::uint32_t block_frames = 0;
    std::vector<std::uint32_t> chunk_frames;
    std::vector<float> samples;
    std::vector<Event> events;

    bool collect_chunks(std::size_t channels);
    bool is_useless(const ChunkHeader& header) const;
    void take_chunk(const ChunkHeader& header, std::size_t channels);
    void write_block(messages::Bytes& out, std::size_t channels);
};

}  // namespace nfx
