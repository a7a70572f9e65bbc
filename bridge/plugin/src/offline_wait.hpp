// Waiting for the worker on the audio thread, which only an offline bounce may do.
#pragma once

#include <chrono>
#include <cstdint>

#include "connections.hpp"
#include "controls.hpp"
#include "host_clock.hpp"
#include "link.hpp"

namespace nfx {

class OfflineWait {
public:
    OfflineWait(Link& shared_link, Connections& all_connections, const Controls& host_controls)
        : link(shared_link), connections(all_connections), controls(host_controls) {}

    void reset();
    void start_block(Clock::time_point now, std::uint32_t frames, double rate) { clock.start_block(now, frames, rate); }
    // Waits until a chunk has come from the worker. Returns false if none has come in time, or if the host plays live.
    bool wait_for_chunk();
    // The worker has delivered something: it is worth waiting for again.
    void chunk_arrived() { gave_up = false; }

private:
    Link& link;
    Connections& connections;
    const Controls& controls;
    HostClock clock;
    bool gave_up = false;  // a long wait was in vain; the next block doesn't wait, or a bounce would take hours

    std::chrono::milliseconds timeout() const;
};

}  // namespace nfx
