#include "macro_changes.hpp"

#include <algorithm>

namespace nfx {

namespace {

Event macro_event(std::uint32_t offset, int index, float value) {
    return {offset, std::uint8_t(index + 1), 0, {}, double(value)};
}

}  // namespace

MacroChanges::MacroChanges(Link& shared_link) : link(shared_link) {
    for (auto& value : link.macro) value.store(0.5f);
    for (auto& value : host_value) value.store(0.5f);
}

bool MacroChanges::move(int index, float value) {
    const std::size_t i = std::size_t(index);
    if (host_value[i].exchange(value) == value) return false;
    link.macro[i].store(value);
    link.macro_moved[i].store(true);
    return true;
}

void MacroChanges::set(int index, float value) { move(index, value); }

std::string MacroChanges::moved() const {
    std::string numbers;
    for (std::size_t i = 0; i < MACROS; ++i)
        if (link.macro_moved[i].load()) numbers += (numbers.empty() ? "" : " ") + std::to_string(i + 1);
    return numbers;
}

void MacroChanges::restore_moved(const std::string& numbers) {
    for (std::size_t i = 0; i < MACROS; ++i) {
        if (numbers.find(char('1' + i)) == std::string::npos) continue;
        link.macro[i].store(host_value[i].load());
        link.macro_moved[i].store(true);
    }
}

void MacroChanges::reset() {
    for (int i = 0; i < MACROS; ++i) sent[std::size_t(i)] = get(i);
    timed_count = 0;
}

void MacroChanges::set_at(int index, float value, std::uint32_t frame) {
    if (!move(index, value) || timed_count == MAX_TIMED) return;
    std::uint32_t place = timed_count++;
    for (; place > 0 && timed[place - 1].offset > frame; --place) timed[place] = timed[place - 1];
    timed[place] = macro_event(frame, index, value);
}

void MacroChanges::start_block(std::uint32_t frames) {
    for (std::uint32_t i = 0; i < timed_count; ++i) timed[i].offset = std::min(timed[i].offset, frames - 1);
}

std::uint32_t MacroChanges::collect(std::uint32_t start, std::uint32_t frames, Event* events) {
    std::uint32_t count = 0;
    bool has_frame[MACROS] = {};
    for (std::uint32_t i = 0; i < timed_count; ++i) {
        Event event = timed[i];
        has_frame[event.macro - 1] = true;
        if (event.offset < start || event.offset >= start + frames) continue;
        event.offset -= start;
        sent[event.macro - 1u] = float(event.value);
        events[count++] = event;
    }
    if (start) return count;
    for (int i = 0; i < MACROS; ++i) {
        const std::size_t index = std::size_t(i);
        const float value = get(i);
        if (has_frame[i] || value == sent[index] || !link.macro_moved[index].load()) continue;
        sent[index] = value;
        events[count++] = macro_event(0, i, value);
    }
    return count;
}

}  // namespace nfx
