#include "batch.hpp"

#include <stdexcept>
#include <utility>

#include "allocations.hpp"
#include "denormals.hpp"

Batch::Batch(std::vector<std::unique_ptr<nfx::Stream>> streams, size_t in_channels, size_t out_channels)
    : streams_(std::move(streams)), in_channels_(in_channels), out_channels_(out_channels) {}

std::vector<nfx::Stream*> Batch::streams() const {
    std::vector<nfx::Stream*> found;
    for (const auto& stream : streams_) found.push_back(stream.get());
    return found;
}

std::optional<size_t> Batch::allocations() const {
    if (!nfx::allocations()) return std::nullopt;
    return allocations_;
}

void Batch::reset() {
    for (auto& stream : streams_) stream->reset();
}

void Batch::process(CpuArray<const float, 3> x, CpuArray<float, 3> y) {
    const size_t samples = x.shape(2);
    if (x.shape(0) != streams_.size() || y.shape(0) != streams_.size() || x.shape(1) != in_channels_ ||
        y.shape(1) != out_channels_ || y.shape(2) != samples)
        throw std::invalid_argument("process: expected (streams, channels, samples) arrays of this batch");
    const float* in = x.data();
    float* out = y.data();
    nanobind::gil_scoped_release release;
    nfx::NoDenormals guard;
    const size_t before = nfx::allocations().value_or(0);
    for (auto& stream : streams_) {
        stream->process(in, samples, out, samples, int(samples));
        in += in_channels_ * samples;
        out += out_channels_ * samples;
    }
    allocations_ += nfx::allocations().value_or(0) - before;
}
