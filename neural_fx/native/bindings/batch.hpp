// Several streams of one network that run in one call.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "bindings.hpp"
#include "nets.hpp"

class Batch {
    std::vector<std::unique_ptr<nfx::Stream>> streams_;
    size_t in_channels_;
    size_t out_channels_;
    size_t allocations_ = 0;

public:
    Batch(std::vector<std::unique_ptr<nfx::Stream>> streams, size_t in_channels, size_t out_channels);
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

    size_t in_channels() const { return in_channels_; }
    size_t out_channels() const { return out_channels_; }
    std::vector<nfx::Stream*> streams() const;

    // C++ allocations inside `process` so far; none if nothing counts them.
    std::optional<size_t> allocations() const;

    void reset();

    // Process a block: (streams, in channels, samples) to (streams, out channels, samples).
    // Releases the GIL, allocates nothing and takes no lock.
    void process(CpuArray<const float, 3> x, CpuArray<float, 3> y);
};
