#include "connections.hpp"

#include <algorithm>

#ifdef __linux__
#include <pthread.h>
#endif

#include "connection.hpp"

namespace nfx {

namespace {

// The audio thread makes no system calls, so nothing wakes this thread when a block is there: it looks by itself.
constexpr int BUSY_POLL_MS = 1;
constexpr int IDLE_POLL_MS = 10;

}  // namespace

std::shared_ptr<Connections> Connections::shared() {
    static std::mutex guard;
    static std::weak_ptr<Connections> existing;
    const std::lock_guard<std::mutex> lock(guard);
    std::shared_ptr<Connections> found = existing.lock();
    if (!found) {
        found = std::shared_ptr<Connections>(new Connections);
        existing = found;
    }
    return found;
}

Connections::Connections() {
    thread = std::thread([this] { loop(); });
}

Connections::~Connections() {
    ending.store(true);
    wake();
    thread.join();
}

void Connections::add(const std::shared_ptr<Link>& link) {
    const std::lock_guard<std::mutex> lock(mutex);
    added.push_back(link);
    wake();
}

void Connections::remove(const std::shared_ptr<Link>& link) {
    const std::lock_guard<std::mutex> lock(mutex);
    removed.push_back(link);
    wake();
}

void Connections::update_list() {
    const std::lock_guard<std::mutex> lock(mutex);
    for (const auto& link : added) connections.push_back(std::make_unique<Connection>(link));
    added.clear();
    const auto is_removed = [this](const std::unique_ptr<Connection>& connection) {
        return std::find(removed.begin(), removed.end(), connection->link) != removed.end();
    };
    for (const auto& connection : connections)
        if (is_removed(connection)) connection->send_bye();
    connections.erase(std::remove_if(connections.begin(), connections.end(), is_removed), connections.end());
    removed.clear();
}

void Connections::loop() {
#ifdef __linux__
    ::pthread_setname_np(::pthread_self(), "neural-fx");
#endif
    std::vector<net::PollEntry> entries;
    while (!ending.load()) {
        update_list();
        const Clock::time_point now = Clock::now();
        bool busy = false;
        net::PollEntry entry{};
        entry.fd = waker.get();
        entry.events = POLLIN;
        entries.clear();
        entries.push_back(entry);
        for (const auto& connection : connections) {
            connection->step(now);
            busy = busy || connection->is_busy(now);
            if (connection->fill_poll_entry(entry)) entries.push_back(entry);
        }
        const int timeout_ms = busy ? BUSY_POLL_MS : IDLE_POLL_MS;
        net::poll_all(entries.data(), static_cast<unsigned long>(entries.size()), timeout_ms);
        waker.clear();
    }
    for (const auto& connection : connections) connection->send_bye();
}

}  // namespace nfx
