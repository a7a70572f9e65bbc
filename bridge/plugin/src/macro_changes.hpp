// The macros' values: set by the host from any thread, sent to the worker as events of a block.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "link.hpp"

namespace nfx {

// A macro stays where the board has it until the host moves it. Some hosts set every parameter when they load a plugin,
// to the value that it already has. That is no move, so the host's last value of each macro is kept.
class MacroChanges {
public:
    static constexpr std::uint32_t MAX_TIMED = 256;  // changes in one block; further ones lose their frame
    static constexpr std::uint32_t MAX_EVENTS = MACROS + MAX_TIMED;

    explicit MacroChanges(Link& shared_link);

    // ---- any thread
    void set_host_value(int index, float value) { host_value[std::size_t(index)].store(value); }
    void set(int index, float value);
    float get(int index) const { return link.macro[std::size_t(index)].load(); }
    // The numbers of the moved macros as a session stores them, such as "1 4".
    std::string moved() const;
    void restore_moved(const std::string& numbers);

    // ---- the audio thread
    void reset();
    void set_at(int index, float value, std::uint32_t frame);  // a frame of the next block
    void start_block(std::uint32_t frames);
    // Writes the changes in the `frames` frames from `start` of this block, and returns how many there are. A change
    // without a frame comes at the beginning of the block.
    std::uint32_t collect(std::uint32_t start, std::uint32_t frames, Event* events);
    void end_block() { timed_count = 0; }

private:
    Link& link;
    std::array<std::atomic<float>, MACROS> host_value{};
    std::array<float, MACROS> sent{};
    std::array<Event, MAX_TIMED> timed{};  // of the next block, in the order of their frames
    std::uint32_t timed_count = 0;

    bool move(int index, float value);
};

}  // namespace nfx
