// A queue of parameter changes from one thread to another, without locks.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

#include "program.hpp"

namespace nfx {

class ChangeQueue {
public:
    static constexpr size_t CAPACITY = 4096;

    // Return false if the queue is full. Called by one thread only.
    bool push(const Change& change) {
        const size_t end = pushed.load(std::memory_order_relaxed);
        if (end - popped.load(std::memory_order_acquire) == CAPACITY) return false;
        changes[end % CAPACITY] = change;
        pushed.store(end + 1, std::memory_order_release);
        return true;
    }

    // Return false if the queue is empty. Called by one other thread only.
    bool pop(Change& change) {
        const size_t start = popped.load(std::memory_order_relaxed);
        if (pushed.load(std::memory_order_acquire) == start) return false;
        change = changes[start % CAPACITY];
        popped.store(start + 1, std::memory_order_release);
        return true;
    }

private:
    std::vector<Change> changes = std::vector<Change>(CAPACITY);
    std::atomic<size_t> pushed{0};
    std::atomic<size_t> popped{0};
};

}  // namespace nfx
