// Networks that play sample by sample.
#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "allocations.hpp"
#include "bindings.hpp"
#include "denormals.hpp"
#include "generator_interfaces.hpp"
#include "instruction_sets.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using RandomState = std::array<uint64_t, 4>;

struct Generators {
    nfx::GeneratorSizes sizes;
    int slots;
    std::unique_ptr<nfx::Generator> native;
    size_t allocations = 0;
};

bool has_sizes(const nfx::GeneratorSizes& s) {
    const bool core = s.recurrent() ? s.units > 0 && s.embedded > 0 : s.residual > 0 && s.skip > 0;
    const bool output =
        s.classes() ? s.values.size() == size_t(s.outputs) && s.zero >= 0 && s.zero < s.outputs : s.outputs % 3 == 0;
    for (const int dilation : s.dilations)
        if (dilation < 1) return false;
    return core && output && s.hidden > 0 && s.outputs > 0 && s.frame > 0 && s.voice > 0 && s.hop > 0;
}

void make_generators(Generators* self, const nfx::GeneratorSizes& sizes, CpuArray<const float, 1> weights, int slots,
                     const std::string& instruction_set) {
    const nfx::Kernels& kernels = nfx::kernels(instruction_set);
    if (!has_sizes(sizes) || slots < 1 || weights.shape(0) != kernels.generator_weights(sizes))
        throw std::invalid_argument("Generators: sizes do not fit");
    new (self) Generators{sizes, slots, kernels.generator(sizes, weights.data(), slots)};
}

void check_slot(const Generators& self, int slot) {
    if (slot < 0 || slot >= self.slots) throw std::invalid_argument("Generators: there is no such slot");
}

void start(Generators& self, int slot, const RandomState& state) {
    check_slot(self, slot);
    self.native->start(slot, {state[0], state[1], state[2], state[3]});
}

void set_temperature(Generators& self, int slot, float temperature) {
    check_slot(self, slot);
    self.native->set_temperature(slot, temperature);
}

using Slots = CpuArray<const int, 1>;
using Frames = CpuArray<const float, 3>;
using Offsets = CpuArray<const int64_t, 1>;
using Cycles = CpuArray<const double, 2>;
using Voices = CpuArray<const float, 2>;

// Return the block that arrays describe.
nfx::GeneratorBlock make_block(const Generators& self, const Slots& slots, const Frames& frames, const Offsets& offsets,
                               const Cycles& cycles, const Voices& voices) {
    const size_t count = slots.shape(0);
    if (count > size_t(self.slots) || frames.shape(0) != count || frames.shape(1) < 1 ||
        frames.shape(2) != size_t(self.sizes.frame) || offsets.shape(0) != count || cycles.shape(0) != count ||
        voices.shape(0) != count || voices.shape(1) != size_t(self.sizes.voice))
        throw std::invalid_argument("Generators: arrays do not fit");
    for (size_t i = 0; i < count; ++i) {
        check_slot(self, slots.data()[i]);
        if (offsets.data()[i] < 0) throw std::invalid_argument("Generators: expected offsets of at least 0");
        for (size_t j = 0; j < i; ++j)
            if (slots.data()[j] == slots.data()[i]) throw std::invalid_argument("Generators: a slot stands twice");
    }
    nfx::GeneratorBlock block;
    block.slots = slots.data();
    block.count = int(count);
    block.samples = int(cycles.shape(1));
    block.frames = int(frames.shape(1));
    block.frame = frames.data();
    block.offset = offsets.data();
    block.cycles = cycles.data();
    block.voice = voices.data();
    return block;
}

// Run without the interpreter's lock, and count allocations.
template <class Run>
void run_native(Generators& self, Run run) {
    nb::gil_scoped_release release;
    nfx::NoDenormals guard;
    const size_t before = nfx::allocations().value_or(0);
    run(*self.native);
    self.allocations += nfx::allocations().value_or(0) - before;
}

void generate(Generators& self, Slots slots, Frames frames, Offsets offsets, Cycles cycles, Voices voices,
              CpuArray<float, 2> out) {
    const nfx::GeneratorBlock block = make_block(self, slots, frames, offsets, cycles, voices);
    if (out.shape(0) != slots.shape(0) || out.shape(1) != cycles.shape(1))
        throw std::invalid_argument("Generators.generate: expected (slots, samples) to write");
    run_native(self, [&](nfx::Generator& native) { native.generate(block, out.data()); });
}

void force(Generators& self, Slots slots, CpuArray<const float, 2> previous, Frames frames, Offsets offsets,
           Cycles cycles, Voices voices, CpuArray<float, 3> out) {
    const nfx::GeneratorBlock block = make_block(self, slots, frames, offsets, cycles, voices);
    const size_t samples = cycles.shape(1);
    if (previous.shape(0) != slots.shape(0) || previous.shape(1) != samples || out.shape(0) != slots.shape(0) ||
        out.shape(1) != samples || out.shape(2) != size_t(self.sizes.outputs))
        throw std::invalid_argument("Generators.force: expected (slots, samples) and (slots, samples, outputs)");
    const float top = float(self.sizes.outputs - 1);
    for (size_t i = 0; self.sizes.classes() && i < previous.size(); ++i)
        if (!(previous.data()[i] >= 0 && previous.data()[i] <= top))
            throw std::invalid_argument("Generators.force: a class is out of range");
    run_native(self, [&](nfx::Generator& native) { native.force(block, previous.data(), out.data()); });
}

std::optional<size_t> allocations(const Generators& self) {
    if (!nfx::allocations()) return std::nullopt;
    return self.allocations;
}

struct GeneratorWindow {
    nfx::GeneratorSizes sizes;
    size_t batch;
    size_t samples;
    size_t parameters;
    std::unique_ptr<nfx::GeneratorTape> tape;
};

void make_window(GeneratorWindow* self, const nfx::GeneratorSizes& sizes, int batch, int samples,
                 const std::string& instruction_set) {
    const nfx::Kernels& kernels = nfx::kernels(instruction_set);
    if (!has_sizes(sizes) || !sizes.classes() || batch < 1 || samples < 1)
        throw std::invalid_argument("GeneratorWindow: sizes do not fit");
    new (self) GeneratorWindow{sizes, size_t(batch), size_t(samples), kernels.generator_weights(sizes),
                               kernels.generator_tape(sizes, batch, samples)};
}

using Classes = CpuArray<const int, 2>;

void check_classes(const GeneratorWindow& self, const Classes& classes) {
    if (classes.shape(0) != self.batch || classes.shape(1) != self.samples)
        throw std::invalid_argument("GeneratorWindow: expected (batch, samples)");
    for (size_t i = 0; i < classes.size(); ++i)
        if (classes.data()[i] < 0 || classes.data()[i] >= self.sizes.outputs)
            throw std::invalid_argument("GeneratorWindow: a class is out of range");
}

template <class T>
void check_conditions(const GeneratorWindow& self, const CpuArray<T, 3>& conditions) {
    if (conditions.shape(0) != self.batch || conditions.shape(1) != self.samples ||
        conditions.shape(2) != size_t(self.sizes.conditions()))
        throw std::invalid_argument("GeneratorWindow: expected (batch, samples, conditions)");
}

void run_window(GeneratorWindow& self, CpuArray<const float, 1> parameters, Classes previous,
                CpuArray<const float, 3> conditions, Classes targets, CpuArray<const float, 2> weights,
                CpuArray<float, 2> losses, CpuArray<float, 1> gradients, CpuArray<float, 3> condition_gradients) {
    check_classes(self, previous);
    check_classes(self, targets);
    check_conditions(self, conditions);
    check_conditions(self, condition_gradients);
    const auto fits = [&](const auto& array) { return array.shape(0) == self.batch && array.shape(1) == self.samples; };
    if (!fits(weights) || !fits(losses) || parameters.shape(0) != self.parameters ||
        gradients.shape(0) != self.parameters)
        throw std::invalid_argument("GeneratorWindow: arrays do not fit");
    const nfx::TrainingWindow window{parameters.data(), previous.data(), conditions.data(), targets.data(),
                                     weights.data(),    losses.data(),   gradients.data(),  condition_gradients.data()};
    nb::gil_scoped_release release;
    nfx::NoDenormals guard;
    self.tape->run(window);
}

}  // namespace

void register_generators(nb::module_& m) {
    using Sizes = nfx::GeneratorSizes;
    nb::class_<Sizes>(m, "GeneratorSizes", "Sizes of a network that plays sample by sample.")
        .def(nb::init<>())
        .def_rw("dilations", &Sizes::dilations)
        .def_rw("residual", &Sizes::residual)
        .def_rw("skip", &Sizes::skip)
        .def_rw("units", &Sizes::units)
        .def_rw("embedded", &Sizes::embedded)
        .def_rw("hidden", &Sizes::hidden)
        .def_rw("outputs", &Sizes::outputs)
        .def_rw("frame", &Sizes::frame)
        .def_rw("harmonics", &Sizes::harmonics)
        .def_rw("voice", &Sizes::voice)
        .def_rw("hop", &Sizes::hop)
        .def_rw("values", &Sizes::values)
        .def_rw("zero", &Sizes::zero)
        .def_rw("peak", &Sizes::peak);
    nb::class_<Generators>(m, "Generators", "Voices of a network that plays sample by sample.")
        .def("__init__", &make_generators, "sizes"_a, "weights"_a, "slots"_a, "instruction_set"_a = "")
        .def_prop_ro("bytes_per_sample", [](const Generators& self) { return self.native->bytes_per_sample(); })
        .def_prop_ro("allocations", &allocations)
        .def("start", &start, "slot"_a, "random"_a)
        .def("set_temperature", &set_temperature, "slot"_a, "temperature"_a)
        .def("generate", &generate, "slots"_a, "frames"_a, "offsets"_a, "cycles"_a, "voices"_a, "out"_a)
        .def("force", &force, "slots"_a, "previous"_a, "frames"_a, "offsets"_a, "cycles"_a, "voices"_a, "out"_a);
    nb::class_<GeneratorWindow>(m, "GeneratorWindow", "A network that plays sample by sample, in training.")
        .def("__init__", &make_window, "sizes"_a, "batch"_a, "samples"_a, "instruction_set"_a = "")
        .def_ro("parameters", &GeneratorWindow::parameters)
        .def("run", &run_window, "parameters"_a, "previous"_a, "conditions"_a, "targets"_a, "weights"_a, "losses"_a,
             "gradients"_a, "condition_gradients"_a);
}
