// One instance of the plugin without its framework: audio in, the worker's audio out, a fixed time later.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "chunk_reader.hpp"
#include "chunk_writer.hpp"
#include "connections.hpp"
#include "controls.hpp"
#include "link.hpp"
#include "macro_changes.hpp"
#include "offline_wait.hpp"
#include "output_mixer.hpp"

namespace nfx {

class Engine {
    // First, since the members below refer to it. The connections' thread may hold it longer than the engine.
    const std::shared_ptr<Link> link = std::make_shared<Link>();
    const std::shared_ptr<Connections> connections = Connections::shared();

public:
    Engine(int inputs, int outputs);
    ~Engine();

    // ---- any thread
    Controls controls;
    MacroChanges macros{*link};
    std::uint32_t latency() const;  // frames: the way to the worker and back, and the board's own
    // Whether the worker is there. False at once when it hangs up, and within three seconds when it falls silent.
    bool connected() const { return link->connected() && link->answering.load(); }
    float round_trip_ms() const { return link->round_trip_ms.load(); }
    std::uint32_t dropouts() const { return mixer.dropouts(); }
    void choose_board(std::uint32_t number) { link->board_number.store(number); }
    void restore_board_number(std::uint32_t number) { link->session_board_number.store(number); }
    std::uint32_t board_number() const { return link->board_number.load(); }

    // ---- the main thread
    void request_stream(const std::string& address, const std::string& token, const std::string& board,
                        const std::string& text);
    Welcome welcome() const;
    MacroInfo macro_info(int index) const;  // 0 to 1 if the board has fewer macros
    // Waits until the worker has answered or is known to be unreachable, but no longer than `limit`.
    bool wait_for_worker(std::chrono::milliseconds limit) const;
    // Sets the rate in Hz and the largest block to expect. Returns true if a new rate made a new stream necessary.
    // The latency may change.
    bool prepare(double new_rate, std::uint32_t new_largest_block);
    void activate(double new_rate, std::uint32_t new_largest_block);

    // ---- the audio thread
    // Neither waits, locks nor allocates, except that it waits for the worker in an offline bounce.
    void run(const float* const* in, float* const* out, std::uint32_t frames, const Midi* midi,
             std::uint32_t midi_count);

private:
    double rate = 48000;
    std::atomic<std::uint32_t> largest_block{1024};
    std::int64_t position = 0;  // of the next block's first frame, counted from the activation
    ChunkWriter writer;
    ChunkReader reader;
    OutputMixer mixer;
    OfflineWait offline_wait;

    void request_again();
    std::uint32_t budget_frames() const;
    void play_block(float* const* out, std::uint32_t frames, std::int64_t first_wet);
};

}  // namespace nfx
