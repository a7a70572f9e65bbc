// What the audio thread of an instance and the thread of all connections share.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "ring.hpp"

namespace nfx {

constexpr int kMacros = 8;
constexpr int kMaxChannels = 2;
constexpr std::size_t kRingBytes = 1 << 20;

using Clock = std::chrono::steady_clock;

// ---- records in the rings ----------------------------------------------------------------------------------------

// A macro that was turned, or a MIDI message, `offset` frames into its block.
struct Happening {
    std::uint32_t offset;
    std::uint8_t macro;  // 1..8; 0 for MIDI
    std::uint8_t size;   // of the MIDI message
    std::uint8_t midi[4];
    double value;
};

// Goes before the happenings and the samples (channel after channel) of a block.
struct Block {
    std::int64_t position;  // of its first frame, counted from the activation
    std::uint32_t activation;
    std::uint32_t frames;
    std::uint32_t happenings;
};

// ---- what an instance wants, and what it got ---------------------------------------------------------------------

struct Wish {
    std::string host = "127.0.0.1", port = "9010", token;
    std::string board, text;  // the board's name at the worker, and its YAML for a worker that has none of that name
    double rate = 48000;
    int channels = 2;
    bool notes = false;
};

struct MacroInfo {
    std::string name, unit;
    double value = 0.5, minimum = 0, maximum = 1;
};

struct Welcome {
    std::string board, text;
    std::vector<std::string> boards;  // those that fit: of effects for an effect, of instruments for an instrument
    std::vector<MacroInfo> macros;
    std::string refusal;  // why there is no welcome
};

enum class Phase { idle, connecting, up, unreachable };

struct Link {
    Ring to_worker{kRingBytes}, from_worker{kRingBytes};

    // The audio thread's: which activation its records belong to, and the next frame that it needs processed.
    std::atomic<std::uint32_t> activation{0};
    std::atomic<std::int64_t> needed{0};
    std::atomic<std::int64_t> last_run{0};  // Clock ticks
    std::array<std::atomic<float>, kMacros> macro{};
    std::array<std::atomic<bool>, kMacros> touched{};
    // Of the worker's boards that fit, from 1; 0: the one wished for. The session's own number was for another list,
    // and its board is named in the wish.
    std::atomic<std::uint32_t> choice{0}, session_choice{0};

    // The connection's.
    std::atomic<Phase> phase{Phase::idle};
    std::atomic<bool> was_up{false};   // since the wish last changed
    std::atomic<bool> fresh{false};    // up, and nothing was played yet
    std::atomic<bool> answers{false};  // up, and heard from lately
    std::atomic<std::uint32_t> latency{0};
    std::atomic<float> round_trip_ms{0};
    std::atomic<std::uint32_t> connections{0};

    // For those who may wait: the main thread, and the audio thread of an offline bounce.
    std::mutex mutex;  // guards the wish and the welcome too
    std::condition_variable changed;
    std::atomic<bool> somebody_waits{false};
    Wish wish;
    std::atomic<std::uint32_t> wish_number{0}, wish_served{0};  // the phase is that of the one served
    Welcome welcome;
    std::atomic<std::uint32_t> welcome_number{0};

    // Whether the worker has answered the present wish, or is known not to.
    bool settled() const {
        const Phase now = phase.load();
        return wish_served.load() == wish_number.load() && (now == Phase::up || now == Phase::unreachable);
    }
    bool up() const { return settled() && phase.load() == Phase::up; }

    void notify() {
        if (somebody_waits.load()) {
            const std::lock_guard<std::mutex> lock(mutex);
            changed.notify_all();
        }
    }
};

}  // namespace nfx
