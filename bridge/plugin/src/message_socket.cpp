#include "message_socket.hpp"

#include <algorithm>

namespace nfx {

namespace { constexpr std::size_t RECEIVE_BYTES = 65536; }  // namespace

MessageSocket::Connecting MessageSocket::finish_connect() const {
    net::PollEntry entry{};
    entry.fd = socket.get();
    entry.events = POLLOUT;
    if (net::poll_all(&entry, 1, 0) <= 0) return Connecting::pending;
    const bool failed = entry.revents & (POLLERR | POLLHUP | POLLNVAL);
    return failed || !socket.is_connected() ? Connecting::failed : Connecting::done;
}

void MessageSocket::close() {
    socket.close();
    in.clear();
    in_handled = 0;
    out.clear();
    out_sent = 0;
}

long MessageSocket::receive() {
    in.erase(in.begin(), in.begin() + std::ptrdiff_t(in_handled));
    in_handled = 0;
    const std::size_t before = in.size();
    in.resize(before + RECEIVE_BYTES);
    const long count = socket.receive(in.data() + before, RECEIVE_BYTES);
    in.resize(before + std::size_t(std::max(count, 0L)));
    return count;
}

MessageSocket::Received MessageSocket::next_message(messages::Header& header, const std::uint8_t*& payload) {
    const std::size_t available = in.size() - in_handled;
    if (available < messages::HEADER_BYTES) return Received::incomplete;
    header = messages::read_header(in.data() + in_handled);
    // Checked before the payload has come: a broken length must not fill the memory.
    if (header.length > messages::MAX_PAYLOAD) return Received::too_long;
    if (available - messages::HEADER_BYTES < header.length) return Received::incomplete;
    payload = in.data() + in_handled + messages::HEADER_BYTES;
    in_handled += messages::HEADER_BYTES + header.length;
    return Received::message;
}

bool MessageSocket::flush() {
    while (out_sent < out.size()) {
        const long count = socket.send(out.data() + out_sent, out.size() - out_sent);
        if (count < 0) return false;
        if (count == 0) return true;
        out_sent += std::size_t(count);
    }
    out.clear();
    out_sent = 0;
    return true;
}

bool MessageSocket::fill_poll_entry(net::PollEntry& entry, bool connecting) const {
    if (!socket.is_open()) return false;
    entry = {};
    entry.fd = socket.get();
    entry.events = short(POLLIN | (connecting || unsent() ? POLLOUT : 0));
    return true;
}

}  // namespace nfx
