// One thread for the connections of all instances in a process. No other thread touches their sockets.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "link.hpp"
#include "net.hpp"

namespace nfx {

class Connection;

class Connections {
public:
    // Returns this process's object. It ends with the last instance that holds it.
    static std::shared_ptr<Connections> shared();
    ~Connections();

    void add(const std::shared_ptr<Link>& link);
    void remove(const std::shared_ptr<Link>& link);
    // Makes the thread look at the links at once. This is a system call: not for the audio thread, unless it waits
    // anyway.
    void wake() { waker.wake(); }

private:
    Connections();
    void loop();
    void update_list();

    [[maybe_unused]] net::SocketLibrary library;  // starts and ends the socket library of Windows
    net::Waker waker;
    std::mutex mutex;  // guards `added` and `removed`
    std::vector<std::shared_ptr<Link>> added;
    std::vector<std::shared_ptr<Link>> removed;
    std::vector<std::unique_ptr<Connection>> connections;  // the thread's own
    std::atomic<bool> ending{false};
    std::thread thread;
};

}  // namespace nfx
