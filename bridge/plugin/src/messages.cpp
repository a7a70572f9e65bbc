#include "messages.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace nfx::messages {

using nlohmann::json;

namespace {

constexpr double MAX_LATENCY = 1 << 20;  // samples, as in bridge/PROTOCOL.md

// Returns an object, whatever the bytes are. Values of the wrong type count as missing: a later worker may send others.
json object_from(const std::string& text) {
    json found = json::parse(text, nullptr, false);
    return found.is_object() ? found : json::object();
}

std::string text_at(const json& from, const char* key) {
    const auto found = from.find(key);
    return found != from.end() && found->is_string() ? found->get<std::string>() : std::string();
}

double number_at(const json& from, const char* key, double fallback) {
    const auto found = from.find(key);
    return found != from.end() && found->is_number() ? found->get<double>() : fallback;
}

// Returns an object or an array: the value if it has the type of `fallback`.
json container_at(const json& from, const char* key, json fallback) {
    const auto found = from.find(key);
    return found != from.end() && found->type() == fallback.type() ? *found : fallback;
}

// ASCII only, and invalid UTF-8 from a session is replaced: `dump` would throw.
std::string to_text(const json& object) { return object.dump(-1, ' ', true, json::error_handler_t::replace); }

}  // namespace

std::string hello_json(const StreamRequest& request) {
    json hello = {{"version", 1},
                  {"board", request.board},
                  {"sample_rate", request.rate},
                  {"channels", request.channels},
                  {"block", MAX_BLOCK_FRAMES},
                  {"token", request.token},
                  {"text", request.text.size() > MAX_BOARD_TEXT ? "" : request.text},
                  {"notes", request.notes}};
    std::string text = to_text(hello);
    if (text.size() > MAX_JSON) {  // letters beyond ASCII take more room as JSON
        hello["text"] = "";
        text = to_text(hello);
    }
    return text;
}

bool read_welcome(const std::string& text, bool notes, Welcome& welcome, std::uint32_t& latency) {
    const json found = object_from(text);
    if (!read_latency(text, latency)) return false;
    welcome = Welcome{};
    welcome.board = text_at(found, "board");
    welcome.text = text_at(found, "text");
    const json boards = container_at(found, "boards", json::object());
    for (const auto& [name, takes_notes] : boards.items())
        if (takes_notes.is_boolean() && takes_notes.get<bool>() == notes) welcome.boards.push_back(name);
    const json macros = container_at(found, "macros", json::array());
    for (const json& macro : macros) {
        if (!macro.is_object() || welcome.macros.size() == MACROS) continue;
        welcome.macros.push_back({text_at(macro, "name"), text_at(macro, "unit"),
                                  std::min(std::max(number_at(macro, "value", 0.5), 0.0), 1.0),
                                  number_at(macro, "min", 0), number_at(macro, "max", 1)});
    }
    return true;
}

std::string read_reason(const std::string& text) {
    const std::string reason = text_at(object_from(text), "reason");
    return reason.empty() ? "the worker refuses" : reason;
}

bool read_latency(const std::string& text, std::uint32_t& latency) {
    const double found = number_at(object_from(text), "latency", -1);
    if (!(found >= 0 && found <= MAX_LATENCY)) return false;
    latency = std::uint32_t(found);
    return true;
}

}  // namespace nfx::messages
