// One connection to a worker, for one instance of the plugin. The thread of all connections runs it.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "block_stream.hpp"
#include "link.hpp"
#include "message_socket.hpp"
#include "messages.hpp"
#include "net.hpp"

namespace nfx {

class Connection {
public:
    explicit Connection(std::shared_ptr<Link> shared_link) : link(std::move(shared_link)), stream(*link) {}

    const std::shared_ptr<Link> link;

    // Does all that can be done now without waiting.
    void step(Clock::time_point now);
    // Fills in what to poll for before the next step. Returns false if there is nothing.
    bool fill_poll_entry(net::PollEntry& entry) const;
    // Whether audio goes through, or is about to: then the steps have to be close together.
    bool is_busy(Clock::time_point now) const;
    void send_bye();

private:
    enum class State { off, resolving, connecting, greeting, connected };

    State state = State::off;
    Clock::time_point state_began{};
    Clock::time_point next_try{};
    MessageSocket socket;
    net::Address address;
    std::future<net::Address> resolution;

    // The request that is served, and what the user has chosen since.
    StreamRequest request;
    std::uint32_t request_number = 0;
    Clock::time_point new_request_seen{};
    std::uint32_t board_number = 0;
    std::vector<std::string> boards;

    Clock::time_point last_received{};
    Clock::time_point last_ping{};
    BlockStream stream;

    // ---- from a request to a stream
    void adopt_new_request(Clock::time_point now);
    void switch_board(Clock::time_point now);
    void begin_connecting(Clock::time_point now);
    void finish_resolving(Clock::time_point now);
    void finish_connecting(Clock::time_point now);
    void send_hello(Clock::time_point now);
    // ---- while there is one
    void receive(Clock::time_point now);
    bool handle_received(Clock::time_point now);
    bool handle_message(const messages::Header& header, const std::uint8_t* payload, Clock::time_point now);
    bool handle_welcome(const std::string& json);
    void handle_refusal(const std::string& json);
    void send_blocks(Clock::time_point now);
    void check_presence(Clock::time_point now);
    // ---- its end
    void close(Clock::time_point now);
    void disconnect(Clock::time_point now, Clock::duration retry_after);
    void set_phase(Phase phase);
};

}  // namespace nfx
