// A training window of a WaveNet: forward, then backward.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "bindings.hpp"
#include "nets.hpp"

class Window {
    std::unique_ptr<nfx::Tape> tape;
    size_t in_channels;
    size_t length;

public:
    Window(std::unique_ptr<nfx::Tape> tape, size_t in_channels, size_t length);
    Window(const Window&) = delete;
    Window& operator=(const Window&) = delete;

    size_t parameters() const { return tape->parameters(); }
    // Only samples whose whole receptive field lies in the window are output.
    size_t outputs() const { return length - tape->receptive_field() + 1; }

    void forward(CpuArray<const float, 1> parameters, CpuArray<const float, 2> x, CpuArray<float, 1> y);
    void backward(CpuArray<const float, 1> dy, CpuArray<float, 1> gradients);
};

// Make a window of `length` samples. Throws std::invalid_argument if the receptive field is longer.
Window* make_window(const nfx::WaveNet& net, int length, const std::string& instruction_set);
