// One connection to a worker, for one instance of the plugin: what the thread of all connections does for it.
#pragma once

#include <deque>
#include <future>
#include <memory>
#include <vector>

#include "link.hpp"
#include "messages.hpp"
#include "net.hpp"

namespace nfx {

class Peer {
public:
    explicit Peer(std::shared_ptr<Link> link) : link(std::move(link)) {}

    const std::shared_ptr<Link> link;

    void step(Clock::time_point now);
    // What to wait for; false for nothing.
    bool awaits(net::PollEntry& entry) const;
    bool streams(Clock::time_point now) const;
    void say_goodbye();

private:
    enum class State { off, resolving, dialing, greeting, up };
    struct Sent {
        std::uint64_t sequence;
        std::int64_t position;
        std::uint32_t frames;
        Clock::time_point when;
    };

    State state = State::off;
    net::Socket socket;
    net::Address address;
    std::future<net::Address> resolution;
    std::uint32_t wish_number = 0, choice = 0;
    Wish wish;
    std::vector<std::string> boards;
    Clock::time_point wish_seen{}, since{}, next_try{}, heard{}, pinged{};
    messages::Bytes out, in;
    std::size_t out_done = 0;
    std::deque<Sent> sent;
    std::uint64_t sequence = 0;
    std::uint32_t activation = 0;
    std::int64_t expected = -1;  // position of the next record; -1 before the first
    std::vector<float> samples;
    std::vector<Happening> happenings;

    void adopt_wish(Clock::time_point now);
    void choose(Clock::time_point now);
    void start_over(Clock::time_point now);
    void dial(Clock::time_point now);
    void finish_dialing(Clock::time_point now);
    void greet(Clock::time_point now);
    void lose(Clock::time_point now, bool answered);
    void hear(Clock::time_point now);
    bool understand(const messages::Header& header, const std::uint8_t* payload, Clock::time_point now);
    bool deliver(const messages::Header& header, const std::uint8_t* payload, Clock::time_point now);
    void pump(Clock::time_point now);
    void check_presence(Clock::time_point now);
    bool next_block(Clock::time_point now);
    void flush(Clock::time_point now);
    void set_phase(Phase phase);
};

}  // namespace nfx
