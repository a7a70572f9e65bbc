// A pipe that wakes another thread or process.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace nfx {

// Both descriptors close themselves. Reading and writing never block.
struct Pipe {
    int out = -1;  // the end to read from
    int in = -1;   // the end to write to

    Pipe() {
        int ends[2];
        if (pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "NativeLoop: no pipe");
        out = ends[0];
        in = ends[1];
        for (int end : ends) {
            fcntl(end, F_SETFD, FD_CLOEXEC);
            fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK);
        }
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() {
        shut(out);
        shut(in);
    }

    static void shut(int& end) {
        if (end >= 0) ::close(end);
        end = -1;
    }

    // Make the pipe readable. If it is full, the write fails, but then its reader is about to wake anyway.
    void knock() const {
        const char byte = 0;
        [[maybe_unused]] const ssize_t sent = ::write(in, &byte, 1);
    }

    void drain() const {
        char bytes[256];
        while (::read(out, bytes, sizeof bytes) > 0) {
        }
    }
};

}  // namespace nfx
