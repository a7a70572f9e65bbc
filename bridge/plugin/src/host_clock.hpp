// How far a host is ahead of real time, judged from when it calls.
#pragma once

#include <cstdint>

#include "link.hpp"

namespace nfx {

// A host that plays live calls at the pace of its audio device, at most a few blocks early. One that bounces offline
// calls as soon as it can. Not every host says which it does, so this clock compares the audio with the time that
// passed.
class HostClock {
public:
    void reset() { *this = HostClock{}; }
    void start_block(Clock::time_point now, std::uint32_t frames, double rate);
    void add_wait(Clock::duration time) { waited += std::chrono::duration<double>(time).count(); }

    // Whether the host is further ahead than any that plays live.
    bool runs_offline() const;
    // Seconds that a host that plays live can be kept waiting without a gap in its output.
    double spare_seconds() const { return lead - waited - largest_block_seconds; }

private:
    Clock::time_point last_call{};
    double own_lead = 0;  // seconds ahead if we had never waited; an offline bounce makes it grow
    double lead = 0;      // seconds ahead, all our waits included
    double waited = 0;    // seconds, in the call before
    double largest_block_seconds = 0;
};

}  // namespace nfx
