#include "host_clock.hpp"

#include <algorithm>
#include <cmath>

namespace nfx {

namespace {

constexpr double PAUSE_SECONDS = 0.5;          // a longer time between calls is a pause, and the lead starts again at 0
constexpr double LEAD_DECAY_SECONDS = 1.0;     // time constant with which a lead is forgotten
constexpr double OFFLINE_LEAD_SECONDS = 0.25;  // no host that plays live is so far ahead

}  // namespace

void HostClock::start_block(Clock::time_point now, std::uint32_t frames, double rate) {
    const bool first = last_call == Clock::time_point{};
    const double passed = first ? 0 : std::chrono::duration<double>(now - last_call).count();
    const double passed_in_host = std::max(passed - waited, 0.0);
    if (passed_in_host > PAUSE_SECONDS) own_lead = 0;
    const double seconds = frames / rate;
    largest_block_seconds = std::max(largest_block_seconds, seconds);
    const double kept = std::exp(-passed_in_host / LEAD_DECAY_SECONDS);
    own_lead = std::max(own_lead - passed_in_host, 0.0) * kept + seconds;
    lead = std::max(lead - passed, 0.0) + seconds;
    last_call = now;
    waited = 0;
}

bool HostClock::runs_offline() const { return own_lead > OFFLINE_LEAD_SECONDS; }

}  // namespace nfx
