#include "chunk_writer.hpp"

#include <algorithm>
#include <cmath>

namespace nfx {

namespace {

// The protocol wants finite samples. Some hosts pass on the NaN of a plugin before this one.
float finite(float sample) { return std::isfinite(sample) ? sample : 0.0f; }

}  // namespace

ChunkWriter::ChunkWriter(Link& shared_link, MacroChanges& macro_changes, int input_count, int output_count)
    : link(shared_link), macros(macro_changes), inputs(input_count), outputs(output_count), samples(MAX_CHUNK_FRAMES) {}

void ChunkWriter::reset(float input_gain_now, std::uint32_t frames_of_fade) {
    input_gain.jump(input_gain_now);
    fade_frames = frames_of_fade;
}

void ChunkWriter::write_block(const float* const* in, std::uint32_t frames, std::int64_t position, const Midi* midi,
                              std::uint32_t midi_count) {
    macros.start_block(frames);
    for (std::uint32_t start = 0; start < frames; start += MAX_CHUNK_FRAMES) {
        const std::uint32_t chunk_frames = std::min(MAX_CHUNK_FRAMES, frames - start);
        const std::uint32_t end = start + chunk_frames;
        std::uint32_t in_chunk = 0;
        while (in_chunk < midi_count && (end == frames || midi[in_chunk].frame < end)) ++in_chunk;
        write_chunk(in, start, chunk_frames, position + start, midi, in_chunk);
        midi += in_chunk;
        midi_count -= in_chunk;
    }
    macros.end_block();
}

void ChunkWriter::write_chunk(const float* const* in, std::uint32_t start, std::uint32_t frames, std::int64_t position,
                              const Midi* midi, std::uint32_t midi_count) {
    Event events[MacroChanges::MAX_EVENTS];
    const std::uint32_t macro_count = macros.collect(start, frames, events);
    const ChunkHeader header{position, link.activation.load(), frames, macro_count + midi_count};
    Ring& ring = link.to_worker;
    const std::size_t sample_bytes = sizeof(float) * frames * std::size_t(outputs);
    // With a full ring the chunk is lost. The other thread sees the gap in the positions, and starts the stream anew.
    if (!ring.has_room(sizeof header + header.events * sizeof(Event) + sample_bytes)) return;
    ring.put(&header, sizeof header);
    ring.put(events, macro_count * sizeof(Event));
    for (std::uint32_t i = 0; i < midi_count; ++i) {
        Event note{std::max(midi[i].frame, start) - start, 0, midi[i].size, {}, 0};
        std::copy(midi[i].bytes, midi[i].bytes + 4, note.midi);
        ring.put(&note, sizeof note);
    }
    write_samples(in, start, frames);
    ring.publish();
}

void ChunkWriter::write_samples(const float* const* in, std::uint32_t start, std::uint32_t frames) {
    const Ramp gain_at_start = input_gain;
    for (int c = 0; c < outputs; ++c) {
        input_gain = gain_at_start;  // all channels follow the same ramp
        for (std::uint32_t i = 0; i < frames; ++i)
            samples[i] = inputs ? finite(in[c][start + i]) * input_gain.next() : 0.0f;
        link.to_worker.put(samples.data(), sizeof(float) * frames);
    }
}

}  // namespace nfx
