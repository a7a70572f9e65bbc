#include "engine.hpp"

#include <algorithm>

namespace nfx {

using namespace std::chrono_literals;

namespace {

constexpr double FADE_SECONDS = 0.01;
constexpr auto ACTIVATION_TIMEOUT = 3000ms;  // activation waits this long for the worker to make a stream

bool same_target(const StreamRequest& a, const StreamRequest& b) {
    return a.host == b.host && a.port == b.port && a.token == b.token && a.board == b.board && a.text == b.text;
}

}  // namespace

Engine::Engine(int inputs, int outputs)
    : writer(*link, macros, inputs, outputs), reader(*link, outputs), mixer(inputs, outputs),
      offline_wait(*link, *connections, controls) {
    link->request.channels = outputs;
    link->request.notes = inputs == 0;
}

Engine::~Engine() { connections->remove(link); }

// ---- the main thread ---------------------------------------------------------------------------------------------

void Engine::request_stream(const std::string& address, const std::string& token, const std::string& board,
                            const std::string& text) {
    const bool first = link->request_number.load() == 0;
    {
        const std::lock_guard<std::mutex> lock(link->mutex);
        StreamRequest request = link->request;
        set_address(request, address);
        request.token = token;
        request.board = board;
        request.text = text;
        // Hosts restore each value of a session separately, and often to what it was.
        if (!first && same_target(request, link->request)) return;
        link->request = request;
    }
    link->was_connected.store(false);
    ++link->request_number;
    if (first)
        connections->add(link);
    else
        connections->wake();
}

Welcome Engine::welcome() const {
    const std::lock_guard<std::mutex> lock(link->mutex);
    return link->welcome;
}

MacroInfo Engine::macro_info(int index) const {
    const std::lock_guard<std::mutex> lock(link->mutex);
    const std::vector<MacroInfo>& infos = link->welcome.macros;
    return std::size_t(index) < infos.size() ? infos[std::size_t(index)] : MacroInfo{};
}

bool Engine::wait_for_worker(std::chrono::milliseconds limit) const {
    std::unique_lock<std::mutex> lock(link->mutex);
    link->has_waiter.store(true);
    connections->wake();
    link->changed.wait_for(lock, limit, [this] { return link->settled(); });
    link->has_waiter.store(false);
    return link->connected();
}

bool Engine::prepare(double new_rate, std::uint32_t new_largest_block) {
    largest_block.store(std::max(new_largest_block, 1u));
    rate = new_rate;
    {
        const std::lock_guard<std::mutex> lock(link->mutex);
        if (link->request.rate == rate) return false;
        link->request.rate = rate;
    }
    request_again();
    return true;
}

void Engine::request_again() {
    // Counts as a run, so that the connections' thread looks at this instance every millisecond.
    link->last_run_ticks.store(Clock::now().time_since_epoch().count());
    if (!link->request_number.load()) return;
    ++link->request_number;
    wait_for_worker(ACTIVATION_TIMEOUT);
}

void Engine::activate(double new_rate, std::uint32_t new_largest_block) {
    // A stream that has had audio has tails and sounding notes. The worker makes a new one.
    if (!prepare(new_rate, new_largest_block) && !link->unplayed.load()) request_again();
    ++link->activation;
    position = 0;
    link->needed_position.store(-std::int64_t(controls.latency_budget.load()));
    const std::uint32_t fade_frames = std::max(1u, std::uint32_t(FADE_SECONDS * rate));
    writer.reset(gain_from_db(controls.input_db.load()), fade_frames);
    mixer.reset(controls, latency(), fade_frames);
    macros.reset();
    offline_wait.reset();
}

// ---- any thread --------------------------------------------------------------------------------------------------

// A block cannot be back before the host has handed over all of it.
std::uint32_t Engine::budget_frames() const { return std::max(controls.latency_budget.load(), largest_block.load()); }

std::uint32_t Engine::latency() const { return std::min(budget_frames() + link->latency.load(), DryDelay::FRAMES / 2); }

// ---- the audio thread --------------------------------------------------------------------------------------------

void Engine::run(const float* const* in, float* const* out, std::uint32_t frames, const Midi* midi,
                 std::uint32_t midi_count) {
    if (!frames) return;
    const Clock::time_point now = Clock::now();
    offline_wait.start_block(now, frames, rate);
    link->last_run_ticks.store(now.time_since_epoch().count());
    // The worker's output has the board's latency in it already. So only the way there and back is added.
    const std::int64_t first_wet = position - budget_frames();
    link->needed_position.store(first_wet);
    mixer.dry.write(in, frames, position);
    writer.set_input_gain(gain_from_db(controls.input_db.load()));
    writer.write_block(in, frames, position, midi, midi_count);
    mixer.start_block(controls, latency());
    play_block(out, frames, first_wet);
    position += frames;
}

void Engine::play_block(float* const* out, std::uint32_t frames, std::int64_t first_wet) {
    std::uint32_t done = 0;
    while (done < frames) {
        const std::uint32_t wanted = std::min(MAX_CHUNK_FRAMES, frames - done);
        const ChunkReader::Result result = reader.read(first_wet + done, wanted);
        if (result.worker_delivers) offline_wait.chunk_arrived();
        if (result.found == ChunkReader::Found::nothing && offline_wait.wait_for_chunk()) continue;
        const bool is_wet = result.found == ChunkReader::Found::audio;
        mixer.play(is_wet ? reader.wet() : nullptr, out, done, position + done, result.frames);
        done += result.frames;
    }
}

}  // namespace nfx
