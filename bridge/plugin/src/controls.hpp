// The values that the host sets from any thread, and the audio thread reads.
#pragma once

#include <atomic>
#include <cmath>
#include <cstdint>

namespace nfx {

// When the audio thread may wait for a late block. The order is that of the "Wait For Worker" parameter.
enum class WaitPolicy { when_offline, never, always };

// What the host says about its playback. Many hosts never say it.
enum class HostMode { unknown, live, offline };

struct Controls {
    std::atomic<float> mix{1};
    std::atomic<float> input_db{0};
    std::atomic<float> output_db{0};
    std::atomic<bool> bypass{false};
    std::atomic<std::uint32_t> latency_budget{1024};  // frames
    std::atomic<WaitPolicy> wait_policy{WaitPolicy::when_offline};
    std::atomic<HostMode> host_mode{HostMode::unknown};
};

inline float gain_from_db(float db) { return db == 0 ? 1.0f : std::pow(10.0f, db / 20); }

}  // namespace nfx
