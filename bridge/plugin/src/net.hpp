// TCP on Linux, macOS and Windows: sockets that never block.
#pragma once

#ifdef _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#endif

#include <cstdint>
#include <cstring>
#include <string>

namespace nfx::net {

#ifdef _WIN32
using Handle = SOCKET;
constexpr Handle kNone = INVALID_SOCKET;
using PollEntry = WSAPOLLFD;
inline int poll_all(PollEntry* entries, unsigned long count, int ms) { return ::WSAPoll(entries, count, ms); }
inline void close_handle(Handle h) { ::closesocket(h); }
inline bool would_block() {
    const int e = ::WSAGetLastError();
    return e == WSAEWOULDBLOCK || e == WSAEINPROGRESS;
}
inline bool make_non_blocking(Handle h) {
    u_long on = 1;
    return ::ioctlsocket(h, FIONBIO, &on) == 0;
}
struct Library {
    Library() {
        WSADATA data;
        ::WSAStartup(MAKEWORD(2, 2), &data);
    }
    ~Library() { ::WSACleanup(); }
};
#else
using Handle = int;
constexpr Handle kNone = -1;
using PollEntry = pollfd;
inline int poll_all(PollEntry* entries, unsigned long count, int ms) { return ::poll(entries, count, ms); }
inline void close_handle(Handle h) { ::close(h); }
inline bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINPROGRESS; }
inline bool make_non_blocking(Handle h) { return ::fcntl(h, F_SETFL, ::fcntl(h, F_GETFL, 0) | O_NONBLOCK) == 0; }
struct Library {};
#endif

#ifdef MSG_NOSIGNAL
constexpr int kSendFlags = MSG_NOSIGNAL;  // a worker that went away is no reason to end the host
#else
constexpr int kSendFlags = 0;
#endif

struct Address {
    sockaddr_storage bytes{};
    socklen_t size = 0;
    bool known() const { return size != 0; }
};

// Numbers and "localhost" are found at once; other names may take the name server's time.
inline Address resolve(const std::string& host, const std::string& port, bool numbers_only) {
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    if (numbers_only) hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    Address address;
    const char* name = host == "localhost" ? "127.0.0.1" : host.c_str();
    if (::getaddrinfo(name, port.c_str(), &hints, &found) == 0 && found) {
        std::memcpy(&address.bytes, found->ai_addr, found->ai_addrlen);
        address.size = socklen_t(found->ai_addrlen);
    }
    if (found) ::freeaddrinfo(found);
    return address;
}

class Socket {
    Handle handle = kNone;

public:
    Socket() = default;
    explicit Socket(Handle h) : handle(h) {}
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket() { close(); }

    Handle get() const { return handle; }
    bool open() const { return handle != kNone; }
    void close() {
        if (open()) close_handle(handle);
        handle = kNone;
    }
    // Begins to connect; false where that fails at once.
    bool dial(const Address& to) {
        close();
        handle = ::socket(to.bytes.ss_family, SOCK_STREAM, 0);
        if (!open() || !make_non_blocking(handle)) return false;
        const int on = 1;
        ::setsockopt(handle, IPPROTO_TCP, TCP_NODELAY, reinterpret_cast<const char*>(&on), sizeof on);
#ifdef SO_NOSIGPIPE
        ::setsockopt(handle, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
        return ::connect(handle, reinterpret_cast<const sockaddr*>(&to.bytes), to.size) == 0 || would_block();
    }
    // Whether the connection that was begun came about.
    bool connected() const {
        int error = 1;
        socklen_t size = sizeof error;
        return ::getsockopt(handle, SOL_SOCKET, SO_ERROR, reinterpret_cast<char*>(&error), &size) == 0 && error == 0;
    }
    // Bytes moved; 0 where it would block; -1 where the connection is over.
    long send(const std::uint8_t* from, std::size_t count) {
        const auto n = ::send(handle, reinterpret_cast<const char*>(from), int(count), kSendFlags);
        return n >= 0 ? long(n) : would_block() ? 0 : -1;
    }
    long receive(std::uint8_t* to, std::size_t count) {
        const auto n = ::recv(handle, reinterpret_cast<char*>(to), int(count), 0);
        return n > 0 ? long(n) : n < 0 && would_block() ? 0 : -1;
    }
};

// A datagram socket that is connected to itself: a byte sent to it ends the wait of `poll_all`.
class Bell {
    Socket socket;

public:
    Bell() : socket(::socket(AF_INET, SOCK_DGRAM, 0)) {
        sockaddr_in self{};
        self.sin_family = AF_INET;
        self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof self;
        if (!socket.open() || ::bind(socket.get(), reinterpret_cast<sockaddr*>(&self), size) != 0 ||
            ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&self), &size) != 0 ||
            ::connect(socket.get(), reinterpret_cast<sockaddr*>(&self), size) != 0 || !make_non_blocking(socket.get()))
            socket.close();
    }
    Handle get() const { return socket.get(); }
    void ring() {
        const std::uint8_t byte = 1;
        if (socket.open()) socket.send(&byte, 1);
    }
    void hush() {
        std::uint8_t bytes[64];
        while (socket.open() && socket.receive(bytes, sizeof bytes) > 0) {
        }
    }
};

}  // namespace nfx::net
