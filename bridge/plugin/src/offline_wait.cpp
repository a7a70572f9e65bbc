#include "offline_wait.hpp"

#include <algorithm>

namespace nfx {

using namespace std::chrono_literals;

namespace {

constexpr auto OFFLINE_TIMEOUT = 10000ms;  // a bounce waits this long for a worker that was connected
constexpr auto GIVE_UP_AFTER = 1000ms;     // a longer wait in vain is not repeated until the worker delivers again

}  // namespace

void OfflineWait::reset() {
    clock.reset();
    gave_up = false;
}

std::chrono::milliseconds OfflineWait::timeout() const {
    const bool never_connected = link.phase.load() == Phase::unreachable && !link.was_connected.load();
    if (gave_up || never_connected) return 0ms;
    switch (controls.wait_policy.load()) {
        case WaitPolicy::never: return 0ms;
        case WaitPolicy::always: return OFFLINE_TIMEOUT;
        case WaitPolicy::when_offline: break;
    }
    const HostMode mode = controls.host_mode.load();
    if (mode == HostMode::offline || clock.runs_offline()) return OFFLINE_TIMEOUT;
    if (mode == HostMode::live) return 0ms;
    // The host has not said what it does. It may be live, so it is never kept longer than it is ahead of real time.
    return std::chrono::milliseconds(std::max(int(1000 * clock.spare_seconds()) - 1, 0));
}

bool OfflineWait::wait_for_chunk() {
    const auto limit = timeout();
    if (limit == 0ms) return false;
    const Clock::time_point began = Clock::now();
    link.has_waiter.store(true);
    connections.wake();
    bool ended_early;
    {
        // The timeout is asked again at every change: the host may go live, or the worker may hang up.
        std::unique_lock<std::mutex> lock(link.mutex);
        const auto done = [this] { return link.from_worker.available() > 0 || timeout() == 0ms; };
        ended_early = link.changed.wait_for(lock, limit, done);
    }
    link.has_waiter.store(false);
    clock.add_wait(Clock::now() - began);
    gave_up = !ended_early && limit > GIVE_UP_AFTER;
    return link.from_worker.available() > 0;
}

}  // namespace nfx
