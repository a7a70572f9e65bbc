// How instruments are played, between two timbres.
#pragma once

#include "voice_interfaces.hpp"

namespace NFX_ARCH {

// Interpolate between the habits of two timbres. share: 0 for the first, 1 for the second.
inline nfx::PlayingHabits between(const nfx::PlayingHabits& a, const nfx::PlayingHabits& b, double share) {
    const auto mix = [share](double x, double y) { return x + share * (y - x); };
    return {mix(a.low_hz, b.low_hz),
            mix(a.high_hz, b.high_hz),
            mix(a.quiet_db, b.quiet_db),
            mix(a.usual_db, b.usual_db),
            mix(a.loud_db, b.loud_db),
            mix(a.attack_seconds, b.attack_seconds),
            mix(a.release_db_per_second, b.release_db_per_second),
            mix(a.vibrato_hz, b.vibrato_hz),
            mix(a.vibrato_cents, b.vibrato_cents)};
}

}  // namespace NFX_ARCH
