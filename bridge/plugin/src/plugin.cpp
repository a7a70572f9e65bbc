// The plugin as its framework sees it: parameters, state, and an `Engine` that does the rest.
#include "DistrhoPlugin.hpp"
#include "DistrhoPluginUtils.hpp"

#include <cstdlib>
#include <cstring>

#include "engine.hpp"
#include "parameters.hpp"
#include "settings.hpp"

START_NAMESPACE_DISTRHO

class NeuralPlugin : public Plugin {
    nfx::Engine engine{NFX_INPUTS, NFX_OUTPUTS};
    std::string worker = nfx::setting("worker", "127.0.0.1:9010");
    std::string board = nfx::setting("board"), token = nfx::setting("token"), text;

public:
    NeuralPlugin() : Plugin(nfx::kParameterCount, 0, nfx::kStateCount) {
        if (!isDummyInstance()) {
            engine.wish(worker, token, board, text);
            engine.wait_for_worker(std::chrono::milliseconds(300));  // so that the host can show the macros' names
        }
        setLatency(engine.latency());
    }

    bool turns(uint32_t index, int32_t frame, double value) {
        if (!nfx::is_macro(index)) return false;
        engine.turn_macro_at(int(index - nfx::kMacro), float(value), uint32_t(std::max(frame, 0)));
        return true;
    }
    bool shows(uint32_t index, double value, char* text, uint32_t size) const {
        return nfx::is_macro(index) && nfx::show(engine.macro_info(int(index - nfx::kMacro)), value, text, size);
    }
    bool reads(uint32_t index, const char* text, double* value) const {
        return nfx::is_macro(index) && nfx::read(engine.macro_info(int(index - nfx::kMacro)), text, *value);
    }
    void bounces(bool offline) { engine.knobs.host.store(offline ? nfx::Host::bounces : nfx::Host::live); }

protected:
    const char* getLabel() const override { return NFX_LABEL; }
    const char* getDescription() const override { return "Neural captures and instruments, played by a worker."; }
    const char* getMaker() const override { return "Neural FX"; }
    const char* getLicense() const override { return "MIT"; }
    uint32_t getVersion() const override { return d_version(0, 1, 0); }
    int64_t getUniqueId() const override { return d_cconst('N', 'f', 'x', '0' + 2 * NFX_INPUTS + NFX_OUTPUTS); }

    // ---- parameters
    void initParameter(uint32_t index, Parameter& p) override {
        // An LV2 host reads names and defaults from a file that was written when the plugin was built.
        const bool fixed = !std::strcmp(getPluginFormatName(), "LV2");
        nfx::describe(index, fixed ? nfx::Welcome{} : engine.welcome(), p);
        if (nfx::is_macro(index)) engine.host_knows_macro(int(index - nfx::kMacro), p.ranges.def);
    }
    float getParameterValue(uint32_t index) const override {
        const nfx::Knobs& knobs = engine.knobs;
        switch (index) {
            case nfx::kMix: return knobs.mix.load();
            case nfx::kBypass: return knobs.bypass.load() ? 1.0f : 0.0f;
            case nfx::kInputGain: return knobs.input_db.load();
            case nfx::kOutputGain: return knobs.output_db.load();
            case nfx::kBoardNumber: return float(engine.chosen_board());
            case nfx::kLatency: return float(knobs.latency.load());
            case nfx::kWaiting: return float(int(knobs.patience.load()));
            case nfx::kConnected: return engine.connected() ? 1.0f : 0.0f;
            case nfx::kRoundTrip: return std::min(engine.round_trip_ms(), nfx::kMostRoundTrip);
            case nfx::kDropouts: return std::min(float(engine.dropouts()), nfx::kMostDropouts);
            default: return nfx::is_macro(index) ? engine.macro(int(index - nfx::kMacro)) : 0.0f;
        }
    }
    void setParameterValue(uint32_t index, float value) override {
        nfx::Knobs& knobs = engine.knobs;
        switch (index) {
            case nfx::kMix: knobs.mix.store(value); break;
            case nfx::kBypass: knobs.bypass.store(value > 0.5f); break;
            case nfx::kInputGain: knobs.input_db.store(value); break;
            case nfx::kOutputGain: knobs.output_db.store(value); break;
            case nfx::kBoardNumber: engine.choose_board(uint32_t(value + 0.5f)); break;
            case nfx::kLatency: knobs.latency.store(uint32_t(value + 0.5f)); break;
            case nfx::kWaiting: knobs.patience.store(nfx::Patience(int(value + 0.5f))); break;
            default:
                if (nfx::is_macro(index)) engine.turn_macro(int(index - nfx::kMacro), value);
        }
    }

    // ---- state: where the worker is and which board it plays, so that a project opens elsewhere
    void initState(uint32_t index, State& state) override {
        static const char* const kKeys[nfx::kStateCount] = {"worker", "token", "board", "text", "turned", "number"};
        static const char* const kLabels[nfx::kStateCount] = {"Worker",     "Token",  "Board",
                                                              "Board text", "Turned", "Board number"};
        state.key = kKeys[index];
        state.label = kLabels[index];
        state.hints = index == nfx::kWorker || index == nfx::kToken || index == nfx::kBoard ? kStateIsHostWritable : 0;
        state.defaultValue = index == nfx::kWorker ? worker.c_str() : "";
    }
    String getState(const char* key) const override {
        const nfx::Welcome welcome = engine.welcome();
        if (!std::strcmp(key, "worker")) return String(worker.c_str());
        if (!std::strcmp(key, "token")) return String(token.c_str());
        if (!std::strcmp(key, "board")) return String((welcome.board.empty() ? board : welcome.board).c_str());
        if (!std::strcmp(key, "text")) return String((welcome.text.empty() ? text : welcome.text).c_str());
        if (!std::strcmp(key, "turned")) return String(engine.turned().c_str());
        if (!std::strcmp(key, "number")) return String(std::to_string(engine.chosen_board()).c_str());
        return String();
    }
    void setState(const char* key, const char* value) override {
        if (!std::strcmp(key, "turned")) return engine.turn_again(value);
        if (!std::strcmp(key, "number")) return engine.session_chose(uint32_t(std::atoi(value)));
        if (!std::strcmp(key, "worker"))
            worker = value;
        else if (!std::strcmp(key, "token"))
            token = value;
        else if (!std::strcmp(key, "board"))
            board = value;
        else if (!std::strcmp(key, "text"))
            text = value;
        else
            return;
        if (!isDummyInstance()) engine.wish(worker, token, board, text);
    }

    // ---- audio
    // Hosts may ask for the latency before they activate, so it has to be known from these two on.
    void sampleRateChanged(double rate) override {
        engine.prepare(rate, getBufferSize());
        setLatency(engine.latency());
    }
    void bufferSizeChanged(uint32_t frames) override {
        engine.prepare(getSampleRate(), frames);
        setLatency(engine.latency());
    }
    void activate() override {
        engine.activate(getSampleRate(), getBufferSize());
        setLatency(engine.latency());
    }
#if DISTRHO_PLUGIN_WANT_MIDI_INPUT
    void run(const float** in, float** out, uint32_t frames, const MidiEvent* events, uint32_t count) override {
        nfx::Midi notes[kMostNotes];
        uint32_t kept = 0;
        const bool dump = count > kDump && controls(events, count) > kDump;
        for (uint32_t i = 0; i < count && kept < kMostNotes; ++i) {
            if (events[i].size > MidiEvent::kDataSize) continue;  // no instrument of ours takes system exclusive
            if (dump && events[i].frame == 0 && is_control(events[i])) continue;
            notes[kept] = {events[i].frame, uint8_t(events[i].size), {}};
            std::memcpy(notes[kept++].bytes, events[i].data, events[i].size);
        }
        engine.run(in, out, frames, notes, kept);
        setLatency(engine.latency());
    }
    static constexpr uint32_t kMostNotes = 512;
    // A VST3 host sees MIDI controllers as parameters, and Ardour begins by setting all of them to zero: the volume,
    // and the bend to its lowest. Nobody turns this many at the same sample.
    static constexpr uint32_t kDump = 64;
    static bool is_control(const MidiEvent& event) { return (event.data[0] & 0xf0) >= 0xb0; }
    static uint32_t controls(const MidiEvent* events, uint32_t count) {
        uint32_t found = 0;
        for (uint32_t i = 0; i < count; ++i) found += events[i].frame == 0 && is_control(events[i]);
        return found;
    }
#else
    void run(const float** in, float** out, uint32_t frames) override {
        engine.run(in, out, frames, nullptr, 0);
        setLatency(engine.latency());
    }
#endif

    DISTRHO_DECLARE_NON_COPYABLE_WITH_LEAK_DETECTOR(NeuralPlugin)
};

// Called by the wrappers of VST3 and CLAP; see CMakeLists.txt. Macros go from 0 to 1, as the host's values do.
static NeuralPlugin& ours(void* plugin) { return *static_cast<NeuralPlugin*>(static_cast<Plugin*>(plugin)); }
bool hostTurns(void* plugin, uint32_t index, int32_t frame, double value) {
    return ours(plugin).turns(index, frame, value);
}
bool hostShows(void* plugin, uint32_t index, double value, char* text, uint32_t size) {
    return ours(plugin).shows(index, value, text, size);
}
bool hostReads(void* plugin, uint32_t index, const char* text, double* value) {
    return ours(plugin).reads(index, text, value);
}
void hostBounces(void* plugin, bool offline) { ours(plugin).bounces(offline); }

Plugin* createPlugin() { return new NeuralPlugin(); }

END_NAMESPACE_DISTRHO
