// One thread for the connections of all instances in a process: it alone touches sockets.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "link.hpp"
#include "net.hpp"

namespace nfx {

class Peer;

class Connections {
public:
    // The one of this process; it ends with the last instance that holds it.
    static std::shared_ptr<Connections> shared();
    ~Connections();

    void add(const std::shared_ptr<Link>& link);
    void remove(const std::shared_ptr<Link>& link);
    // Look at the links at once. Not for the audio thread, but that of an offline bounce.
    void wake() { bell.ring(); }

private:
    Connections();
    void loop();

    net::Library library;
    net::Bell bell;
    std::mutex mutex;  // guards the lists that wait for the thread
    std::vector<std::shared_ptr<Link>> added, removed;
    std::vector<std::unique_ptr<Peer>> peers;
    std::atomic<bool> ending{false};
    std::thread thread;
};

}  // namespace nfx
