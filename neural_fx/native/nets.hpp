// Descriptions of networks, which Python fills in, and what the kernels make of them.
// Shapes are as in torch: weights are (out, in, taps), and the last tap is the present sample.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace nfx {

struct Conv {
    int out = 0, in = 0, taps = 1, dilation = 1;
    std::vector<float> weight;  // (out, in, taps)
    std::vector<float> bias;    // (out) or empty
};

enum class Act {
    tanh,
    tanh_fast,
    fasttanh,
    hardtanh,
    relu,
    leaky_relu,
    prelu,
    sigmoid,
    sigmoid_fast,
    silu,
    hardswish,
    leaky_hardtanh,
    softsign,
    linear
};

struct Activation {
    Act kind = Act::linear;
    // leaky_relu: slope. leaky_hardtanh: minimum, maximum, slopes below and above. prelu: the slope of each channel.
    std::vector<float> params;
};

enum class Gating { none, gated, blended };

struct Film {
    Conv conv;  // out == 0 if absent
    bool shift = true;
};

// Places of a FiLM in a layer, in the order of the file format.
enum Site {
    conv_pre,
    conv_post,
    mixin_pre,
    mixin_post,
    activation_pre,
    activation_post,
    residual_post,
    head_post,
    sites
};

struct Layer {
    Conv conv, mixin, residual, head;  // residual, head: out == 0 if absent
    Activation activation, secondary;
    Gating gating = Gating::none;
    std::vector<Film> films;  // empty, or one for each site
};

struct Array {
    Conv rechannel, head;
    std::vector<Layer> layers;
};

struct PostStage {
    Activation activation;
    Conv conv;
};

struct WaveNet {
    int in = 1;
    float head_scale = 1;
    std::vector<Array> arrays;
    std::vector<PostStage> post;
    std::vector<WaveNet> condition;  // none or one: computes the condition from the input

    int out() const { return post.empty() ? arrays.back().head.out : post.back().conv.out; }
};

// A fully connected layer, weight (out, in).
struct Dense {
    int out = 0, in = 0;
    std::vector<float> weight, bias;
};

// A knob that only sets the output gain: gains at evenly spaced rotations.
struct Level {
    int index = 0;
    std::vector<float> gains;
};

// A WaveNet whose weights follow knobs; inputs are the audio, then the knobs.
struct Knobbed {
    WaveNet net;
    std::vector<int> learned;
    std::vector<Dense> dense;
    std::vector<Level> levels;

    int knobs() const { return int(learned.size() + levels.size()); }
};

struct RecurrentLayer {
    int in = 0, hidden = 0;
    std::vector<float> w_ih, w_hh, b_ih, b_hh, h0, c0;  // rows by gate, as torch has them
};

struct Recurrent {
    bool lstm = true, skip = false, fast = false;
    float input_gain = 1, output_gain = 1;
    std::vector<RecurrentLayer> layers;
    std::vector<float> head;  // (hidden)
    float head_bias = 0;
};

// Convolutions, activations and scalings one after another.
struct Stage {
    Conv conv;                        // out == 0 if the stage has none
    std::vector<float> scale, shift;  // per channel, or empty
    Activation activation;
};

struct Sequential {
    int in = 1, out = 1;
    bool skip = false;
    float input_gain = 1, output_gain = 1;
    std::vector<Stage> stages;
};

// One stream of a network. `process` neither allocates nor locks.
struct Stream {
    virtual ~Stream() = default;
    virtual void reset() = 0;
    // in: in_channels rows of n samples, `in_stride` apart; out: out_channels rows.
    virtual void process(const float* in, size_t in_stride, float* out, size_t out_stride, int n) = 0;
};

// A training window of a network: forward, then backward.
//
// Weights are one flat list. For each array it has the rechannel, then conv, mixin, residual and head (if any) of each
// layer, then the head. Each convolution is its weight (out, in, taps), then its bias.
struct Tape {
    virtual ~Tape() = default;
    virtual size_t parameters() const = 0;
    virtual int receptive_field() const = 0;
    virtual void forward(const float* parameters, const float* x, float* y) = 0;
    virtual void backward(const float* dy, float* gradients) = 0;
};

using MakeTape = std::unique_ptr<Tape> (*)(const WaveNet&, int length);
using MakeWaveNet = std::unique_ptr<Stream> (*)(const WaveNet&);
using MakeKnobbed = std::unique_ptr<Stream> (*)(const Knobbed&);
using MakeSequential = std::unique_ptr<Stream> (*)(const Sequential&);
using MakeRecurrent = std::unique_ptr<Stream> (*)(const Recurrent&);

// Settings of the pitch tracker. It looks at `window` samples every `hop`, for periods of `first` to `lags` samples at
// `rate` Hz. A jump between candidates costs `jump` per octave, and `cap` octaves at most.
struct Pitch {
    int window, hop, first, lags, candidates;
    double rate, bias, jump, cap, memory;
};

struct Tracker {
    virtual ~Tracker() = default;
    // half: (count - 1) * hop + window samples. f0, confidence: (count). lags, clear: (count, candidates).
    virtual void process(const float* half, int count, double* f0, double* confidence, double* lags, double* clear) = 0;
};

struct TimbreConstants {
    float ratio, gate_low, gate_high, fade_low, fade_high, noise_power;
    std::vector<float> band_weights;
};

// The network of a timbre. Weights are one flat list, layer by layer, in the order of neural_fx.timbre.decoder.
struct Decoder {
    virtual ~Decoder() = default;
    virtual void decode(const float* inputs, int voices, int frames, float* state, float* tones, float* noise) = 0;
};

using MakeTracker = std::unique_ptr<Tracker> (*)(const Pitch&);
using MakeDecoder = std::unique_ptr<Decoder> (*)(int hidden, int harmonics, int bands, const TimbreConstants&,
                                                 const float* weights);
using FilteredNoise = void (*)(const float* basis, const float* magnitudes, const float* white, int hops, int bands,
                               int taps, int hop, float* tail, float* out);
using Harmonics = void (*)(const double* turns, const float* in, int hops, int hop, int count, float* out);

struct Transfer;
struct Notes;
struct VoiceModel;
struct VoiceSettings;
struct AnalysisSettings;
struct FitSettings;
struct NoteSettings;
struct PlayingHabits;
struct TransferKnobs;
struct NoteKnobs;
using MakeTransfer = std::unique_ptr<Transfer> (*)(const VoiceSettings&, const std::vector<VoiceModel>&,
                                                   const AnalysisSettings&, const FitSettings&, const PlayingHabits&,
                                                   const PlayingHabits&, const TransferKnobs&);
using MakeNotes = std::unique_ptr<Notes> (*)(const VoiceSettings&, const std::vector<VoiceModel>&, const NoteSettings&,
                                             const PlayingHabits&, const PlayingHabits&, const NoteKnobs&);

struct Generator;
struct GeneratorSizes;
struct GeneratorTape;
// Weights are one flat list, in the order of `weight_shapes` in neural_fx/networks/autoregressive/description.py,
// without the context stack and the voices.
using MakeGenerator = std::unique_ptr<Generator> (*)(const GeneratorSizes&, const float* weights, int slots);
using MakeGeneratorTape = std::unique_ptr<GeneratorTape> (*)(const GeneratorSizes&, int batch, int samples);
using CountGeneratorWeights = size_t (*)(const GeneratorSizes&);

struct Kernels {
    const char* name;
    MakeWaveNet wavenet;
    MakeKnobbed knobbed;
    MakeSequential sequential;
    MakeRecurrent recurrent;
    MakeTape tape;
    Harmonics harmonics, harmonics_adjoint;
    MakeTracker tracker;
    MakeDecoder decoder;
    FilteredNoise filtered_noise;
    MakeTransfer transfer;
    MakeNotes notes;
    MakeGenerator generator;
    CountGeneratorWeights generator_weights;
    MakeGeneratorTape generator_tape;
    double (*fma_peak)();               // GFLOP/s of independent fused multiply-adds on one core, for about 20 ms
    double (*read_peak)(size_t bytes);  // GB/s of reading so much memory again and again
};

}  // namespace nfx
