// What an instance and the thread of all connections share.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "chunk.hpp"
#include "ring.hpp"
#include "stream_request.hpp"

namespace nfx {

using Clock = std::chrono::steady_clock;

enum class Phase { idle, connected, unreachable };

struct Link {
    static constexpr std::size_t RING_BYTES = 1 << 20;
    Ring to_worker{RING_BYTES};
    Ring from_worker{RING_BYTES};

    // ---- written by the instance
    // Counts the host's activations. Chunks of an earlier one are discarded on both sides.
    std::atomic<std::uint32_t> activation{0};
    // Position of the next frame that the host will play. A chunk that ends before it is not worth sending.
    std::atomic<std::int64_t> needed_position{0};
    std::atomic<std::int64_t> last_run_ticks{0};  // of `Clock`
    std::array<std::atomic<float>, MACROS> macro{};
    // Whether the host or the user has moved a macro. The others follow the board.
    std::array<std::atomic<bool>, MACROS> macro_moved{};
    // The host's "Board" parameter: from 1, among the worker's boards that fit; 0 for the requested one.
    std::atomic<std::uint32_t> board_number{0};
    // That number as a saved session has it. It counted another worker's list, so the request's name takes precedence.
    std::atomic<std::uint32_t> session_board_number{0};

    // ---- written by the connections' thread
    std::atomic<Phase> phase{Phase::idle};
    std::atomic<bool> was_connected{false};  // since the request last changed
    std::atomic<bool> unplayed{false};       // connected, and the stream has had no audio yet
    std::atomic<bool> answering{false};      // connected, and the worker was heard lately
    std::atomic<std::uint32_t> latency{0};   // of the board, in frames
    std::atomic<float> round_trip_ms{0};

    // ---- for threads that may wait: the main thread, and the audio thread of an offline bounce
    std::mutex mutex;  // guards the request and the welcome, too
    std::condition_variable changed;
    std::atomic<bool> has_waiter{false};
    StreamRequest request;
    std::atomic<std::uint32_t> request_number{0};
    std::atomic<std::uint32_t> served_request{0};  // the number of the request that `phase` is about
    Welcome welcome;

    // Whether the worker has answered the latest request, or is known to be unreachable.
    bool settled() const {
        const Phase now = phase.load();
        return served_request.load() == request_number.load() && (now == Phase::connected || now == Phase::unreachable);
    }
    bool connected() const { return settled() && phase.load() == Phase::connected; }

    // Wakes a thread that waits. Takes no lock unless there is one.
    void notify() {
        if (!has_waiter.load()) return;
        const std::lock_guard<std::mutex> lock(mutex);
        changed.notify_all();
    }
};

}  // namespace nfx
