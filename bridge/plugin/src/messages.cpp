#include "messages.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace nfx::messages {

using nlohmann::json;

namespace {

// An object, whatever the bytes are; values of the wrong type count as missing.
json object(const std::string& text) {
    json found = json::parse(text, nullptr, false);
    return found.is_object() ? found : json::object();
}
std::string text_at(const json& from, const char* key) {
    const auto found = from.find(key);
    return found != from.end() && found->is_string() ? found->get<std::string>() : std::string();
}
double number_at(const json& from, const char* key, double otherwise) {
    const auto found = from.find(key);
    return found != from.end() && found->is_number() ? found->get<double>() : otherwise;
}
json list_at(const json& from, const char* key, json otherwise) {
    const auto found = from.find(key);
    return found != from.end() && found->type() == otherwise.type() ? *found : otherwise;
}
constexpr double kMostLatency = 1 << 20;

}  // namespace

std::string hello_json(const Wish& wish) {
    json hello = {{"version", 1},
                  {"board", wish.board},
                  {"sample_rate", wish.rate},
                  {"channels", wish.channels},
                  {"block", kMostFrames},
                  {"token", wish.token},
                  {"text", wish.text.size() > kMostText ? "" : wish.text},
                  {"notes", wish.notes}};
    const auto written = [&hello] { return hello.dump(-1, ' ', true, json::error_handler_t::replace); };
    const std::string whole = written();
    if (whole.size() <= kMostJson) return whole;
    hello["text"] = "";  // letters beyond ASCII take more room as JSON than in the text
    return written();
}

bool read_welcome(const std::string& text, bool notes, Welcome& welcome, std::uint32_t& latency) {
    const json found = object(text);
    if (!read_latency(text, latency)) return false;
    welcome = Welcome{};
    welcome.board = text_at(found, "board");
    welcome.text = text_at(found, "text");
    const json boards = list_at(found, "boards", json::object());
    for (const auto& [name, takes_notes] : boards.items())
        if (takes_notes.is_boolean() && takes_notes.get<bool>() == notes) welcome.boards.push_back(name);
    const json macros = list_at(found, "macros", json::array());
    for (const json& macro : macros) {
        if (!macro.is_object() || welcome.macros.size() == kMacros) continue;
        welcome.macros.push_back({text_at(macro, "name"), text_at(macro, "unit"),
                                  std::min(std::max(number_at(macro, "value", 0.5), 0.0), 1.0),
                                  number_at(macro, "min", 0), number_at(macro, "max", 1)});
    }
    return true;
}

std::string read_reason(const std::string& text) {
    const std::string reason = text_at(object(text), "reason");
    return reason.empty() ? "the worker refuses" : reason;
}

bool read_latency(const std::string& text, std::uint32_t& latency) {
    const double found = number_at(object(text), "latency", -1);
    if (!(found >= 0 && found <= kMostLatency)) return false;
    latency = std::uint32_t(found);
    return true;
}

}  // namespace nfx::messages
