// Voices of latent instruments, which are computed in one call per block.
#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "bindings.hpp"
#include "denormals.hpp"
#include "instruction_sets.hpp"
#include "latent_interfaces.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

struct Network {
    nfx::LatentSettings settings;
    std::shared_ptr<nfx::LatentNetwork> network;
};

struct Voices {
    std::unique_ptr<nfx::LatentVoices> voices;
    int count;
    size_t timbre;
};

void expect(bool fits, const char* what) {
    if (!fits) throw std::invalid_argument(std::string(what) + ": sizes do not fit");
}

void check(const nfx::LatentSettings& s) {
    expect(s.voices >= 1 && s.hop >= 8 && s.hop % 8 == 0 && s.rate > 0, "LatentSettings");
    expect(s.timbre >= 1 && s.note >= 1 && s.frame >= 1 && s.bands >= 1, "LatentSettings");
    expect(s.start_turns.size() >= s.slot_ratios.size() && !s.start_turns.empty(), "LatentSettings");
    expect(s.release_step >= 1 && s.sparse_step >= 1 && s.steal_ticks >= 1 && s.most_fading >= 1, "LatentSettings");
    expect(s.window.size() == 4 * size_t(s.hop) && s.response.size() == (2 * size_t(s.hop) + 1) * size_t(s.bands),
           "LatentSettings");
}

// Return the number of weights of the decoder: each layer has a matrix and a bias.
size_t weights_of(const nfx::LatentSettings& s) {
    const auto layer = [](int inputs, size_t outputs) { return (size_t(inputs) + 1) * outputs; };
    const size_t note = size_t(s.note);
    const size_t frame = size_t(s.frame);
    return layer(s.note_features(), note) + layer(s.note, note) + layer(s.note, s.slot_ratios.size() + 1) +
           layer(s.note, frame) + 2 * layer(s.time_features(), frame) + layer(s.frame, frame) +
           layer(s.frame, size_t(s.frame_outputs()));
}

void make_network(Network* self, const nfx::LatentSettings& settings, CpuArray<const float, 1> weights) {
    check(settings);
    expect(weights.shape(0) == weights_of(settings), "LatentNetwork");
    new (self) Network{settings, nfx::kernels().latent_network(settings, weights.data())};
}

void make_voices(Voices* self, const Network& network, const std::array<uint64_t, 4>& random) {
    nfx::LatentSettings settings = network.settings;
    settings.random = {random[0], random[1], random[2], random[3]};
    new (self)
        Voices{nfx::kernels().latent_voices(settings, network.network), settings.voices, size_t(settings.timbre)};
}

int known_voice(const Voices& self, int voice) {
    if (voice < 0 || voice >= self.count) throw std::out_of_range("there is no such voice");
    return voice;
}

void start(Voices& self, int voice, const std::array<double, 3>& touch, bool held) {
    const int known = known_voice(self, voice);
    nb::gil_scoped_release release;
    nfx::NoDenormals guard;
    self.voices->start(known, {touch[0], touch[1], touch[2], held});
}

void change(Voices& self, int voice, const std::array<double, 3>& touch, bool held) {
    self.voices->change(known_voice(self, voice), {touch[0], touch[1], touch[2], held});
}

void render(Voices& self, CpuArray<const double, 2> controls, CpuArray<float, 1> out) {
    const int count = int(out.shape(0));
    expect(controls.shape(0) == size_t(self.voices->ticks(count)) && controls.shape(1) == self.timbre + 1,
           "LatentVoices.render");
    nb::gil_scoped_release release;
    nfx::NoDenormals guard;
    self.voices->render(controls.data(), out.data(), count);
}

}  // namespace

void register_latent(nb::module_& m) {
    using Settings = nfx::LatentSettings;
    nb::class_<Settings>(m, "LatentSettings", "Sizes and constants of a latent instrument.")
        .def(nb::init<>())
        .def_rw("voices", &Settings::voices)
        .def_rw("hop", &Settings::hop)
        .def_rw("rate", &Settings::rate)
        .def_rw("timbre", &Settings::timbre)
        .def_rw("note", &Settings::note)
        .def_rw("frame", &Settings::frame)
        .def_rw("bands", &Settings::bands)
        .def_rw("pitches", &Settings::pitches)
        .def_rw("velocities", &Settings::velocities)
        .def_rw("onsets", &Settings::onsets)
        .def_rw("releases", &Settings::releases)
        .def_rw("pitch_width", &Settings::pitch_width)
        .def_rw("velocity_width", &Settings::velocity_width)
        .def_rw("place_width", &Settings::place_width)
        .def_rw("ticks_per_second", &Settings::ticks_per_second)
        .def_rw("level_db", &Settings::level_db)
        .def_rw("middle_db", &Settings::middle_db)
        .def_rw("cents", &Settings::cents)
        .def_rw("slot_cents", &Settings::slot_cents)
        .def_rw("least_inharmonicity", &Settings::least_inharmonicity)
        .def_rw("noise_db", &Settings::noise_db)
        .def_rw("audible_db", &Settings::audible_db)
        .def_rw("silent_db", &Settings::silent_db)
        .def_rw("highest_hz", &Settings::highest_hz)
        .def_rw("slot_ratios", &Settings::slot_ratios)
        .def_rw("start_turns", &Settings::start_turns)
        .def_rw("onset_ticks", &Settings::onset_ticks)
        .def_rw("release_ticks", &Settings::release_ticks)
        .def_rw("release_step", &Settings::release_step)
        .def_rw("sparse_step", &Settings::sparse_step)
        .def_rw("trained_ticks", &Settings::trained_ticks)
        .def_rw("slope_ticks", &Settings::slope_ticks)
        .def_rw("longest_release", &Settings::longest_release)
        .def_rw("steal_ticks", &Settings::steal_ticks)
        .def_rw("most_fading", &Settings::most_fading)
        .def_rw("response", &Settings::response)
        .def_rw("window", &Settings::window)
        .def_rw("noise_scale", &Settings::noise_scale);
    nb::class_<Network>(m, "LatentNetwork", "The decoder of a latent instrument, which any voices may share.")
        .def("__init__", &make_network, "settings"_a, "weights"_a);
    nb::class_<Voices>(m, "LatentVoices", "Voices of a latent instrument.")
        .def("__init__", &make_voices, "network"_a, "random"_a)
        .def("start", &start, "voice"_a, "touch"_a, "held"_a)
        .def("change", &change, "voice"_a, "touch"_a, "held"_a)
        .def(
            "sounding", [](const Voices& v, int voice) { return v.voices->sounding(known_voice(v, voice)); }, "voice"_a)
        .def(
            "level", [](const Voices& v, int voice) { return v.voices->level(known_voice(v, voice)); }, "voice"_a)
        .def(
            "ticks", [](const Voices& v, int count) { return v.voices->ticks(count); }, "count"_a)
        .def("render", &render, "controls"_a, "out"_a);
}
