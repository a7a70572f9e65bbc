// Training windows, with gradients by hand-written backward kernels.
#include <nanobind/nanobind.h>

#include <stdexcept>
#include <utility>

#include "denormals.hpp"
#include "instruction_sets.hpp"
#include "window.hpp"

namespace nb = nanobind;
using namespace nb::literals;

Window::Window(std::unique_ptr<nfx::Tape> tape, size_t in_channels, size_t length)
    : tape(std::move(tape)), in_channels(in_channels), length(length) {}

void Window::forward(CpuArray<const float, 1> parameters, CpuArray<const float, 2> x, CpuArray<float, 1> y) {
    if (parameters.shape(0) != this->parameters() || x.shape(0) != in_channels || x.shape(1) != length ||
        y.shape(0) != outputs())
        throw std::invalid_argument("forward: expected (parameters,), (inputs, length) and (outputs,) of this window");
    nb::gil_scoped_release release;
    nfx::NoDenormals guard;
    tape->forward(parameters.data(), x.data(), y.data());
}

void Window::backward(CpuArray<const float, 1> dy, CpuArray<float, 1> gradients) {
    if (dy.shape(0) != outputs() || gradients.shape(0) != parameters())
        throw std::invalid_argument("backward: expected (outputs,) and (parameters,) of this window");
    nb::gil_scoped_release release;
    nfx::NoDenormals guard;
    tape->backward(dy.data(), gradients.data());
}

Window* make_window(const nfx::WaveNet& net, int length, const std::string& instruction_set) {
    auto tape = nfx::kernels(instruction_set).tape(net, length);
    if (length < tape->receptive_field()) throw std::invalid_argument("window: shorter than the receptive field");
    return new Window(std::move(tape), net.in, length);
}

void register_training(nb::module_& m) {
    nb::class_<Window>(m, "Window", "A training window of a plain WaveNet (tanh, no gates, no FiLM).")
        .def_prop_ro("parameters", &Window::parameters)
        .def_prop_ro("outputs", &Window::outputs)
        .def("forward", &Window::forward, "parameters"_a, "x"_a, "y"_a)
        .def("backward", &Window::backward, "dy"_a, "gradients"_a);
}
