#include "chunk_reader.hpp"

#include <algorithm>

namespace nfx {

namespace {

std::uint32_t at_most(std::uint32_t frames, std::int64_t available) {
    return std::uint32_t(std::min<std::int64_t>(frames, available));
}

}  // namespace

ChunkReader::ChunkReader(Link& shared_link, int output_count) : link(shared_link), outputs(output_count) {
    for (int c = 0; c < outputs; ++c) channels[c].assign(MAX_CHUNK_FRAMES, 0.0f);
}

ChunkReader::Result ChunkReader::read(std::int64_t first, std::uint32_t frames) {
    if (first < 0) {  // before the stream's first frame there was silence
        const std::uint32_t silent = at_most(frames, -first);
        for (int c = 0; c < outputs; ++c) std::fill_n(channels[c].begin(), silent, 0.0f);
        return {Found::audio, silent, false};
    }
    Ring& ring = link.from_worker;
    bool worker_delivers = false;
    while (ring.available() >= sizeof(ChunkHeader)) {
        ChunkHeader header;
        ring.peek(0, &header, sizeof header);
        const std::size_t channel_bytes = sizeof(float) * header.frames;
        const std::size_t chunk_bytes = sizeof header + std::size_t(outputs) * channel_bytes;
        const std::int64_t end = header.position + header.frames;
        const bool current = header.activation == link.activation.load();
        worker_delivers = worker_delivers || current;
        if (!current || end <= first) {
            ring.discard(chunk_bytes);
            continue;
        }
        if (header.position > first) return {Found::gap, at_most(frames, header.position - first), true};
        const std::uint32_t count = at_most(frames, end - first);
        const std::size_t skipped = sizeof(float) * std::size_t(first - header.position);
        for (int c = 0; c < outputs; ++c) {
            const std::size_t offset = sizeof header + std::size_t(c) * channel_bytes + skipped;
            ring.peek(offset, channels[c].data(), sizeof(float) * count);
        }
        if (first + count == end) ring.discard(chunk_bytes);
        return {Found::audio, count, true};
    }
    return {Found::nothing, frames, worker_delivers};
}

}  // namespace nfx
