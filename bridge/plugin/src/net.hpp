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
constexpr Handle INVALID_HANDLE = INVALID_SOCKET;
using PollEntry = WSAPOLLFD;
inline int poll_all(PollEntry* entries, unsigned long count, int ms) { return ::WSAPoll(entries, count, ms); }
inline void close_handle(Handle handle) { ::closesocket(handle); }
inline bool would_block() {
    const int error = ::WSAGetLastError();
    return error == WSAEWOULDBLOCK || error == WSAEINPROGRESS;
}
inline bool make_non_blocking(Handle handle) {
    u_long on = 1;
    return ::ioctlsocket(handle, FIONBIO, &on) == 0;
}
struct SocketLibrary {
    SocketLibrary() {
        WSADATA data;
        ::WSAStartup(MAKEWORD(2, 2), &data);
    }
    ~SocketLibrary() { ::WSACleanup(); }
};
#else
using Handle = int;
constexpr Handle INVALID_HANDLE = -1;
using PollEntry = pollfd;
inline int poll_all(PollEntry* entries, unsigned long count, int ms) { return ::poll(entries, count, ms); }
inline void close_handle(Handle handle) { ::close(handle); }
inline bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINPROGRESS; }
inline bool make_non_blocking(Handle handle) {
    return ::fcntl(handle, F_SETFL, ::fcntl(handle, F_GETFL, 0) | O_NONBLOCK) == 0;
}
struct SocketLibrary {};
#endif

#ifdef MSG_NOSIGNAL
constexpr int SEND_FLAGS = MSG_NOSIGNAL;  // a worker that closes its socket must not end the host by SIGPIPE
#else
constexpr int SEND_FLAGS = 0;
#endif

struct Address {
    sockaddr_storage bytes{};
    socklen_t size = 0;
    bool is_known() const { return size != 0; }
};

// Looks up an address. With `numbers_only` it never waits, and knows only IP addresses and "localhost". Other names may
// take the name server seconds.
inline Address resolve(const std::string& host, const std::string& port, bool numbers_only) {
    addrinfo hints{};
    addrinfo* found = nullptr;
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
    Handle handle = INVALID_HANDLE;

public:
    Socket() = default;
    explicit Socket(Handle owned) : handle(owned) {}
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket() { close(); }

    Handle get() const { return handle; }
    bool is_open() const { return handle != INVALID_HANDLE; }
    void close() {
        if (is_open()) close_handle(handle);
        handle = INVALID_HANDLE;
    }
    // Returns false if it fails at once. Otherwise the socket becomes writable when the connection is made or has
    // failed.
    bool begin_connect(const Address& to) {
        close();
        handle = ::socket(to.bytes.ss_family, SOCK_STREAM, 0);
        if (!is_open() || !make_non_blocking(handle)) return false;
        // Blocks are small and late ones are lost, so none may wait for the next.
        const int on = 1;
        ::setsockopt(handle, IPPROTO_TCP, TCP_NODELAY, reinterpret_cast<const char*>(&on), sizeof on);
#ifdef SO_NOSIGPIPE
        ::setsockopt(handle, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
        return ::connect(handle, reinterpret_cast<const sockaddr*>(&to.bytes), to.size) == 0 || would_block();
    }
    // Whether the connection that was begun has been made.
    bool is_connected() const {
        int error = 1;
        socklen_t size = sizeof error;
        return ::getsockopt(handle, SOL_SOCKET, SO_ERROR, reinterpret_cast<char*>(&error), &size) == 0 && error == 0;
    }
    // Both return the number of bytes, 0 if they would block, and -1 if the connection is over.
    long send(const std::uint8_t* from, std::size_t count) {
        const auto sent = ::send(handle, reinterpret_cast<const char*>(from), int(count), SEND_FLAGS);
        if (sent >= 0) return long(sent);
        return would_block() ? 0 : -1;
    }
    long receive(std::uint8_t* to, std::size_t count) {
        const auto received = ::recv(handle, reinterpret_cast<char*>(to), int(count), 0);
        if (received > 0) return long(received);
        return received < 0 && would_block() ? 0 : -1;  // 0 bytes: the other side has closed
    }
};

// Ends the wait of `poll_all` from another thread: a datagram socket that is connected to itself. Windows can poll only
// sockets, so a pipe won't do.
class Waker {
    Socket socket;

public:
    Waker() : socket(::socket(AF_INET, SOCK_DGRAM, 0)) {
        sockaddr_in self{};
        self.sin_family = AF_INET;
        self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof self;
        if (!socket.is_open() || ::bind(socket.get(), reinterpret_cast<sockaddr*>(&self), size) != 0 ||
            ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&self), &size) != 0 ||
            ::connect(socket.get(), reinterpret_cast<sockaddr*>(&self), size) != 0 || !make_non_blocking(socket.get()))
            socket.close();
    }
    Handle get() const { return socket.get(); }
    void wake() {
        const std::uint8_t byte = 1;
        if (socket.is_open()) socket.send(&byte, 1);
    }
    void clear() {
        std::uint8_t bytes[64];
        while (socket.is_open() && socket.receive(bytes, sizeof bytes) > 0) {
        }
    }
};

}  // namespace nfx::net
