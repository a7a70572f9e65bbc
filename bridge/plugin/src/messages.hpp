// Messages of the worker's streaming protocol, version 1: see bridge/PROTOCOL.md. For little-endian machines only.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "chunk.hpp"
#include "stream_request.hpp"

namespace nfx::messages {

constexpr std::size_t HEADER_BYTES = 16;
constexpr std::size_t MAX_PAYLOAD = 4 << 20;
constexpr std::size_t MAX_JSON = 1 << 16;
constexpr std::uint32_t MAX_BLOCK_FRAMES = 4096;  // of our BLOCKs, as HELLO says
constexpr std::size_t MAX_BOARD_TEXT = 40000;     // bytes in a HELLO

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

// Whether `count` float32 samples are neither NaN nor infinite. Looks at the bits, as the bytes need not be aligned.
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

inline void append_event(Bytes& to, const Event& event) {
    const std::string address = event.macro ? "macro/" + std::to_string(event.macro) : "";
    const std::size_t midi_size = event.macro ? 0 : event.midi_size;
    append<std::uint32_t>(to, event.offset);
    append<double>(to, event.macro ? event.value : 0.0);
    append<std::uint16_t>(to, std::uint16_t(address.size()));
    append<std::uint16_t>(to, std::uint16_t(midi_size));
    append(to, address.data(), address.size());
    append(to, event.midi, midi_size);
}

// ---- the JSON of messages: these throw nothing, whatever the worker sends
std::string hello_json(const StreamRequest& request);
// Return false if the JSON lacks a valid latency, which is in samples. `notes` chooses boards that take notes.
bool read_welcome(const std::string& json, bool notes, Welcome& welcome, std::uint32_t& latency);
std::string read_reason(const std::string& json);
bool read_latency(const std::string& json, std::uint32_t& latency);

}  // namespace nfx::messages
