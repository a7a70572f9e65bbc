// A small CLAP host: plays raw float samples, interleaved stereo, from standard input through a plugin, offline.
//   clap_host FILE.clap PLUGIN-ID RATE FRAME:PARAMETER:VALUE BLOCK... < in > out
// Sets PARAMETER to VALUE at FRAME. The blocks have the given sizes in turn. Prints on standard error: the latency, the
// number of parameters, and the text of VALUE.
#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#include <windows.h>
#else
#include <dlfcn.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "clap/entry.h"
#include "clap/ext/latency.h"
#include "clap/ext/params.h"
#include "clap/plugin-factory.h"

static void ignore(const clap_host*) {}
static const clap_host_latency_t latency_changes{ignore};  // the framework's wrapper calls it without a check
static const void* extension(const clap_host*, const char* id) {
    return std::strcmp(id, CLAP_EXT_LATENCY) ? nullptr : &latency_changes;
}
static clap_event_param_value_t parameter_event{};  // the one event of a block, if its header has a size
struct Render {                                     // as in clap/ext/render.h, which the framework lacks
    bool(CLAP_ABI* has_hard_realtime_requirement)(const clap_plugin_t*);
    bool(CLAP_ABI* set)(const clap_plugin_t*, int32_t mode);
};
static uint32_t event_count(const clap_input_events*) { return parameter_event.header.size > 0; }
static const clap_event_header_t* get_event(const clap_input_events*, uint32_t) { return &parameter_event.header; }
static bool ignore_event(const clap_output_events*, const clap_event_header_t*) { return true; }

static void fail(const char* what) {
    std::fprintf(stderr, "%s\n", what);
    std::exit(1);
}

static const clap_plugin_entry_t* open(const char* file) {
#ifdef _WIN32
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
    HMODULE library = LoadLibraryA(file);
    if (!library) fail("the plugin cannot be loaded");
    return reinterpret_cast<const clap_plugin_entry_t*>(reinterpret_cast<void*>(GetProcAddress(library, "clap_entry")));
#else
    void* library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library) fail(dlerror());
    return static_cast<const clap_plugin_entry_t*>(dlsym(library, "clap_entry"));
#endif
}

int main(int count, char** arguments) {
    const double rate = std::atof(arguments[3]);
    long long frame = 0;
    unsigned parameter = 0;
    double value = 0;
    if (std::sscanf(arguments[4], "%lld:%u:%lf", &frame, &parameter, &value) != 3)
        fail("expected FRAME:PARAMETER:VALUE");
    std::vector<uint32_t> sizes;
    for (int i = 5; i < count; ++i) sizes.push_back(uint32_t(std::atoi(arguments[i])));
    const uint32_t largest_block = *std::max_element(sizes.begin(), sizes.end());
    const clap_plugin_entry_t* entry = open(arguments[1]);
    if (!entry || !entry->init(arguments[1])) fail("the file has no clap_entry, or it failed to start");
    const auto* factory = static_cast<const clap_plugin_factory_t*>(entry->get_factory(CLAP_PLUGIN_FACTORY_ID));
    clap_host_t host{};
    host.clap_version = CLAP_VERSION;
    host.name = "test";
    host.vendor = "test";
    host.url = "";
    host.version = "1";
    host.get_extension = extension;
    host.request_restart = ignore;
    host.request_process = ignore;
    host.request_callback = ignore;
    const clap_plugin_t* plugin = factory->create_plugin(factory, &host, arguments[2]);
    if (!plugin || !plugin->init(plugin)) fail("the file has no plugin of this id");
    if (!plugin->activate(plugin, rate, 1, largest_block) || !plugin->start_processing(plugin))
        fail("the plugin cannot be activated");
    const auto* latency = static_cast<const clap_plugin_latency_t*>(plugin->get_extension(plugin, CLAP_EXT_LATENCY));
    const auto* params = static_cast<const clap_plugin_params_t*>(plugin->get_extension(plugin, CLAP_EXT_PARAMS));
    const auto* render = static_cast<const Render*>(plugin->get_extension(plugin, "clap.render"));
    if (!latency || !params || !render) fail("an extension is missing");
    if (render->has_hard_realtime_requirement(plugin) || !render->set(plugin, 1))
        fail("the plugin cannot play offline");

    std::vector<float> interleaved(2 * largest_block);
    std::vector<float> in[2];
    std::vector<float> out[2];
    for (int c = 0; c < 2; ++c) {
        in[c].assign(largest_block, 0.0f);
        out[c].assign(largest_block, 0.0f);
    }
    float* ins[2] = {in[0].data(), in[1].data()};
    float* outs[2] = {out[0].data(), out[1].data()};
    clap_audio_buffer_t input{};
    input.data32 = ins;
    input.channel_count = 2;
    clap_audio_buffer_t output{};
    output.data32 = outs;
    output.channel_count = 2;
    const clap_input_events_t in_events{nullptr, event_count, get_event};
    const clap_output_events_t out_events{nullptr, ignore_event};
    int64_t position = 0;
    std::size_t size_index = 0;
    while (const std::size_t frames = std::fread(interleaved.data(), 2 * sizeof(float), sizes[size_index], stdin)) {
        size_index = (size_index + 1) % sizes.size();
        for (std::size_t i = 0; i < frames; ++i) {
            in[0][i] = interleaved[2 * i];
            in[1][i] = interleaved[2 * i + 1];
        }
        clap_process_t block{};
        block.steady_time = position;
        block.frames_count = uint32_t(frames);
        block.audio_inputs = &input;
        block.audio_inputs_count = 1;
        block.audio_outputs = &output;
        block.audio_outputs_count = 1;
        block.in_events = &in_events;
        block.out_events = &out_events;
        parameter_event = {};
        if (frame >= position && frame < position + int64_t(frames)) {
            parameter_event.header.size = sizeof parameter_event;
            parameter_event.header.time = uint32_t(frame - position);
            parameter_event.header.space_id = CLAP_CORE_EVENT_SPACE_ID;
            parameter_event.header.type = CLAP_EVENT_PARAM_VALUE;
            parameter_event.param_id = parameter;
            parameter_event.value = value;
            parameter_event.note_id = -1;  // -1 everywhere: not for a single note, but for the whole plugin
            parameter_event.port_index = -1;
            parameter_event.channel = -1;
            parameter_event.key = -1;
        }
        if (plugin->process(plugin, &block) == CLAP_PROCESS_ERROR) fail("the plugin failed to process a block");
        for (std::size_t i = 0; i < frames; ++i) {
            interleaved[2 * i] = out[0][i];
            interleaved[2 * i + 1] = out[1][i];
        }
        std::fwrite(interleaved.data(), 2 * sizeof(float), frames, stdout);
        position += int64_t(frames);
    }
    char text[64] = "";
    double parsed = -1;
    if (!params->value_to_text(plugin, parameter, value, text, sizeof text)) fail("the value has no text");
    if (!params->text_to_value(plugin, parameter, text, &parsed) || std::abs(parsed - value) > 1e-3)
        fail("the text is not that of the value");
    std::fprintf(stderr, "%u %u %s\n", latency->get(plugin), params->count(plugin), text);
    plugin->stop_processing(plugin);
    plugin->deactivate(plugin);
    plugin->destroy(plugin);
    entry->deinit();
}
