// The Python module. `bindings/` has one file for each group of classes; the types are in _core.pyi.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "allocations.hpp"
#include "bindings/bindings.hpp"
#include "instruction_sets.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

void register_machine(nb::module_& m) {
    m.def("instruction_set", [] { return std::string(nfx::kernels().name); }, "Return the instruction set of streams.");
    m.def("instruction_sets", &nfx::instruction_sets, "Return the usable instruction sets, fastest first.");
    m.def(
        "fma_peak", [](const std::string& set) { return nfx::kernels(set).fma_peak(); }, "instruction_set"_a = "",
        "Measure for about 20 ms how many GFLOP/s of fused multiply-adds one core reaches.");
    m.def(
        "read_peak", [](size_t bytes, const std::string& set) { return nfx::kernels(set).read_peak(bytes); }, "bytes"_a,
        "instruction_set"_a = "", "Measure for about 100 ms how many GB/s one core reads from so much memory.");
    m.def("allocations", &nfx::allocations, "Return the C++ allocations of this thread so far, where a test counts.");
    m.def("blocks_held", &nfx::blocks_held, "Return the C++ memory blocks in use, where a test counts them.");
}

}  // namespace

NB_MODULE(_core, m) {
    m.doc() = "Compiled kernels of neural_fx.engines.cpu.";
    // nanobind would list what is alive when the interpreter ends: objects of globals, daemon threads and uncollected
    // cycles. The system frees all of it. Tests find real leaks by `blocks_held`.
    nb::set_leak_warnings(false);
    register_machine(m);
    register_descriptions(m);
    register_networks(m);
    register_training(m);
    register_timbre(m);
    register_voices(m);
    register_generators(m);
#if !defined(_WIN32)
    register_loop(m);
#endif
}
