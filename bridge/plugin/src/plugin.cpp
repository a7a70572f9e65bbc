// The plugin for the DISTRHO Plugin Framework: parameters, state, and an `Engine` that does the rest.
#include "DistrhoPlugin.hpp"
#include "DistrhoPluginUtils.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>

#include "engine.hpp"
#include "parameters.hpp"
#include "settings.hpp"

START_NAMESPACE_DISTRHO

class NeuralPlugin : public Plugin {
    nfx::Engine engine{NFX_INPUTS, NFX_OUTPUTS};
    std::string worker = nfx::setting("worker", "127.0.0.1:9010");
    std::string token = nfx::setting("token");
    std::string board = nfx::setting("board");
    std::string text;

public:
    NeuralPlugin() : Plugin(nfx::PARAMETER_COUNT, 0, nfx::STATE_COUNT) {
        if (!isDummyInstance()) {
            engine.request_stream(worker, token, board, text);
            engine.wait_for_worker(NAMES_TIMEOUT);
        }
        setLatency(engine.latency());
    }

    // ---- for the wrappers of VST3 and CLAP, see below. They return false for other parameters than macros.
    bool set_macro_at(uint32_t index, int32_t frame, double value) {
        if (!nfx::is_macro(index)) return false;
        engine.macros.set_at(macro_index(index), float(value), uint32_t(std::max(frame, 0)));
        return true;
    }
    bool macro_to_text(uint32_t index, double value, char* shown, uint32_t size) const {
        return nfx::is_macro(index) && nfx::format_macro(engine.macro_info(macro_index(index)), value, shown, size);
    }
    bool macro_from_text(uint32_t index, const char* typed, double* value) const {
        return nfx::is_macro(index) && nfx::parse_macro(engine.macro_info(macro_index(index)), typed, *value);
    }
    void set_offline(bool offline) {
        engine.controls.host_mode.store(offline ? nfx::HostMode::offline : nfx::HostMode::live);
    }

protected:
    const char* getLabel() const override { return NFX_LABEL; }
    const char* getDescription() const override { return "Neural captures and instruments, played by a worker."; }
    const char* getMaker() const override { return "Neural FX"; }
    const char* getLicense() const override { return "MIT"; }
    uint32_t getVersion() const override { return d_version(0, 1, 0); }
    int64_t getUniqueId() const override { return d_cconst('N', 'f', 'x', '0' + 2 * NFX_INPUTS + NFX_OUTPUTS); }

    // ---- parameters
    void initParameter(uint32_t index, Parameter& parameter) override {
        // An LV2 host reads names and defaults from a file that was written when the plugin was built.
        const bool fixed = !std::strcmp(getPluginFormatName(), "LV2");
        nfx::describe(index, fixed ? nfx::Welcome{} : engine.welcome(), parameter);
        if (nfx::is_macro(index)) engine.macros.set_host_value(macro_index(index), parameter.ranges.def);
    }
    float getParameterValue(uint32_t index) const override {
        const nfx::Controls& controls = engine.controls;
        switch (index) {
            case nfx::MIX: return controls.mix.load();
            case nfx::BYPASS: return controls.bypass.load() ? 1.0f : 0.0f;
            case nfx::INPUT_GAIN: return controls.input_db.load();
            case nfx::OUTPUT_GAIN: return controls.output_db.load();
            case nfx::BOARD_NUMBER: return float(engine.board_number());
            case nfx::LATENCY_BUDGET: return float(controls.latency_budget.load());
            case nfx::WAIT_FOR_WORKER: return float(int(controls.wait_policy.load()));
            case nfx::CONNECTED: return engine.connected() ? 1.0f : 0.0f;
            case nfx::ROUND_TRIP: return std::min(engine.round_trip_ms(), nfx::MAX_ROUND_TRIP_MS);
            case nfx::DROPOUTS: return std::min(float(engine.dropouts()), nfx::MAX_DROPOUTS);
            default: return nfx::is_macro(index) ? engine.macros.get(macro_index(index)) : 0.0f;
        }
    }
    void setParameterValue(uint32_t index, float value) override {
        nfx::Controls& controls = engine.controls;
        switch (index) {
            case nfx::MIX: controls.mix.store(value); break;
            case nfx::BYPASS: controls.bypass.store(value > 0.5f); break;
            case nfx::INPUT_GAIN: controls.input_db.store(value); break;
            case nfx::OUTPUT_GAIN: controls.output_db.store(value); break;
            case nfx::BOARD_NUMBER: engine.choose_board(uint32_t(value + 0.5f)); break;
            case nfx::LATENCY_BUDGET: controls.latency_budget.store(uint32_t(value + 0.5f)); break;
            case nfx::WAIT_FOR_WORKER: controls.wait_policy.store(nfx::WaitPolicy(int(value + 0.5f))); break;
            default:
                if (nfx::is_macro(index)) engine.macros.set(macro_index(index), value);
        }
    }

    // ---- state: where the worker is and which board it plays
    // The board's YAML is stored, too, so that a session opens with another worker. The keys are in users' sessions and
    // must not change.
    void initState(uint32_t index, State& state) override {
        static const char* const KEYS[nfx::STATE_COUNT] = {"worker", "token", "board", "text", "turned", "number"};
        static const char* const LABELS[nfx::STATE_COUNT] = {"Worker",     "Token",  "Board",
                                                             "Board text", "Turned", "Board number"};
        state.key = KEYS[index];
        state.label = LABELS[index];
        state.hints = index == nfx::WORKER || index == nfx::TOKEN || index == nfx::BOARD ? kStateIsHostWritable : 0;
        state.defaultValue = index == nfx::WORKER ? worker.c_str() : "";
    }
    String getState(const char* key) const override {
        const nfx::Welcome welcome = engine.welcome();
        if (!std::strcmp(key, "worker")) return String(worker.c_str());
        if (!std::strcmp(key, "token")) return String(token.c_str());
        if (!std::strcmp(key, "board")) return String((welcome.board.empty() ? board : welcome.board).c_str());
        if (!std::strcmp(key, "text")) return String((welcome.text.empty() ? text : welcome.text).c_str());
        if (!std::strcmp(key, "turned")) return String(engine.macros.moved().c_str());
        if (!std::strcmp(key, "number")) return String(std::to_string(engine.board_number()).c_str());
        return String();
    }
    void setState(const char* key, const char* value) override {
        if (!std::strcmp(key, "turned")) return engine.macros.restore_moved(value);
        if (!std::strcmp(key, "number")) return engine.restore_board_number(uint32_t(std::atoi(value)));
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
        if (!isDummyInstance()) engine.request_stream(worker, token, board, text);
    }

    // ---- audio
    // Hosts may ask for the latency before they activate, so these two update it.
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
        nfx::Midi messages[MAX_MIDI];
        uint32_t kept = 0;
        const bool resets = sets_all_controllers(events, count);
        for (uint32_t i = 0; i < count && kept < MAX_MIDI; ++i) {
            const MidiEvent& event = events[i];
            if (event.size > MidiEvent::kDataSize) continue;  // system exclusive, which no instrument takes
            if (resets && is_first_controller(event)) continue;
            messages[kept] = {event.frame, uint8_t(event.size), {}};
            std::memcpy(messages[kept].bytes, event.data, event.size);
            ++kept;
        }
        engine.run(in, out, frames, messages, kept);
        setLatency(engine.latency());
    }
    static constexpr uint32_t MAX_MIDI = 512;
    // VST3 hosts see MIDI controllers as parameters. Ardour begins by setting all of them to 0: the volume to silence,
    // the pitch bend to its lowest. No player moves this many at the same frame.
    static constexpr uint32_t MAX_CONTROLLERS = 64;
    static bool is_first_controller(const MidiEvent& event) {
        return event.frame == 0 && (event.data[0] & 0xf0) >= 0xb0;
    }
    static bool sets_all_controllers(const MidiEvent* events, uint32_t count) {
        uint32_t found = 0;
        for (uint32_t i = 0; i < count; ++i) found += is_first_controller(events[i]);
        return found > MAX_CONTROLLERS;
    }
#else
    void run(const float** in, float** out, uint32_t frames) override {
        engine.run(in, out, frames, nullptr, 0);
        setLatency(engine.latency());
    }
#endif

private:
    // The host shows the macros' names as they are when it has made the instance. It is not kept longer for them.
    static constexpr std::chrono::milliseconds NAMES_TIMEOUT{300};

    static int macro_index(uint32_t index) { return int(index - nfx::FIRST_MACRO); }

    DISTRHO_DECLARE_NON_COPYABLE_WITH_LEAK_DETECTOR(NeuralPlugin)
};

// The wrappers of VST3 and CLAP call these; see CMakeLists.txt. Macros go from 0 to 1, and so do the host's values.
static NeuralPlugin& instance(void* plugin) { return *static_cast<NeuralPlugin*>(static_cast<Plugin*>(plugin)); }
bool host_sets_macro(void* plugin, uint32_t index, int32_t frame, double value) {
    return instance(plugin).set_macro_at(index, frame, value);
}
bool host_formats_macro(void* plugin, uint32_t index, double value, char* text, uint32_t size) {
    return instance(plugin).macro_to_text(index, value, text, size);
}
bool host_parses_macro(void* plugin, uint32_t index, const char* text, double* value) {
    return instance(plugin).macro_from_text(index, text, value);
}
void host_sets_offline(void* plugin, bool offline) { instance(plugin).set_offline(offline); }

Plugin* createPlugin() { return new NeuralPlugin(); }

END_NAMESPACE_DISTRHO
