// Networks, and the streams that play them.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "batch.hpp"
#include "bindings.hpp"
#include "instruction_sets.hpp"
#include "nets.hpp"
#include "window.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class Net, class MakeStream>
Batch* make_batch(const Net& net, MakeStream make_stream, int count, size_t in_channels, size_t out_channels) {
    std::vector<std::unique_ptr<nfx::Stream>> streams;
    for (int i = 0; i < count; ++i) streams.push_back(make_stream(net));
    return new Batch(std::move(streams), in_channels, out_channels);
}

Batch* wavenet_batch(const nfx::WaveNet& net, int count, const std::string& set) {
    return make_batch(net, nfx::kernels(set).wavenet, count, net.in, net.out());
}

Batch* knobbed_batch(const nfx::Knobbed& net, int count, const std::string& set) {
    return make_batch(net, nfx::kernels(set).knobbed, count, net.net.in + net.knobs(), net.net.out());
}

Batch* sequential_batch(const nfx::Sequential& net, int count, const std::string& set) {
    return make_batch(net, nfx::kernels(set).sequential, count, net.in, net.out);
}

Batch* recurrent_batch(const nfx::Recurrent& net, int count, const std::string& set) {
    return make_batch(net, nfx::kernels(set).recurrent, count, net.layers[0].in, 1);
}

void add_dense(nfx::Knobbed& net, int out, int in, std::vector<float> weight, std::vector<float> bias) {
    net.dense.push_back({out, in, std::move(weight), std::move(bias)});
}

void add_level(nfx::Knobbed& net, int index, std::vector<float> gains) {
    net.levels.push_back({index, std::move(gains)});
}

void register_wavenets(nb::module_& m) {
    nb::class_<nfx::WaveNet>(m, "WaveNet")
        .def(nb::init<>())
        .def_rw("in_", &nfx::WaveNet::in)
        .def_rw("head_scale", &nfx::WaveNet::head_scale)
        .def_rw("arrays", &nfx::WaveNet::arrays)
        .def_rw("post", &nfx::WaveNet::post)
        .def_rw("condition", &nfx::WaveNet::condition)
        .def("batch", &wavenet_batch, "count"_a, "instruction_set"_a = "", nb::rv_policy::take_ownership)
        .def("window", &make_window, "length"_a, "instruction_set"_a = "", nb::rv_policy::take_ownership);
    nb::class_<nfx::Knobbed>(m, "Knobbed")
        .def(nb::init<>())
        .def_rw("net", &nfx::Knobbed::net)
        .def_rw("learned", &nfx::Knobbed::learned)
        .def("add_dense", &add_dense)
        .def("add_level", &add_level)
        .def("batch", &knobbed_batch, "count"_a, "instruction_set"_a = "", nb::rv_policy::take_ownership);
}

void register_sequential(nb::module_& m) {
    nb::class_<nfx::Sequential>(m, "Sequential")
        .def(nb::init<>())
        .def_rw("in_", &nfx::Sequential::in)
        .def_rw("out", &nfx::Sequential::out)
        .def_rw("skip", &nfx::Sequential::skip)
        .def_rw("input_gain", &nfx::Sequential::input_gain)
        .def_rw("output_gain", &nfx::Sequential::output_gain)
        .def_rw("stages", &nfx::Sequential::stages)
        .def("batch", &sequential_batch, "count"_a, "instruction_set"_a = "", nb::rv_policy::take_ownership);
}

void register_recurrent(nb::module_& m) {
    nb::class_<nfx::Recurrent>(m, "Recurrent")
        .def(nb::init<>())
        .def_rw("lstm", &nfx::Recurrent::lstm)
        .def_rw("skip", &nfx::Recurrent::skip)
        .def_rw("fast", &nfx::Recurrent::fast)
        .def_rw("input_gain", &nfx::Recurrent::input_gain)
        .def_rw("output_gain", &nfx::Recurrent::output_gain)
        .def_rw("layers", &nfx::Recurrent::layers)
        .def_rw("head", &nfx::Recurrent::head)
        .def_rw("head_bias", &nfx::Recurrent::head_bias)
        .def("batch", &recurrent_batch, "count"_a, "instruction_set"_a = "", nb::rv_policy::take_ownership);
}

}  // namespace

void register_networks(nb::module_& m) {
    register_wavenets(m);
    register_sequential(m);
    register_recurrent(m);
    nb::class_<Batch>(m, "Batch", "Streams of one network.")
        .def("reset", &Batch::reset)
        .def_prop_ro("allocations", &Batch::allocations, "C++ allocations inside `process`, where a test counts them.")
        .def("process", &Batch::process, "x"_a, "y"_a,
             "(streams, in, n) float32 into (streams, out, n), without the GIL.");
}
