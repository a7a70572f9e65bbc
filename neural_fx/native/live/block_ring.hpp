// A ring of audio blocks in memory that two processes share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace nfx {

// One side of `bridge.live.ring.Ring`: the counts of written and read blocks, then blocks of (channels, frames).
class BlockRing {
    static constexpr size_t WRITTEN = 0;  // offset in bytes of the count of written blocks

    char* memory;
    size_t read_offset;
    size_t samples_offset;
    size_t floats_per_block;
    uint64_t capacity;

    // The counters are plain memory, and libc++ has had std::atomic_ref only since 2024.
    uint64_t load(size_t offset, int order) const {
        return __atomic_load_n(reinterpret_cast<uint64_t*>(memory + offset), order);
    }
    void advance(size_t offset) const {
        __atomic_fetch_add(reinterpret_cast<uint64_t*>(memory + offset), 1, __ATOMIC_RELEASE);
    }
    float* slot(uint64_t index) const {
        return reinterpret_cast<float*>(memory + samples_offset) + (index % capacity) * floats_per_block;
    }

public:
    BlockRing(void* memory, size_t bytes, size_t head, size_t blocks, size_t block)
        : memory(static_cast<char*>(memory)), read_offset(head), samples_offset(2 * head), floats_per_block(block),
          capacity(blocks) {
        const bool aligned =
            reinterpret_cast<uintptr_t>(memory) % alignof(uint64_t) == 0 && head % alignof(uint64_t) == 0;
        if (!aligned || head < sizeof(uint64_t) || blocks < 1 || bytes < 2 * head + blocks * block * sizeof(float))
            throw std::invalid_argument("NativeLoop: the memory of a ring does not fit");
    }

    // Return the oldest block that waits, or null. `release_oldest` frees it.
    const float* oldest() const {
        const uint64_t read = load(read_offset, __ATOMIC_RELAXED);
        return load(WRITTEN, __ATOMIC_ACQUIRE) == read ? nullptr : slot(read);
    }
    void release_oldest() const { advance(read_offset); }

    // Return where the next block goes, or null if the ring is full. `publish` passes it to the reader.
    float* free_slot() const {
        const uint64_t written = load(WRITTEN, __ATOMIC_RELAXED);
        return written - load(read_offset, __ATOMIC_ACQUIRE) >= capacity ? nullptr : slot(written);
    }
    void publish() const { advance(WRITTEN); }

    size_t block_size() const { return floats_per_block; }
};

}  // namespace nfx
