// A ring of bytes between two threads: one writes whole records, one reads them; neither waits, locks or allocates.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

namespace nfx {

class Ring {
    const std::size_t size;  // a power of two
    const std::unique_ptr<std::uint8_t[]> bytes;
    std::atomic<std::uint64_t> published{0};
    std::atomic<std::uint64_t> released{0};
    std::uint64_t write_count = 0;  // the writer's alone
    std::uint64_t read_count = 0;   // the reader's alone

public:
    // The initialization touches every page, so that the audio thread never causes a page fault here.
    explicit Ring(std::size_t power_of_two) : size(power_of_two), bytes(new std::uint8_t[power_of_two]()) {}

    // ---- the writer's side: ask for room, put the parts of a record, publish it
    bool has_room(std::size_t count) const {
        return count <= size - (write_count - released.load(std::memory_order_acquire));
    }
    void put(const void* from, std::size_t count) {
        const std::size_t start = write_count & (size - 1);
        const std::size_t before_end = std::min(count, size - start);
        std::memcpy(bytes.get() + start, from, before_end);
        std::memcpy(bytes.get(), static_cast<const std::uint8_t*>(from) + before_end, count - before_end);
        write_count += count;
    }
    void publish() { published.store(write_count, std::memory_order_release); }

    // ---- the reader's side: copy from any offset, discard from the front
    std::size_t available() const { return std::size_t(published.load(std::memory_order_acquire) - read_count); }
    void peek(std::size_t offset, void* to, std::size_t count) const {
        const std::size_t start = (read_count + offset) & (size - 1);
        const std::size_t before_end = std::min(count, size - start);
        std::memcpy(to, bytes.get() + start, before_end);
        std::memcpy(static_cast<std::uint8_t*>(to) + before_end, bytes.get(), count - before_end);
    }
    void discard(std::size_t count) {
        read_count += count;
        released.store(read_count, std::memory_order_release);
    }
};

}  // namespace nfx
