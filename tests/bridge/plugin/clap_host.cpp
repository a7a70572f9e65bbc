// The smallest CLAP host: plays raw float samples, interleaved stereo, from standard input through a plugin.
//   clap_host FILE.clap PLUGIN-ID RATE FRAME:PARAMETER:VALUE BLOCK... < in > out; blocks of these sizes in turn, a
//   parameter that is turned at a frame; on standard error: latency, number of parameters, and how the value reads.
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
static const clap_host_latency_t latency_changes{ignore};  // the framework's wrapper relies on it
static const void* extension(const clap_host*, const char* id) {
    return std::strcmp(id, CLAP_EXT_LATENCY) ? nullptr : &latency_changes;
}
static clap_event_param_value_t turned{};  // the one event of a block, if its header has a size
struct Render {                            // clap/ext/render.h, which the framework does not bring
    bool(CLAP_ABI* has_hard_realtime_requirement)(const clap_plugin_t*);
    bool(CLAP_ABI* set)(const clap_plugin_t*, int32_t mode);
};
static uint32_t how_many(const clap_input_events*) { return turned.header.size > 0; }
static const clap_event_header_t* event(const clap_input_events*, uint32_t) { return &turned.header; }
static bool any_event(const clap_output_events*, const clap_event_header_t*) { return true; }

static void fail(const char* what) {
    std::fprintf(stderr, "%s\n", what);
    std::exit(1);
}

static const clap_plugin_entry_t* open(const char* file) {
#ifdef _WIN32
    _setmode(_fileno(stdin), _O_BINARY), _setmode(_fileno(stdout), _O_BINARY);
    HMODULE library = LoadLibraryA(file);
    if (!library) fail("it does not load");
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
    if (std::sscanf(arguments[4], "%lld:%u:%lf", &frame, &parameter, &value) != 3) fail("FRAME:PARAMETER:VALUE");
    std::vector<uint32_t> sizes;
    for (int i = 5; i < count; ++i) sizes.push_back(uint32_t(std::atoi(arguments[i])));
    const uint32_t block = *std::max_element(sizes.begin(), sizes.end());
    const clap_plugin_entry_t* entry = open(arguments[1]);
    if (!entry || !entry->init(arguments[1])) fail("no entry");
    const auto* factory = static_cast<const clap_plugin_factory_t*>(entry->get_factory(CLAP_PLUGIN_FACTORY_ID));
    clap_host_t host{};
    host.clap_version = CLAP_VERSION;
    host.name = "test", host.vendor = "test", host.url = "", host.version = "1";
    host.get_extension = extension;
    host.request_restart = host.request_process = host.request_callback = ignore;
    const clap_plugin_t* plugin = factory->create_plugin(factory, &host, arguments[2]);
    if (!plugin || !plugin->init(plugin)) fail("no plugin of that id");
    if (!plugin->activate(plugin, rate, 1, block) || !plugin->start_processing(plugin)) fail("it does not start");
    const auto* latency = static_cast<const clap_plugin_latency_t*>(plugin->get_extension(plugin, CLAP_EXT_LATENCY));
    const auto* params = static_cast<const clap_plugin_params_t*>(plugin->get_extension(plugin, CLAP_EXT_PARAMS));
    const auto* render = static_cast<const Render*>(plugin->get_extension(plugin, "clap.render"));
    if (!latency || !params || !render) fail("an extension is missing");
    if (render->has_hard_realtime_requirement(plugin) || !render->set(plugin, 1)) fail("it does not bounce");

    std::vector<float> interleaved(2 * block), in[2], out[2];
    for (auto* side : {in, out})
        for (int c = 0; c < 2; ++c) side[c].assign(block, 0.0f);
    float* ins[2] = {in[0].data(), in[1].data()};
    float* outs[2] = {out[0].data(), out[1].data()};
    clap_audio_buffer_t input{}, output{};
    input.data32 = ins, input.channel_count = 2;
    output.data32 = outs, output.channel_count = 2;
    const clap_input_events_t in_events{nullptr, how_many, event};
    const clap_output_events_t out_events{nullptr, any_event};
    int64_t at = 0;
    std::size_t turn = 0;
    while (const std::size_t got = std::fread(interleaved.data(), 2 * sizeof(float), sizes[turn], stdin)) {
        turn = (turn + 1) % sizes.size();
        for (std::size_t i = 0; i < got; ++i) in[0][i] = interleaved[2 * i], in[1][i] = interleaved[2 * i + 1];
        clap_process_t now{};
        now.steady_time = at, now.frames_count = uint32_t(got);
        now.audio_inputs = &input, now.audio_inputs_count = 1;
        now.audio_outputs = &output, now.audio_outputs_count = 1;
        now.in_events = &in_events, now.out_events = &out_events;
        turned = {};
        if (frame >= at && frame < at + int64_t(got)) {
            turned.header = {sizeof turned, uint32_t(frame - at), CLAP_CORE_EVENT_SPACE_ID, CLAP_EVENT_PARAM_VALUE, 0};
            turned.param_id = parameter, turned.value = value;
            turned.note_id = turned.port_index = turned.channel = turned.key = -1;
        }
        if (plugin->process(plugin, &now) == CLAP_PROCESS_ERROR) fail("it does not process");
        for (std::size_t i = 0; i < got; ++i) interleaved[2 * i] = out[0][i], interleaved[2 * i + 1] = out[1][i];
        std::fwrite(interleaved.data(), 2 * sizeof(float), got, stdout);
        at += int64_t(got);
    }
    char text[64] = "";
    double again = -1;
    if (!params->value_to_text(plugin, parameter, value, text, sizeof text)) fail("no text");
    if (!params->text_to_value(plugin, parameter, text, &again) || std::abs(again - value) > 1e-3) fail("not its text");
    std::fprintf(stderr, "%u %u %s\n", latency->get(plugin), params->count(plugin), text);
    plugin->stop_processing(plugin);
    plugin->deactivate(plugin);
    plugin->destroy(plugin);
    entry->deinit();
}
