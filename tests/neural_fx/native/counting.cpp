// A library to preload: it replaces operator new and delete of the whole process, and counts their calls.
// The compiled kernels look for the two functions at the end.
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

static thread_local std::size_t allocations = 0;
static std::atomic<std::size_t> blocks_held{0};

static void* allocate(std::size_t size, std::size_t alignment) {
    ++allocations;
    // aligned_alloc wants a multiple of the alignment.
    const std::size_t rounded = (std::max<std::size_t>(size, 1) + alignment - 1) / alignment * alignment;
    void* block = alignment > alignof(std::max_align_t) ? std::aligned_alloc(alignment, rounded) : std::malloc(rounded);
    if (!block) throw std::bad_alloc();
    blocks_held.fetch_add(1, std::memory_order_relaxed);
    return block;
}

static void release(void* block) {
    if (block) blocks_held.fetch_sub(1, std::memory_order_relaxed);
    std::free(block);
}

void* operator new(std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new[](std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) { return allocate(size, std::size_t(alignment)); }
void* operator new[](std::size_t size, std::align_val_t alignment) { return allocate(size, std::size_t(alignment)); }
void operator delete(void* block) noexcept { release(block); }
void operator delete[](void* block) noexcept { release(block); }
void operator delete(void* block, std::size_t) noexcept { release(block); }
void operator delete[](void* block, std::size_t) noexcept { release(block); }
void operator delete(void* block, std::align_val_t) noexcept { release(block); }
void operator delete[](void* block, std::align_val_t) noexcept { release(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { release(block); }
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { release(block); }

extern "C" std::size_t neural_fx_allocations() { return allocations; }
extern "C" std::size_t neural_fx_blocks_held() { return blocks_held.load(std::memory_order_relaxed); }
