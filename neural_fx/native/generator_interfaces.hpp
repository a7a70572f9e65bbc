// What Python gives to the networks that play sample by sample, and what they can do.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "voice_interfaces.hpp"

namespace nfx {

// The sizes of a WaveNet or of a recurrent network. `neural_fx/networks/autoregressive/description.py` explains them.
struct GeneratorSizes {
    std::vector<int> dilations;  // of a WaveNet's layers; empty: a recurrent network
    int residual = 0;            // channels of a WaveNet
    int skip = 0;
    int units = 0;  // of a recurrent network
    int embedded = 0;
    int hidden = 0;
    int outputs = 0;
    int frame = 0;  // numbers of a frame of conditions
    std::vector<int> harmonics;
    int voice = 0;  // numbers that say which instrument plays
    int hop = 0;    // samples between frames
    // What is played for each class. If empty, outputs are logits, means and logarithms of scales of logistics.
    std::vector<float> values;
    int zero = 0;  // class of silence
    float peak = 1;

    bool recurrent() const { return dilations.empty(); }
    bool classes() const { return !values.empty(); }
    int phases() const { return 2 * int(harmonics.size()); }
    int conditions() const { return frame + phases() + voice; }
    int front_rows() const { return classes() ? outputs : 2; }
};

// A block of some voices. Arrays have a row for each voice, without gaps.
struct GeneratorBlock {
    const int* slots = nullptr;  // which voice a row is
    int count = 0;
    int samples = 0;
    int frames = 0;
    const float* frame = nullptr;     // (count, frames, frame); the last one stays
    const int64_t* offset = nullptr;  // (count), samples from the first frame to the start of the block
    const double* cycles = nullptr;   // (count, samples), phase of the pitch
    const float* voice = nullptr;     // (count, voice)
};

// Voices of one network. Only the constructor allocates.
struct Generator {
    virtual ~Generator() = default;
    // Begin a new stream in a slot.
    virtual void start(int slot, const RandomState& random) = 0;
    // Divide the logits of a slot's draws.
    virtual void set_temperature(int slot, float temperature) = 0;
    // out: (count, samples) at unit level.
    virtual void generate(const GeneratorBlock& block, float* out) = 0;
    // previous: (count, samples), the sample before each sample. out: (count, samples, outputs), the distributions.
    virtual void force(const GeneratorBlock& block, const float* previous, float* out) = 0;
    // Return the bytes of weights that one sample reads.
    virtual size_t bytes_per_sample() const = 0;
};

// A batch of samples to learn from. Arrays have a row for each item, without gaps.
struct TrainingWindow {
    const float* parameters = nullptr;     // in the order of `Generator`
    const int* previous = nullptr;         // (batch, samples), the class before each sample
    const float* conditions = nullptr;     // (batch, samples, conditions)
    const int* targets = nullptr;          // (batch, samples)
    const float* weights = nullptr;        // (batch, samples), of the losses
    float* losses = nullptr;               // (batch, samples), in nats
    float* gradients = nullptr;            // of the weighted sum of the losses, by the parameters
    float* condition_gradients = nullptr;  // and by the conditions
};

// A network of classes in training. Streams begin with the window.
struct GeneratorTape {
    virtual ~GeneratorTape() = default;
    virtual void run(const TrainingWindow& window) = 0;
};

}  // namespace nfx
