#include "block_stream.hpp"

namespace nfx {

using messages::append;

namespace {

constexpr std::size_t MAX_EVENTS = 4000;  // the protocol allows 4096; the first block adds one for each macro
constexpr float ROUND_TRIP_SMOOTHING = 0.05f;

std::size_t bytes_of(const ChunkHeader& header, std::size_t channels) {
    return sizeof header + header.events * sizeof(Event) + sizeof(float) * channels * header.frames;
}

}  // namespace

void BlockStream::reset() {
    unanswered.clear();
    next_position = -1;
}

Clock::duration BlockStream::unanswered_for(Clock::time_point now) const {
    return unanswered.empty() ? Clock::duration::zero() : now - unanswered.front().sent_at;
}

// ---- to the worker -----------------------------------------------------------------------------------------------

BlockStream::Next BlockStream::append_block(messages::Bytes& out, int channels, Clock::time_point now) {
    const bool gap = !collect_chunks(std::size_t(channels));
    if (gap) return Next::gap;
    if (!block_frames) return Next::nothing;
    write_block(out, std::size_t(channels));
    unanswered.push_back({sequence, block_position, block_frames, now});
    return Next::block;
}

// Returns false at a gap in the positions. A gap behind other chunks is left for the next block.
bool BlockStream::collect_chunks(std::size_t channels) {
    Ring& ring = link.to_worker;
    samples.clear();
    events.clear();
    chunk_frames.clear();
    block_frames = 0;
    while (ring.available() >= sizeof(ChunkHeader)) {
        ChunkHeader header;
        ring.peek(0, &header, sizeof header);
        if (is_useless(header)) {
            ring.discard(bytes_of(header, channels));
            continue;
        }
        const bool started = next_position >= 0;
        const bool follows = header.position == next_position && header.activation == activation;
        if (started && !follows) return block_frames > 0;
        const bool fits =
            block_frames + header.frames <= messages::MAX_BLOCK_FRAMES && events.size() + header.events <= MAX_EVENTS;
        if (!fits) break;
        take_chunk(header, channels);
    }
    return true;
}

// Whether the answer to a chunk would come too late for anybody to hear it. Inside a stream every chunk is sent,
// because the worker needs them all to continue it.
bool BlockStream::is_useless(const ChunkHeader& header) const {
    const bool outdated = header.activation != link.activation.load();
    const bool late = header.position + header.frames <= link.needed_position.load();
    return outdated || (next_position < 0 && late);
}

void BlockStream::take_chunk(const ChunkHeader& header, std::size_t channels) {
    Ring& ring = link.to_worker;
    if (!block_frames) {
        block_position = header.position;
        activation = header.activation;
    }
    std::size_t offset = sizeof header;
    for (std::uint32_t i = 0; i < header.events; ++i) {
        Event event;
        ring.peek(offset, &event, sizeof event);
        event.offset += block_frames;
        events.push_back(event);
        offset += sizeof event;
    }
    const std::size_t samples_before = samples.size();
    samples.resize(samples_before + channels * header.frames);
    ring.peek(offset, samples.data() + samples_before, sizeof(float) * channels * header.frames);
    ring.discard(bytes_of(header, channels));
    chunk_frames.push_back(header.frames);
    block_frames += header.frames;
    next_position = header.position + header.frames;
}

void BlockStream::write_block(messages::Bytes& out, std::size_t channels) {
    messages::Bytes event_bytes;
    std::size_t event_count = events.size();
    // A new stream has the board's own values. The macros that the host has moved are set again with its first block.
    const bool first = link.unplayed.exchange(false);
    for (std::size_t i = 0; first && i < MACROS; ++i) {
        if (!link.macro_moved[i].load()) continue;
        messages::append_event(event_bytes, {0, std::uint8_t(i + 1), 0, {}, double(link.macro[i].load())});
        ++event_count;
    }
    for (const Event& event : events) messages::append_event(event_bytes, event);
    const std::size_t sample_bytes = sizeof(float) * channels * block_frames;
    messages::append_header(out, messages::block, 8 + event_bytes.size() + sample_bytes, ++sequence);
    append<std::uint32_t>(out, block_frames);
    append<std::uint16_t>(out, std::uint16_t(channels));
    append<std::uint16_t>(out, std::uint16_t(event_count));
    append(out, event_bytes.data(), event_bytes.size());
    // A BLOCK has all frames of the first channel, then of the second. So do the chunks, each for itself.
    for (std::size_t channel = 0; channel < channels; ++channel) {
        const float* chunk = samples.data();
        for (const std::uint32_t frames : chunk_frames) {
            append(out, chunk + channel * frames, sizeof(float) * frames);
            chunk += channels * frames;
        }
    }
}

// ---- from the worker ---------------------------------------------------------------------------------------------

bool BlockStream::receive_audio(const messages::Header& header, const std::uint8_t* payload, int channels,
                                Clock::time_point now) {
    if (unanswered.empty()) return false;
    const SentBlock block = unanswered.front();
    const std::size_t sample_count = std::size_t(channels) * block.frames;
    const std::size_t sample_bytes = sizeof(float) * sample_count;
    // NaN from a broken worker must not reach the host: some mute the track until the session is reopened.
    const bool fits = header.sequence == block.sequence && header.length == 8 + sample_bytes &&
                      messages::read<std::uint32_t>(payload) == block.frames &&
                      messages::all_finite(payload + 8, sample_count);
    if (!fits) return false;
    unanswered.pop_front();
    const float spent = std::chrono::duration<float, std::milli>(now - block.sent_at).count();
    const float known = link.round_trip_ms.load();
    link.round_trip_ms.store(known > 0 ? known + ROUND_TRIP_SMOOTHING * (spent - known) : spent);
    const ChunkHeader chunk{block.position, activation, block.frames, 0};
    if (!link.from_worker.has_room(sizeof chunk + sample_bytes)) return true;  // the host has stopped taking audio
    link.from_worker.put(&chunk, sizeof chunk);
    link.from_worker.put(payload + 8, sample_bytes);
    link.from_worker.publish();
    link.notify();
    return true;
}

}  // namespace nfx
