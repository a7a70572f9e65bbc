#include "DistrhoPlugin.hpp"

#include <cstring>

START_NAMESPACE_DISTRHO

class LateGain : public Plugin {
    static constexpr uint32_t kLatency = 100;
    float gain = 1.0f;
    float ring[2][kLatency] = {};
    uint32_t at = 0;

public:
    LateGain() : Plugin(1, 0, 0) { setLatency(kLatency); }

protected:
    const char* getLabel() const override { return "LateGain"; }
    const char* getMaker() const override { return "Neural FX tests"; }
    const char* getLicense() const override { return "MIT"; }
    uint32_t getVersion() const override { return d_version(1, 0, 0); }
    int64_t getUniqueId() const override { return d_cconst('N', 'f', 'L', 'g'); }

    void initParameter(uint32_t, Parameter& p) override {
        p.hints = kParameterIsAutomatable;
        p.name = "Gain";
        p.symbol = "gain";
        p.ranges.def = 1.0f;
        p.ranges.min = 0.0f;
        p.ranges.max = 4.0f;
    }
    float getParameterValue(uint32_t) const override { return gain; }
    void setParameterValue(uint32_t, float value) override { gain = value; }
    void activate() override { std::memset(ring, 0, sizeof ring); }

    void run(const float** in, float** out, uint32_t frames) override {
        for (uint32_t i = 0; i < frames; ++i, at = (at + 1) % kLatency)
            for (int c = 0; c < 2; ++c) {
                const float now = in[c][i];
                out[c][i] = gain * ring[c][at];
                ring[c][at] = now;
            }
    }
};

Plugin* createPlugin() { return new LateGain(); }

END_NAMESPACE_DISTRHO
