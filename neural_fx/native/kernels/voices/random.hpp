// Uniform random numbers, the same as those of numpy's default generator.
#pragma once

#include <cstdint>

#include "voice_interfaces.hpp"

namespace NFX_ARCH {

// PCG64 with the output function XSL-RR (O'Neill 2014). Voices that are compiled and voices in numpy have the same
// noise.
class RandomNumbers {
    using Wide = unsigned __int128;
    static constexpr Wide MULTIPLIER = (Wide(0x2360ED051FC65DA4u) << 64) | 0x4385DF649FCCF645u;

    Wide state;
    Wide increment;
    uint32_t kept = 0;
    bool has_kept = false;

    static Wide wide(uint64_t high, uint64_t low) { return (Wide(high) << 64) | low; }

    uint64_t next64() {
        state = state * MULTIPLIER + increment;
        const uint64_t mixed = uint64_t(state >> 64) ^ uint64_t(state);
        const unsigned turn = unsigned(state >> 122);
        return (mixed >> turn) | (mixed << (-turn & 63u));
    }
    // Each 64-bit number gives two of 32 bits, the lower half first.
    uint32_t next32() {
        if (has_kept) {
            has_kept = false;
            return kept;
        }
        const uint64_t both = next64();
        kept = uint32_t(both >> 32);
        has_kept = true;
        return uint32_t(both);
    }

public:
    explicit RandomNumbers(const nfx::RandomState& start)
        : state(wide(start.state_high, start.state_low)), increment(wide(start.increment_high, start.increment_low)) {}

    // A number in [0, 1).
    float next() { return float(next32() >> 8) * (1.0f / 16777216.0f); }
};

}  // namespace NFX_ARCH
