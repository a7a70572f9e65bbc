// Timbres: pitch tracking, the decoder, and the synthesis of harmonics and noise.
#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "denormals.hpp"
#include "instruction_sets.hpp"
#include "nets.hpp"
#include "timbre_decoder.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

// -- harmonics ------------------------------------------------------------------------------------------------------

// Check the shapes of phases (rows, hops * hop), amplitudes (rows, hops + 1, count) and audio (rows, hops * hop).
void check_bank(const CpuArray<const double, 2>& turns, size_t rows, size_t frames, size_t audio_rows, size_t samples) {
    if (frames < 2 || turns.shape(0) != rows || audio_rows != rows || turns.shape(1) != samples ||
        samples % (frames - 1))
        throw std::invalid_argument(
            "harmonics: expected (rows, hops * hop), (rows, hops + 1, count) and (rows, hops * hop)");
}

// Run a bank of harmonics for each row, from amplitudes to audio or back.
void run_bank(nfx::Harmonics run, const CpuArray<const double, 2>& turns, const float* in, size_t in_row, float* out,
              size_t out_row, size_t frames, size_t count) {
    const size_t hops = frames - 1;
    const size_t samples = turns.shape(1);
    nb::gil_scoped_release release;
    nfx::NoDenormals guard;
    for (size_t row = 0; row < turns.shape(0); ++row)
        run(turns.data() + row * samples, in + row * in_row, int(hops), int(samples / hops), int(count),
            out + row * out_row);
}

void harmonics(CpuArray<const double, 2> turns, CpuArray<const float, 3> amplitudes, CpuArray<float, 2> out) {
    const size_t frames = amplitudes.shape(1);
    const size_t count = amplitudes.shape(2);
    check_bank(turns, amplitudes.shape(0), frames, out.shape(0), out.shape(1));
    run_bank(nfx::kernels().harmonics, turns, amplitudes.data(), frames * count, out.data(), out.shape(1), frames,
             count);
}

void harmonics_adjoint(CpuArray<const double, 2> turns, CpuArray<const float, 2> audio, CpuArray<float, 3> gradients) {
    const size_t frames = gradients.shape(1);
    const size_t count = gradients.shape(2);
    check_bank(turns, gradients.shape(0), frames, audio.shape(0), audio.shape(1));
    run_bank(nfx::kernels().harmonics_adjoint, turns, audio.data(), audio.shape(1), gradients.data(), frames * count,
             frames, count);
}

// -- pitch ----------------------------------------------------------------------------------------------------------

struct PitchTracker {
    nfx::Pitch settings;
    std::unique_ptr<nfx::Tracker> tracker;
};

void make_tracker(PitchTracker* self, int window, int hop, int first, int lags, int candidates, double rate,
                  double bias, double jump, double cap, double memory) {
    if (first < 2 || lags <= first || window < 2 * lags || hop < 1 || candidates < 1)
        throw std::invalid_argument("Tracker: sizes do not fit");
    new (self) PitchTracker{{window, hop, first, lags, candidates, rate, bias, jump, cap, memory}, nullptr};
    self->tracker = nfx::kernels().tracker(self->settings);
}

void track(PitchTracker& self, CpuArray<const float, 1> half, CpuArray<double, 1> f0, CpuArray<double, 1> confidence,
           CpuArray<double, 2> lags, CpuArray<double, 2> clear) {
    const size_t frames = f0.shape(0);
    const size_t candidates = size_t(self.settings.candidates);
    if (confidence.shape(0) != frames || lags.shape(0) != frames || clear.shape(0) != frames ||
        lags.shape(1) != candidates || clear.shape(1) != candidates ||
        (frames && half.shape(0) < (frames - 1) * self.settings.hop + self.settings.window))
        throw std::invalid_argument("Tracker.process: sizes do not fit");
    nb::gil_scoped_release release;
    self.tracker->process(half.data(), int(frames), f0.data(), confidence.data(), lags.data(), clear.data());
}

// -- decoder --------------------------------------------------------------------------------------------------------

// Return the number of weights: two input MLPs, a GRU, an output MLP and a linear head.
size_t decoder_weights(int hidden, int harmonics, int bands) {
    const size_t h = size_t(hidden);
    return 15 * h * h + 27 * h + (1 + size_t(harmonics) + size_t(bands)) * (h + 1);
}

void make_decoder(TimbreDecoder* self, int hidden, int harmonics, int bands, CpuArray<const float, 1> weights,
                  float ratio, float gate_low, float gate_high, float fade_low, float fade_high, float noise_power,
                  std::vector<float> band_weights) {
    if (hidden < 1 || harmonics < 1 || bands < 1 || band_weights.size() != size_t(bands) ||
        weights.shape(0) != decoder_weights(hidden, harmonics, bands))
        throw std::invalid_argument("Decoder: sizes do not fit");
    const nfx::TimbreConstants constants{
        ratio, gate_low, gate_high, fade_low, fade_high, noise_power, std::move(band_weights)};
    auto decoder = nfx::kernels().decoder(hidden, harmonics, bands, constants, weights.data());
    new (self) TimbreDecoder{hidden, harmonics, bands, std::move(decoder)};
}

void decode(TimbreDecoder& self, CpuArray<const float, 3> inputs, CpuArray<float, 2> state, CpuArray<float, 3> tones,
            CpuArray<float, 3> noise) {
    const size_t voices = inputs.shape(0);
    const size_t frames = inputs.shape(1);
    if (inputs.shape(2) != 3 || state.shape(0) != voices || state.shape(1) != size_t(self.hidden) ||
        tones.shape(0) != voices || tones.shape(1) != frames || tones.shape(2) != size_t(self.harmonics) ||
        noise.shape(0) != voices || noise.shape(1) != frames || noise.shape(2) != size_t(self.bands))
        throw std::invalid_argument("Decoder.decode: sizes do not fit");
    nb::gil_scoped_release release;
    nfx::NoDenormals guard;
    self.decoder->decode(inputs.data(), int(voices), int(frames), state.data(), tones.data(), noise.data());
}

// -- noise ----------------------------------------------------------------------------------------------------------

void filtered_noise(CpuArray<const float, 2> basis, CpuArray<const float, 3> magnitudes, CpuArray<const float, 3> white,
                    CpuArray<float, 2> tail, CpuArray<float, 3> out) {
    const size_t voices = magnitudes.shape(0);
    const size_t hops = magnitudes.shape(1);
    const size_t bands = magnitudes.shape(2);
    const size_t hop = white.shape(2);
    const size_t taps = basis.shape(1);
    if (basis.shape(0) != bands || white.shape(0) != voices || white.shape(1) != hops || tail.shape(0) != voices ||
        tail.shape(1) != taps || out.shape(0) != voices || out.shape(1) != hops || out.shape(2) != hop || hop % 16 ||
        taps % 16)
        throw std::invalid_argument("filtered_noise: sizes do not fit");
    nb::gil_scoped_release release;
    nfx::NoDenormals guard;
    const nfx::FilteredNoise run = nfx::kernels().filtered_noise;
    for (size_t voice = 0; voice < voices; ++voice)
        run(basis.data(), magnitudes.data() + voice * hops * bands, white.data() + voice * hops * hop, int(hops),
            int(bands), int(taps), int(hop), tail.data() + voice * taps, out.data() + voice * hops * hop);
}

}  // namespace

void register_timbre(nb::module_& m) {
    m.def("harmonics", &harmonics, "turns"_a, "amplitudes"_a, "out"_a,
          "Sums of sines: phases in turns, amplitudes by frame, audio to write.");
    m.def("harmonics_adjoint", &harmonics_adjoint, "turns"_a, "audio"_a, "gradients"_a,
          "The gradient of the amplitudes, from the gradient of the audio.");
    nb::class_<PitchTracker>(m, "Tracker", "Pitch of a stream at half its rate.")
        .def("__init__", &make_tracker)
        .def("process", &track);
    nb::class_<TimbreDecoder>(m, "Decoder", "The network of a timbre.")
        .def("__init__", &make_decoder)
        .def("decode", &decode);
    m.def("filtered_noise", &filtered_noise);
}
