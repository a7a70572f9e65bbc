#include "connection.hpp"

namespace nfx {

using namespace std::chrono_literals;
using messages::append;

namespace {

// Hosts restore address, board and text of a session one after the other. One connection is enough for all of them.
constexpr auto SETTLE_TIME = 5ms;
constexpr auto CONNECT_TIMEOUT = 1s;
constexpr auto WELCOME_TIMEOUT = 15s;  // the worker may have to build the board first
constexpr auto RETRY = 250ms;
constexpr auto RETRY_AFTER_REFUSAL = 1000ms;
constexpr auto ANSWER_TIMEOUT = 10s;  // for a BLOCK or a PING
constexpr auto QUIET_TIME = 1s;       // after this long without a message, a PING asks for one
constexpr auto PONG_TIME = 2s;        // without an answer for this long, "Connected" goes off
constexpr auto BUSY_TIME = 2s;        // since the host's last block
constexpr std::size_t MAX_UNSENT = 1 << 21;
constexpr std::size_t MAX_RECEIVED = 4 * messages::MAX_PAYLOAD;  // in one step: other instances have their turn, too

}  // namespace

void Connection::step(Clock::time_point now) {
    if (link->request_number.load() != request_number) {
        if (new_request_seen == Clock::time_point{}) new_request_seen = now;
        if (now - new_request_seen < SETTLE_TIME) return;
        adopt_new_request(now);
    }
    new_request_seen = {};
    if (state == State::connected && link->board_number.load() != board_number) switch_board(now);
    if (state == State::off && now >= next_try) begin_connecting(now);
    if (state == State::resolving) finish_resolving(now);
    if (state == State::connecting) finish_connecting(now);
    if (state == State::greeting || state == State::connected) receive(now);
    if (state == State::greeting && now - state_began > WELCOME_TIMEOUT) disconnect(now, RETRY_AFTER_REFUSAL);
    if (state == State::connected) send_blocks(now);
    if (state == State::connected) check_presence(now);
    const bool open = state == State::greeting || state == State::connected;
    if (open && !socket.flush()) disconnect(now, RETRY);
}

bool Connection::fill_poll_entry(net::PollEntry& entry) const {
    return socket.fill_poll_entry(entry, state == State::connecting);
}

bool Connection::is_busy(Clock::time_point now) const {
    const Clock::time_point last_run{Clock::duration(link->last_run_ticks.load())};
    return now - last_run < BUSY_TIME || new_request_seen != Clock::time_point{};
}

// ---- from a request to a stream ----------------------------------------------------------------------------------

void Connection::adopt_new_request(Clock::time_point now) {
    close(now);
    {
        const std::lock_guard<std::mutex> lock(link->mutex);
        // A board's name counts more than a number that was chosen before it.
        if (link->request.board != request.board) board_number = link->board_number.load();
        request = link->request;
        request_number = link->request_number.load();
    }
    link->phase.store(Phase::idle);
    link->served_request.store(request_number);
    address = {};
}

void Connection::switch_board(Clock::time_point now) {
    board_number = link->board_number.load();
    const bool from_session = board_number == link->session_board_number.exchange(0);
    const bool exists = board_number >= 1 && board_number <= boards.size();
    if (from_session || !exists || boards[board_number - 1] == request.board) return;
    close(now);
    request.board = boards[board_number - 1];
    request.text.clear();
    {
        const std::lock_guard<std::mutex> lock(link->mutex);
        link->request.board = request.board;
        link->request.text.clear();
    }
    for (auto& moved : link->macro_moved) moved.store(false);  // another board has other macros
}

void Connection::begin_connecting(Clock::time_point now) {
    state_began = now;
    if (!address.is_known()) address = net::resolve(request.host, request.port, true);
    if (!address.is_known()) {
        // A name server may take seconds, and the other instances share this thread.
        resolution = std::async(std::launch::async, net::resolve, request.host, request.port, false);
        state = State::resolving;
        return;
    }
    if (!socket.begin_connect(address)) {
        disconnect(now, RETRY);
        return;
    }
    state = State::connecting;
}

void Connection::finish_resolving(Clock::time_point now) {
    if (resolution.wait_for(0s) != std::future_status::ready) return;
    address = resolution.get();
    if (address.is_known())
        begin_connecting(now);
    else
        disconnect(now, RETRY_AFTER_REFUSAL);
}

void Connection::finish_connecting(Clock::time_point now) {
    const MessageSocket::Connecting result = socket.finish_connect();
    const bool timed_out = result == MessageSocket::Connecting::pending && now - state_began > CONNECT_TIMEOUT;
    if (result == MessageSocket::Connecting::done)
        send_hello(now);
    else if (result == MessageSocket::Connecting::failed || timed_out)
        disconnect(now, RETRY);
}

void Connection::send_hello(Clock::time_point now) {
    const std::string hello = messages::hello_json(request);
    messages::append_header(socket.out, messages::hello, hello.size());
    append(socket.out, hello.data(), hello.size());
    state = State::greeting;
    state_began = now;
    last_received = now;
    last_ping = now;
}

// ---- messages from the worker ------------------------------------------------------------------------------------

void Connection::receive(Clock::time_point now) {
    std::size_t total = 0;
    while (total < MAX_RECEIVED) {
        const long count = socket.receive();
        if (count == 0) return;
        if (count < 0) {
            disconnect(now, RETRY);
            return;
        }
        total += std::size_t(count);
        last_received = now;
        if (!handle_received(now)) return;
    }
}

// Handles the whole messages that have come. Returns false if the connection is over.
bool Connection::handle_received(Clock::time_point now) {
    messages::Header header{};
    const std::uint8_t* payload = nullptr;
    MessageSocket::Received received = socket.next_message(header, payload);
    while (received == MessageSocket::Received::message) {
        if (!handle_message(header, payload, now)) {
            disconnect(now, header.kind == messages::bye ? Clock::duration(RETRY) : RETRY_AFTER_REFUSAL);
            return false;
        }
        received = socket.next_message(header, payload);
    }
    if (received == MessageSocket::Received::incomplete) return true;
    disconnect(now, RETRY_AFTER_REFUSAL);
    return false;
}

// Returns false for a message that ends the connection: BYE, REFUSE, and all that breaks the protocol.
bool Connection::handle_message(const messages::Header& header, const std::uint8_t* payload, Clock::time_point now) {
    const auto json = [&] { return std::string(reinterpret_cast<const char*>(payload), header.length); };
    switch (header.kind) {
        case messages::welcome: return state == State::greeting && handle_welcome(json());
        case messages::refuse: handle_refusal(json()); return false;
        case messages::audio:
            return state == State::connected && stream.receive_audio(header, payload, request.channels, now);
        case messages::notice: {
            std::uint32_t latency = 0;
            if (messages::read_latency(json(), latency)) link->latency.store(latency);
            return true;
        }
        case messages::pong:
        case messages::reset: return true;
        case messages::ping:
            messages::append_header(socket.out, messages::pong, header.length, header.sequence);
            append(socket.out, payload, header.length);
            return true;
        default: return false;
    }
}

bool Connection::handle_welcome(const std::string& json) {
    Welcome welcome;
    std::uint32_t latency = 0;
    if (!messages::read_welcome(json, request.notes, welcome, latency)) return false;
    // Kept for the next HELLO: the worker may be started again without this board.
    if (!welcome.text.empty()) request.text = welcome.text;
    if (!welcome.board.empty()) request.board = welcome.board;
    boards = welcome.boards;
    for (std::size_t i = 0; i < welcome.macros.size(); ++i)
        if (!link->macro_moved[i].load()) link->macro[i].store(float(welcome.macros[i].value));
    {
        const std::lock_guard<std::mutex> lock(link->mutex);
        link->welcome = std::move(welcome);
    }
    link->latency.store(latency);
    state = State::connected;
    link->unplayed.store(true);
    link->answering.store(true);
    link->was_connected.store(true);
    set_phase(Phase::connected);
    return true;
}

void Connection::handle_refusal(const std::string& json) {
    const std::lock_guard<std::mutex> lock(link->mutex);
    link->welcome = Welcome{};
    link->welcome.refusal = messages::read_reason(json);
}

// ---- messages to the worker --------------------------------------------------------------------------------------

void Connection::send_blocks(Clock::time_point now) {
    BlockStream::Next next = BlockStream::Next::block;
    while (next == BlockStream::Next::block && socket.unsent() < MAX_UNSENT)
        next = stream.append_block(socket.out, request.channels, now);
    if (next == BlockStream::Next::gap)
        disconnect(now, 0s);
    else if (stream.unanswered_for(now) > ANSWER_TIMEOUT)
        disconnect(now, RETRY);
}

// A worker that is stopped or out of reach does not hang up. The time counts from our PING, not from the worker's last
// message: this process may have been stopped itself.
void Connection::check_presence(Clock::time_point now) {
    if (last_ping <= last_received && now - last_received > QUIET_TIME) {
        messages::append_header(socket.out, messages::ping, 0);
        last_ping = now;
    }
    const bool asked = last_ping > last_received;
    const Clock::duration silence = asked ? now - last_ping : Clock::duration::zero();
    if (silence > ANSWER_TIMEOUT) {
        disconnect(now, RETRY);
        return;
    }
    link->answering.store(silence <= PONG_TIME);
}

void Connection::send_bye() {
    if (state != State::connected) return;
    messages::append_header(socket.out, messages::bye, 0);
    socket.flush();
}

// ---- the end of a connection -------------------------------------------------------------------------------------

void Connection::close(Clock::time_point now) {
    socket.close();
    stream.reset();
    state = State::off;
    next_try = now;
    link->unplayed.store(false);
    link->answering.store(false);
}

void Connection::disconnect(Clock::time_point now, Clock::duration retry_after) {
    close(now);
    next_try = now + retry_after;
    set_phase(Phase::unreachable);
}

void Connection::set_phase(Phase phase) {
    link->phase.store(phase);
    link->notify();
}

}  // namespace nfx
