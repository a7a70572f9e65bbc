// Plain data that describes networks. `formats` fills it in, and the kernels read it.
#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "nets.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

void make_conv(nfx::Conv* conv, int out, int in, int taps, int dilation, std::vector<float> weight,
               std::vector<float> bias) {
    if (weight.size() != size_t(out) * in * taps || (!bias.empty() && bias.size() != size_t(out)))
        throw std::invalid_argument("Conv: sizes do not fit");
    new (conv) nfx::Conv{out, in, taps, dilation, std::move(weight), std::move(bias)};
}

void make_activation(nfx::Activation* activation, nfx::Act kind, std::vector<float> params) {
    new (activation) nfx::Activation{kind, std::move(params)};
}

void make_film(nfx::Film* film, nfx::Conv conv, bool shift) { new (film) nfx::Film{std::move(conv), shift}; }

void register_kinds(nb::module_& m) {
    nb::enum_<nfx::Act>(m, "Act")
        .value("tanh", nfx::Act::tanh)
        .value("tanh_fast", nfx::Act::tanh_fast)
        .value("sigmoid_fast", nfx::Act::sigmoid_fast)
        .value("fasttanh", nfx::Act::fasttanh)
        .value("hardtanh", nfx::Act::hardtanh)
        .value("relu", nfx::Act::relu)
        .value("leaky_relu", nfx::Act::leaky_relu)
        .value("prelu", nfx::Act::prelu)
        .value("sigmoid", nfx::Act::sigmoid)
        .value("silu", nfx::Act::silu)
        .value("hardswish", nfx::Act::hardswish)
        .value("leaky_hardtanh", nfx::Act::leaky_hardtanh)
        .value("softsign", nfx::Act::softsign)
        .value("linear", nfx::Act::linear);
    nb::enum_<nfx::Gating>(m, "Gating")
        .value("none", nfx::Gating::none)
        .value("gated", nfx::Gating::gated)
        .value("blended", nfx::Gating::blended);
}

// Parts that several kinds of networks are made of.
void register_parts(nb::module_& m) {
    nb::class_<nfx::Conv>(m, "Conv").def("__init__", &make_conv, "out"_a, "in_"_a, "taps"_a, "dilation"_a, "weight"_a,
                                         "bias"_a);
    nb::class_<nfx::Activation>(m, "Activation").def("__init__", &make_activation);
    nb::class_<nfx::Film>(m, "Film").def("__init__", &make_film);
    nb::class_<nfx::Stage>(m, "Stage")
        .def(nb::init<>())
        .def_rw("conv", &nfx::Stage::conv)
        .def_rw("scale", &nfx::Stage::scale)
        .def_rw("shift", &nfx::Stage::shift)
        .def_rw("activation", &nfx::Stage::activation);
    nb::class_<nfx::RecurrentLayer>(m, "RecurrentLayer")
        .def(nb::init<>())
        .def_rw("in_", &nfx::RecurrentLayer::in)
        .def_rw("hidden", &nfx::RecurrentLayer::hidden)
        .def_rw("w_ih", &nfx::RecurrentLayer::w_ih)
        .def_rw("w_hh", &nfx::RecurrentLayer::w_hh)
        .def_rw("b_ih", &nfx::RecurrentLayer::b_ih)
        .def_rw("b_hh", &nfx::RecurrentLayer::b_hh)
        .def_rw("h0", &nfx::RecurrentLayer::h0)
        .def_rw("c0", &nfx::RecurrentLayer::c0);
}

// Parts of a WaveNet.
void register_wavenet_parts(nb::module_& m) {
    nb::class_<nfx::Layer>(m, "Layer")
        .def(nb::init<>())
        .def_rw("conv", &nfx::Layer::conv)
        .def_rw("mixin", &nfx::Layer::mixin)
        .def_rw("residual", &nfx::Layer::residual)
        .def_rw("head", &nfx::Layer::head)
        .def_rw("activation", &nfx::Layer::activation)
        .def_rw("secondary", &nfx::Layer::secondary)
        .def_rw("gating", &nfx::Layer::gating)
        .def_rw("films", &nfx::Layer::films);
    nb::class_<nfx::PostStage>(m, "PostStage")
        .def(nb::init<>())
        .def_rw("activation", &nfx::PostStage::activation)
        .def_rw("conv", &nfx::PostStage::conv);
    nb::class_<nfx::Array>(m, "Array")
        .def(nb::init<>())
        .def_rw("rechannel", &nfx::Array::rechannel)
        .def_rw("head", &nfx::Array::head)
        .def_rw("layers", &nfx::Array::layers);
}

}  // namespace

void register_descriptions(nb::module_& m) {
    register_kinds(m);
    register_parts(m);
    register_wavenet_parts(m);
}
