#include "connections.hpp"

#include <algorithm>

#ifdef __linux__
#include <pthread.h>
#endif

#include "peer.hpp"

namespace nfx {

std::shared_ptr<Connections> Connections::shared() {
    static std::mutex guard;
    static std::weak_ptr<Connections> one;
    const std::lock_guard<std::mutex> lock(guard);
    std::shared_ptr<Connections> found = one.lock();
    if (!found) one = found = std::shared_ptr<Connections>(new Connections);
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

void Connections::loop() {
#ifdef __linux__
    ::pthread_setname_np(::pthread_self(), "neural-fx");
#endif
    std::vector<net::PollEntry> entries;
    while (!ending.load()) {
        {
            const std::lock_guard<std::mutex> lock(mutex);
            for (const auto& link : added) peers.push_back(std::make_unique<Peer>(link));
            for (const auto& link : removed) {
                const auto gone = [&](const std::unique_ptr<Peer>& peer) {
                    if (peer->link == link) peer->say_goodbye();
                    return peer->link == link;
                };
                peers.erase(std::remove_if(peers.begin(), peers.end(), gone), peers.end());
            }
            added.clear(), removed.clear();
        }
        const Clock::time_point now = Clock::now();
        bool streaming = false;
        entries.clear();
        net::PollEntry entry{};
        entry.fd = bell.get();
        entry.events = POLLIN;
        entries.push_back(entry);
        for (const auto& peer : peers) {
            peer->step(now);
            streaming = streaming || peer->streams(now);
            if (peer->awaits(entry)) entries.push_back(entry);
        }
        net::poll_all(entries.data(), static_cast<unsigned long>(entries.size()), streaming ? 1 : 10);
        bell.hush();
    }
    for (const auto& peer : peers) peer->say_goodbye();
}

}  // namespace nfx
