// A socket that sends and receives whole messages and never blocks.
#pragma once

#include <cstdint>

#include "messages.hpp"
#include "net.hpp"

namespace nfx {

class MessageSocket {
public:
    enum class Connecting { pending, done, failed };
    enum class Received { message, incomplete, too_long };

    // Append messages here. `flush` sends them.
    messages::Bytes out;

    bool begin_connect(const net::Address& address) { return socket.begin_connect(address); }
    Connecting finish_connect() const;
    // Forgets everything that was received or waits to be sent.
    void close();

    // Reads what is there, up to a limit. Returns the number of bytes; 0 if there are none, -1 if the connection is
    // over.
    long receive();
    // Gets the next message that was read. Its payload is valid until the next call of `receive` or `close`.
    Received next_message(messages::Header& header, const std::uint8_t*& payload);
    // Sends as much as possible. Returns false if the connection is over.
    bool flush();

    std::size_t unsent() const { return out.size() - out_sent; }
    // Fills in what to wait for. Returns false if the socket is closed.
    bool fill_poll_entry(net::PollEntry& entry, bool connecting) const;

private:
    net::Socket socket;
    messages::Bytes in;
    std::size_t in_handled = 0;
    std::size_t out_sent = 0;
};

}  // namespace nfx
