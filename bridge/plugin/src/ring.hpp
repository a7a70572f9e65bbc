// A ring of bytes between two threads: one writes whole records, one reads them; neither waits, locks or allocates.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

namespace nfx {

class Ring {
    const std::size_t size;  // a power of two
    const std::unique_ptr<std::uint8_t[]> bytes;
    std::atomic<std::uint64_t> written{0}, released{0};
    std::uint64_t writing = 0, reading = 0;  // each belongs to its own thread

public:
    // Every page is touched here, so that none has to be found while audio runs.
    explicit Ring(std::size_t power_of_two) : size(power_of_two), bytes(new std::uint8_t[power_of_two]()) {}

    // ---- the writer's side: ask for room, put the parts of a record, publish it
    bool has_room(std::size_t count) const {
        return count <= size - (writing - released.load(std::memory_order_acquire));
    }
    void put(const void* from, std::size_t count) {
        const std::size_t at = writing & (size - 1), first = count < size - at ? count : size - at;
        std::memcpy(bytes.get() + at, from, first);
        std::memcpy(bytes.get(), static_cast<const std::uint8_t*>(from) + first, count - first);
        writing += count;
    }
    void publish() { written.store(writing, std::memory_order_release); }

    // ---- the reader's side: look at what is there, at any offset, and let go of it from the front
    std::size_t available() const { return std::size_t(written.load(std::memory_order_acquire) - reading); }
    void look(std::size_t offset, void* to, std::size_t count) const {
        const std::size_t at = (reading + offset) & (size - 1), first = count < size - at ? count : size - at;
        std::memcpy(to, bytes.get() + at, first);
        std::memcpy(static_cast<std::uint8_t*>(to) + first, bytes.get(), count - first);
    }
    void drop(std::size_t count) {
        reading += count;
        released.store(reading, std::memory_order_release);
    }
};

}  // namespace nfx
