// One instance of the plugin without its framework: audio in, the worker's audio out, a fixed time later.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "connections.hpp"
#include "link.hpp"

namespace nfx {

struct Midi {
    std::uint32_t frame;
    std::uint8_t size, bytes[4];
};

// How patient the audio thread may be when a block is not back in time.
enum class Patience { automatic, never, always };

// What the host says of itself; not all of them do.
enum class Host { silent, live, bounces };

struct Knobs {
    std::atomic<float> mix{1}, input_db{0}, output_db{0};
    std::atomic<bool> bypass{false};
    std::atomic<std::uint32_t> latency{1024};  // frames
    std::atomic<Patience> patience{Patience::automatic};
    std::atomic<Host> host{Host::silent};
};

// A value on its way to a new one, along a straight line.
class Glide {
    float now = 0, goal = 0, step = 0;
    std::uint32_t left = 0;

public:
    void jump(float to) { now = goal = to, left = 0; }
    void aim(float to, std::uint32_t frames) {
        if (to != goal) goal = to, left = frames, step = (to - now) / float(frames);
    }
    float next() {
        if (left) now = --left ? now + step : goal;
        return now;
    }
    bool rests_at(float value) const { return !left && now == value; }
};

class Engine {
public:
    Engine(int inputs, int outputs);
    ~Engine();

    // ---- the main thread's
    void wish(const std::string& address, const std::string& token, const std::string& board, const std::string& text);
    Wish wished() const;
    Welcome welcome() const;
    MacroInfo macro_info(int index) const;  // 0 to 1 where the board has none of that number
    std::uint32_t welcome_number() const { return link->welcome_number.load(); }
    // Waits, not longer than `limit`, until the worker has answered or is known not to.
    bool wait_for_worker(std::chrono::milliseconds limit) const;
    // The rate in Hz and the largest block to expect. A new rate needs a new stream, which is asked for (then true),
    // and may change the latency.
    bool prepare(double rate, std::uint32_t largest_block);
    void activate(double rate, std::uint32_t largest_block);

    // ---- macros, from any thread: where the board has them until the host moves one, which some hosts "do" by saying
    // again what they know
    void host_knows_macro(int index, float value) { known_macro[std::size_t(index)].store(value); }
    void turn_macro(int index, float value);
    void turn_macro_at(int index, float value, std::uint32_t frame);  // of the next block; the audio thread's
    void turn_again(const std::string& turned);  // as a session says it, such as "1 4": those that had been moved
    std::string turned() const;
    void choose_board(std::uint32_t number) { link->choice.store(number); }
    void session_chose(std::uint32_t number) { link->session_choice.store(number); }
    std::uint32_t chosen_board() const { return link->choice.load(); }
    float macro(int index) const { return link->macro[std::size_t(index)].load(); }

    // ---- the audio thread's: neither waits nor allocates, but for an offline bounce
    void run(const float* const* in, float* const* out, std::uint32_t frames, const Midi* midi, std::uint32_t count);

    // ---- anybody's
    Knobs knobs;
    std::uint32_t latency() const;  // frames, of the way to the worker and back and of its board
    // Whether the worker is there: false at once where it hangs up, and within three seconds where it falls silent.
    bool connected() const { return link->up() && link->answers.load(); }
    float round_trip_ms() const { return link->round_trip_ms.load(); }
    std::uint32_t dropouts() const { return dropped.load(); }
    std::atomic<float> peak_in{0}, peak_out{0};

private:
    static constexpr std::uint32_t kPiece = 2048, kMostTurns = 256;
    static constexpr std::uint32_t kDelay = 1 << 19;  // frames of dry signal that are kept

    const int inputs, outputs;
    const std::shared_ptr<Link> link;
    const std::shared_ptr<Connections> connections;

    double rate = 48000;
    std::atomic<std::uint32_t> largest{1024};
    std::int64_t position = 0;  // frames taken in since the activation
    std::array<float, kMacros> sent_macro{};
    std::array<Happening, kMostTurns> turns{};  // at frames of the next block, in order
    std::uint32_t turn_count = 0;
    std::array<std::atomic<float>, kMacros> known_macro{};
    std::atomic<std::uint32_t> dropped{0};

    // The dry signal, late by the whole latency; `late` moves to a new one by a short fade from `late_before`.
    std::vector<float> delay[kMaxChannels];
    std::uint32_t late = 0, late_before = 0, late_fade = 0;

    // The processed signal, and what is left of it where it ends.
    bool wet = true;
    Glide on, mix, input_gain, output_gain;
    std::uint32_t rise = 0, fall = 0, fade = 480;
    float last[kMaxChannels] = {}, tail[kMaxChannels] = {};
    std::vector<float> block[kMaxChannels], scratch;

    // Seconds that the host is ahead of a clock on the wall: with our own waiting left out an offline bounce runs away
    // from it; with it, this is how long a host that plays to people can wait without harm.
    Clock::time_point last_run{};
    double ahead = 0, lead = 0, waited = 0;
    std::uint32_t usual = 0;  // frames of the host's largest block so far
    bool impatient = false;

    void ask_again();
    void keep_time(std::uint32_t frames);
    void send(const float* const* in, std::uint32_t frames, std::uint32_t start, const Midi* midi, std::uint32_t count);
    std::uint32_t turned_in(std::uint32_t start, std::uint32_t frames, Happening* happenings);
    bool await(std::int64_t first);
    std::chrono::milliseconds patience() const;
    std::uint32_t take(std::int64_t first, std::uint32_t frames, std::uint32_t& missing);
    void store_dry(const float* const* in, std::uint32_t frames);
    float dry(int channel, std::int64_t at) const;
    void play(float* const* out, std::uint32_t offset, std::int64_t at, std::uint32_t frames, bool processed);
};

}  // namespace nfx
