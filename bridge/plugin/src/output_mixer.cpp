#include "output_mixer.hpp"

#include <algorithm>
#include <cmath>

namespace nfx {

void OutputMixer::reset(const Controls& controls, std::uint32_t latency, std::uint32_t frames_of_fade) {
    fade_frames = frames_of_fade;
    dry.reset(latency, fade_frames);
    active.jump(controls.bypass.load() ? 0.0f : 1.0f);
    mix.jump(controls.mix.load());
    output_gain.jump(gain_from_db(controls.output_db.load()));
    was_wet = true;
    fade_in_left = 0;
    tail_left = 0;
    std::fill(std::begin(last_distance), std::end(last_distance), 0.0f);
}

void OutputMixer::start_block(const Controls& controls, std::uint32_t latency) {
    dry.set_delay(latency);
    active.aim(controls.bypass.load() ? 0.0f : 1.0f, fade_frames);
    mix.aim(controls.mix.load(), fade_frames);
    output_gain.aim(gain_from_db(controls.output_db.load()), fade_frames);
}

void OutputMixer::fade_over(bool is_wet) {
    if (is_wet == was_wet) return;
    was_wet = is_wet;
    if (is_wet) {
        fade_in_left = fade_frames;
        return;
    }
    fade_in_left = 0;
    tail_left = fade_frames;
    std::copy(std::begin(last_distance), std::end(last_distance), std::begin(tail));
    ++dropout_count;
}

void OutputMixer::play(const std::vector<float>* wet, float* const* out, std::uint32_t offset, std::int64_t position,
                       std::uint32_t frames) {
    fade_over(wet != nullptr);
    for (std::uint32_t i = 0; i < frames; ++i) {
        const float fade_in = fade_in_left ? 1 - float(fade_in_left) / float(fade_frames) : 1.0f;
        const float amount = active.next() * fade_in;
        const float share = mix.next();
        const float level = output_gain.next();
        const float tail_gain =
            tail_left ? 0.5f - 0.5f * std::cos(3.14159265f * float(tail_left) / float(fade_frames)) : 0.0f;
        for (int c = 0; c < channels; ++c) {
            const float straight = dry.read(c, position + i);
            float heard = straight;
            if (wet) {
                // At the ends of the range nothing is computed: fully wet and bypassed must be exact to the bit.
                const float mixed = share == 1 ? wet[c][i] : straight + share * (wet[c][i] - straight);
                const float full = level * mixed;
                heard = amount == 1 ? full : straight + amount * (full - straight);
                last_distance[c] = heard - straight;
            }
            out[c][offset + i] = heard + tail_gain * tail[c];
        }
        if (fade_in_left) --fade_in_left;
        if (tail_left) --tail_left;
        dry.advance();
    }
}

}  // namespace nfx
