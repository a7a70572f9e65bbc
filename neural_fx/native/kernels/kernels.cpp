// All kernels of one instruction set. This file is compiled once for each, and NFX_ARCH is its name.
#include <algorithm>
#include <utility>

#include "autoregressive/gated_layers.hpp"
#include "autoregressive/gated_units.hpp"
#include "autoregressive/generator.hpp"
#include "autoregressive/layers_tape.hpp"
#include "autoregressive/units_tape.hpp"
#include "decoder.hpp"
#include "gradient.hpp"
#include "harmonic.hpp"
#include "knobbed.hpp"
#include "noise.hpp"
#include "peaks.hpp"
#include "pitch.hpp"
#include "recurrent.hpp"
#include "sequential.hpp"
#include "voices/notes.hpp"
#include "voices/transfer.hpp"
#include "wavenet.hpp"

#define NFX_STRING2(x) #x
#define NFX_STRING(x) NFX_STRING2(x)

namespace NFX_ARCH {
static std::unique_ptr<nfx::Stream> wavenet(const nfx::WaveNet& net) { return std::make_unique<WaveNetStream>(net); }
static std::unique_ptr<nfx::Stream> knobbed(const nfx::Knobbed& net) { return std::make_unique<KnobbedStream>(net); }
static std::unique_ptr<nfx::Stream> sequential(const nfx::Sequential& net) {
    return std::make_unique<SequentialStream>(net);
}
static std::unique_ptr<nfx::Stream> recurrent(const nfx::Recurrent& net) {
    return std::make_unique<RecurrentStream>(net);
}
static std::unique_ptr<nfx::Tape> tape(const nfx::WaveNet& net, int length) {
    return std::make_unique<WaveNetTape>(net, length);
}
static std::unique_ptr<nfx::Tracker> tracker(const nfx::Pitch& settings) { return std::make_unique<Tracker>(settings); }
static std::unique_ptr<nfx::Decoder> decoder(int hidden, int harmonics, int bands, const nfx::TimbreConstants& with,
                                             const float* weights) {
    return std::make_unique<Decoder>(hidden, harmonics, bands, with, weights);
}
static std::unique_ptr<nfx::Transfer> transfer(const nfx::VoiceSettings& settings,
                                               const std::vector<nfx::VoiceModel>& models,
                                               const nfx::AnalysisSettings& analysis, const nfx::FitSettings& fit,
                                               const nfx::PlayingHabits& first, const nfx::PlayingHabits& second,
                                               const nfx::TransferKnobs& knobs) {
    return std::make_unique<Transfer>(settings, models, analysis, fit, first, second, knobs);
}
static std::unique_ptr<nfx::Notes> notes(const nfx::VoiceSettings& settings, const std::vector<nfx::VoiceModel>& models,
                                         const nfx::NoteSettings& playing, const nfx::PlayingHabits& first,
                                         const nfx::PlayingHabits& second, const nfx::NoteKnobs& knobs) {
    return std::make_unique<Notes>(settings, playing, models, first, second, knobs);
}
static std::unique_ptr<nfx::Generator> generator(const nfx::GeneratorSizes& sizes, const float* weights, int slots) {
    if (sizes.recurrent()) return std::make_unique<GeneratorOf<GatedUnits>>(sizes, weights, slots);
    return std::make_unique<GeneratorOf<GatedLayers>>(sizes, weights, slots);
}
static size_t generator_weights(const nfx::GeneratorSizes& sizes) {
    return sizes.recurrent() ? GeneratorOf<GatedUnits>::weights(sizes) : GeneratorOf<GatedLayers>::weights(sizes);
}
static std::unique_ptr<nfx::GeneratorTape> generator_tape(const nfx::GeneratorSizes& sizes, int batch, int samples) {
    if (sizes.recurrent()) return std::make_unique<GatedUnitsTape>(sizes, batch, samples);
    return std::make_unique<GatedLayersTape>(sizes, batch, samples);
}
extern const nfx::Kernels kernels;
const nfx::Kernels kernels{
    NFX_STRING(NFX_ARCH), &wavenet,        &knobbed,  &sequential,     &recurrent, &tape,  &harmonics,
    &harmonics_adjoint,   &tracker,        &decoder,  &filtered_noise, &transfer,  &notes, &generator,
    &generator_weights,   &generator_tape, &fma_peak, &read_peak};
}  // namespace NFX_ARCH
