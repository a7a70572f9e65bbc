// The worker's streaming protocol, version 1: bridge/PROTOCOL.md as code. Little-endian machines only.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "link.hpp"

namespace nfx::messages {

constexpr std::size_t kHeader = 16, kMostBytes = 4 << 20, kMostJson = 1 << 16;
constexpr std::uint32_t kMostFrames = 4096;  // in one BLOCK of ours
constexpr std::size_t kMostText = 40000;     // of a board, in a HELLO

enum Kind : std::uint8_t { hello = 1, welcome, refuse, block, audio, reset, ping, pong, notice, bye };

struct Header {
    Kind kind;
    std::uint32_t length;
    std::uint64_t sequence;
};

using Bytes = std::vector<std::uint8_t>;

template <class T>
void append(Bytes& to, T value) {
    const auto* from = reinterpret_cast<const std::uint8_t*>(&value);
    to.insert(to.end(), from, from + sizeof value);
}
inline void append(Bytes& to, const void* from, std::size_t count) {
    const auto* bytes = static_cast<const std::uint8_t*>(from);
    to.insert(to.end(), bytes, bytes + count);
}
template <class T>
T read(const std::uint8_t* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

// Whether so many little-endian float32 samples can be played.
inline bool all_finite(const std::uint8_t* samples, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
        if ((read<std::uint32_t>(samples + 4 * i) & 0x7f800000u) == 0x7f800000u) return false;
    return true;
}

inline void append_header(Bytes& to, Kind kind, std::size_t length, std::uint64_t sequence = 0) {
    append<std::uint32_t>(to, kind);
    append<std::uint32_t>(to, std::uint32_t(length));
    append<std::uint64_t>(to, sequence);
}
inline Header read_header(const std::uint8_t* from) {
    return {Kind(from[0]), read<std::uint32_t>(from + 4), read<std::uint64_t>(from + 8)};
}

inline void append_event(Bytes& to, std::uint32_t offset, double value, const std::string& address,
                         const std::uint8_t* midi, std::size_t size) {
    append<std::uint32_t>(to, offset);
    append<double>(to, value);
    append<std::uint16_t>(to, std::uint16_t(address.size()));
    append<std::uint16_t>(to, std::uint16_t(size));
    append(to, address.data(), address.size());
    append(to, midi, size);
}
inline void append_event(Bytes& to, const Happening& happening, std::uint32_t offset) {
    if (happening.macro)
        append_event(to, offset, happening.value, "macro/" + std::to_string(happening.macro), nullptr, 0);
    else
        append_event(to, offset, 0, "", happening.midi, happening.size);
}

// JSON, in messages.cpp; they throw nothing.
std::string hello_json(const Wish& wish);
// False for what is no WELCOME; `latency` in samples.
bool read_welcome(const std::string& json, bool notes, Welcome& welcome, std::uint32_t& latency);
std::string read_reason(const std::string& json);
bool read_latency(const std::string& json, std::uint32_t& latency);

}  // namespace nfx::messages
