// Buffers aligned to cache lines, with room for a vector to read past the end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>

namespace nfx {

class Buffer {
    float* data_ = nullptr;
    size_t size_ = 0;

public:
    Buffer() = default;
    explicit Buffer(size_t size)
        : data_(static_cast<float*>(::operator new(size * sizeof(float), std::align_val_t{64}))), size_(size) {
        clear();
    }
    Buffer(Buffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~Buffer() {
        if (data_) ::operator delete(data_, std::align_val_t{64});
    }
    void clear() { std::fill(data_, data_ + size_, 0.0f); }
    float* get() { return data_; }
    const float* get() const { return data_; }
    size_t size() const { return size_; }
};

}  // namespace nfx
