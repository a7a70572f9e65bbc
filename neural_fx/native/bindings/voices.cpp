// Voices that are computed in one call per block: timbre transfer and notes.
#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "denormals.hpp"
#include "instruction_sets.hpp"
#include "timbre_decoder.hpp"
#include "voice_interfaces.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

void expect(bool fits, const char* what) {
    if (!fits) throw std::invalid_argument(std::string(what) + ": sizes do not fit");
}

void make_model(nfx::VoiceModel* self, const TimbreDecoder& decoder, CpuArray<const float, 1> room) {
    new (self) nfx::VoiceModel{decoder.decoder, decoder.hidden, decoder.harmonics,
                               std::vector<float>(room.data(), room.data() + room.shape(0))};
}

using Habits = std::array<double, 9>;

nfx::PlayingHabits habits(const Habits& h) { return {h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8]}; }

void check(const nfx::VoiceSettings& s, const std::vector<nfx::VoiceModel>& models) {
    expect(s.voices >= 1 && s.hop >= 1 && s.bands >= 1 && s.taps >= 16 && s.taps % 16 == 0 && s.rate > 0,
           "VoiceSettings");
    expect(s.basis.size() == size_t(s.bands) * size_t(s.taps) && s.band_octaves.size() == size_t(s.bands),
           "VoiceSettings");
    if (models.empty() || models.size() > 2) throw std::invalid_argument("expected one or two models");
}

// -- timbre transfer ------------------------------------------------------------------------------------------------

struct TransferStream {
    std::unique_ptr<nfx::Transfer> transfer;
    size_t hop;
};

using TransferKnobs = std::array<double, 9>;

nfx::TransferKnobs transfer_knobs(const TransferKnobs& k) {
    return {k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7], k[8]};
}

void make_transfer(TransferStream* self, const nfx::VoiceSettings& settings, const std::vector<nfx::VoiceModel>& models,
                   const nfx::AnalysisSettings& analysis, const nfx::FitSettings& fit, const Habits& first,
                   const Habits& second, const TransferKnobs& knobs) {
    check(settings, models);
    const nfx::Pitch& pitch = analysis.pitch;
    const int window = analysis.window;
    expect(window >= 4 && (window & (window - 1)) == 0 && 2 * pitch.hop == settings.hop, "AnalysisSettings");
    expect(pitch.first >= 2 && pitch.lags > pitch.first && pitch.window >= 2 * pitch.lags && pitch.candidates >= 1,
           "AnalysisSettings");
    expect(analysis.hann.size() == size_t(window) && analysis.weights.size() == size_t(window / 2 + 1) &&
               !analysis.lowpass.empty() && 2 * size_t(pitch.window - 1) + analysis.lowpass.size() <= size_t(window),
           "AnalysisSettings");
    new (self) TransferStream{
        nfx::kernels().transfer(settings, models, analysis, fit, habits(first), habits(second), transfer_knobs(knobs)),
        size_t(settings.hop)};
}

size_t transfer(TransferStream& self, CpuArray<const float, 1> in, const TransferKnobs& knobs, CpuArray<float, 1> out) {
    expect(out.shape(0) >= in.shape(0) + 2 * self.hop, "Transfer.process");
    const nfx::TransferKnobs values = transfer_knobs(knobs);
    nb::gil_scoped_release release;
    nfx::NoDenormals guard;
    return size_t(self.transfer->process(in.data(), int(in.shape(0)), values, out.data()));
}

// -- notes ----------------------------------------------------------------------------------------------------------

struct NoteVoices {
    std::unique_ptr<nfx::Notes> notes;
    int voices;
};

using NoteKnobs = std::array<double, 6>;
using Touch = std::array<double, 8>;

nfx::NoteKnobs note_knobs(const NoteKnobs& k) { return {k[0], k[1], k[2], k[3], k[4], k[5]}; }

nfx::NoteTouch note_touch(const Touch& t, bool held) { return {t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], held}; }

void make_notes(NoteVoices* self, const nfx::VoiceSettings& settings, const std::vector<nfx::VoiceModel>& models,
                const nfx::NoteSettings& playing, const Habits& first, const Habits& second, const NoteKnobs& knobs) {
    check(settings, models);
    expect(playing.fade >= 0 && playing.fade <= settings.hop, "NoteSettings");
    new (self)
        NoteVoices{nfx::kernels().notes(settings, models, playing, habits(first), habits(second), note_knobs(knobs)),
                   settings.voices};
}

int known_voice(const NoteVoices& self, int voice) {
    if (voice < 0 || voice >= self.voices) throw std::out_of_range("there is no such voice");
    return voice;
}

void start_note(NoteVoices& self, int voice, const Touch& touch, bool held) {
    const int known = known_voice(self, voice);
    nb::gil_scoped_release release;
    nfx::NoDenormals guard;
    self.notes->start(known, note_touch(touch, held));
}

void change_note(NoteVoices& self, int voice, const Touch& touch, bool held) {
    self.notes->change(known_voice(self, voice), note_touch(touch, held));
}

void render_notes(NoteVoices& self, const NoteKnobs& knobs, CpuArray<float, 1> out) {
    const nfx::NoteKnobs values = note_knobs(knobs);
    nb::gil_scoped_release release;
    nfx::NoDenormals guard;
    self.notes->render(values, out.data(), int(out.shape(0)));
}

}  // namespace

void register_voices(nb::module_& m) {
    nb::class_<nfx::VoiceModel>(m, "VoiceModel", "A timbre: its network and the impulse response of its room.")
        .def("__init__", &make_model, "decoder"_a, "room"_a);
    nb::class_<nfx::VoiceSettings>(m, "VoiceSettings", "What all voices share.")
        .def(nb::init<>())
        .def_rw("voices", &nfx::VoiceSettings::voices)
        .def_rw("hop", &nfx::VoiceSettings::hop)
        .def_rw("bands", &nfx::VoiceSettings::bands)
        .def_rw("taps", &nfx::VoiceSettings::taps)
        .def_rw("rate", &nfx::VoiceSettings::rate)
        .def_rw("silent_db", &nfx::VoiceSettings::silent_db)
        .def_rw("full_db", &nfx::VoiceSettings::full_db)
        .def_rw("knob_samples", &nfx::VoiceSettings::knob_samples)
        .def_rw("knob_frames", &nfx::VoiceSettings::knob_frames)
        .def_rw("basis", &nfx::VoiceSettings::basis)
        .def_rw("band_octaves", &nfx::VoiceSettings::band_octaves)
        .def(
            "set_random",
            [](nfx::VoiceSettings& s, const std::array<uint64_t, 4>& state) {
                s.random = {state[0], state[1], state[2], state[3]};
            },
            "state"_a, "State and increment of numpy's PCG64, each as its upper and lower 64 bits.");
    nb::class_<nfx::AnalysisSettings>(m, "AnalysisSettings", "How pitch and loudness are measured.")
        .def(nb::init<>())
        .def_rw("window", &nfx::AnalysisSettings::window)
        .def_rw("lowpass", &nfx::AnalysisSettings::lowpass)
        .def_rw("hann", &nfx::AnalysisSettings::hann)
        .def_rw("weights", &nfx::AnalysisSettings::weights)
        .def_rw("silence_db", &nfx::AnalysisSettings::silence_db)
        .def_rw("clear_db", &nfx::AnalysisSettings::clear_db)
        .def(
            "set_pitch",
            [](nfx::AnalysisSettings& s, int window, int hop, int first, int lags, int candidates, double rate,
               double bias, double jump, double cap,
               double memory) { s.pitch = {window, hop, first, lags, candidates, rate, bias, jump, cap, memory}; },
            "Set what `Tracker` takes.");
    nb::class_<nfx::FitSettings>(m, "FitSettings", "How the input is fitted to a timbre's register and dynamics.")
        .def(nb::init<>())
        .def_rw("confident", &nfx::FitSettings::confident)
        .def_rw("audible_db", &nfx::FitSettings::audible_db)
        .def_rw("slack_octaves", &nfx::FitSettings::slack_octaves)
        .def_rw("rest", &nfx::FitSettings::rest)
        .def_rw("evidence", &nfx::FitSettings::evidence);
    nb::class_<nfx::NoteSettings>(m, "NoteSettings", "How notes begin and end.")
        .def(nb::init<>())
        .def_rw("confidence", &nfx::NoteSettings::confidence)
        .def_rw("silent_db", &nfx::NoteSettings::silent_db)
        .def_rw("vibrato_begins", &nfx::NoteSettings::vibrato_begins)
        .def_rw("vibrato_full", &nfx::NoteSettings::vibrato_full)
        .def_rw("slowest_attack", &nfx::NoteSettings::slowest_attack)
        .def_rw("slowest_release", &nfx::NoteSettings::slowest_release)
        .def_rw("fastest_attack", &nfx::NoteSettings::fastest_attack)
        .def_rw("least_vibrato", &nfx::NoteSettings::least_vibrato)
        .def_rw("fade", &nfx::NoteSettings::fade);
    nb::class_<TransferStream>(m, "Transfer", "One voice that follows the pitch and the loudness of its input.")
        .def("__init__", &make_transfer, "settings"_a, "models"_a, "analysis"_a, "fit"_a, "first"_a, "second"_a,
             "knobs"_a)
        .def("process", &transfer, "audio"_a, "knobs"_a, "out"_a, "Write to `out`, and return how many samples.");
    nb::class_<NoteVoices>(m, "Notes", "Voices that play notes.")
        .def("__init__", &make_notes, "settings"_a, "models"_a, "playing"_a, "first"_a, "second"_a, "knobs"_a)
        .def("start", &start_note, "voice"_a, "touch"_a, "held"_a)
        .def("change", &change_note, "voice"_a, "touch"_a, "held"_a)
        .def(
            "sounding", [](const NoteVoices& n, int voice) { return n.notes->sounding(known_voice(n, voice)); },
            "voice"_a)
        .def(
            "level", [](const NoteVoices& n, int voice) { return n.notes->level(known_voice(n, voice)); }, "voice"_a)
        .def("render", &render_notes, "knobs"_a, "out"_a);
}
