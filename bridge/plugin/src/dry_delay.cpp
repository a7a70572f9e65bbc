#include "dry_delay.hpp"

#include <algorithm>

namespace nfx {

namespace {

std::size_t index_of(std::int64_t position) { return std::size_t(position) & (DryDelay::FRAMES - 1); }

}  // namespace

DryDelay::DryDelay(int channel_count) : channels(channel_count) {
    for (int c = 0; c < channels; ++c) lines[c].assign(FRAMES, 0.0f);
}

void DryDelay::reset(std::uint32_t delay_frames, std::uint32_t frames_of_fade) {
    for (auto& line : lines) std::fill(line.begin(), line.end(), 0.0f);
    delay = delay_frames;
    delay_before = delay_frames;
    fade_frames = frames_of_fade;
    fade_left = 0;
}

void DryDelay::write(const float* const* in, std::uint32_t frames, std::int64_t position) {
    for (int c = 0; c < channels; ++c)
        for (std::uint32_t i = 0; i < frames; ++i) lines[c][index_of(position + i)] = in[c][i];
}

void DryDelay::set_delay(std::uint32_t frames) {
    if (frames == delay || fade_left) return;
    delay_before = delay;
    delay = frames;
    fade_left = fade_frames;
}

float DryDelay::read_delayed(int channel, std::int64_t position, std::uint32_t frames) const {
    if (position < frames) return 0.0f;  // before the stream's first frame
    return lines[channel][index_of(position - frames)];
}

float DryDelay::read(int channel, std::int64_t position) const {
    if (!channels) return 0;
    if (!fade_left) return read_delayed(channel, position, delay);
    const float before = float(fade_left) / float(fade_frames);
    return before * read_delayed(channel, position, delay_before) +
           (1 - before) * read_delayed(channel, position, delay);
}

}  // namespace nfx
