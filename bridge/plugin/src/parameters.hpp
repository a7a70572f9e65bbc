// The plugin's parameters: names, ranges and units, and macros as text. Hosts store indices, symbols and values in
// sessions, so all of them stay as they are.
#pragma once

#include "DistrhoPlugin.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "chunk.hpp"
#include "extra/ScopedSafeLocale.hpp"
#include "stream_request.hpp"

namespace nfx {

// DPF 1.6's VST3 wrapper takes the first parameter of an instrument for a MIDI controller. So the first is an output,
// which no host sets.
enum ParameterIndex : std::uint32_t {
    kConnected,
    kFirstMacro,
    kMix = kFirstMacro + kMacros,
    kBypass,
    kInputGain,
    kOutputGain,
    kBoardNumber,
    kLatencyBudget,
    kWaitForWorker,
    kRoundTrip,
    kDropouts,
    kParameterCount
};

enum StateIndex : std::uint32_t { kWorker, kToken, kBoard, kBoardText, kMovedMacros, kStateBoardNumber, kStateCount };

inline bool is_macro(std::uint32_t index) { return index >= kFirstMacro && index < kFirstMacro + kMacros; }

constexpr float kMaxRoundTripMs = 1000;
constexpr float kMaxDropouts = 1000;
constexpr float kMaxBoards = 32;

inline void describe(std::uint32_t index, const Welcome& welcome, DISTRHO_NAMESPACE::Parameter& parameter) {
    using namespace DISTRHO_NAMESPACE;
    constexpr std::uint32_t kInteger = kParameterIsAutomatable | kParameterIsInteger;
    const auto set = [&parameter](const char* name, const char* symbol, float low, float high, float initial,
                                  const char* unit = "", std::uint32_t hints = kParameterIsAutomatable) {
        parameter.name = name;
        parameter.symbol = symbol;
        parameter.unit = unit;
        parameter.hints = hints;
        parameter.ranges.min = low;
        parameter.ranges.max = high;
        parameter.ranges.def = initial;
    };
    switch (index) {
        case kMix: return set("Mix", "mix", 0, 1, 1);
        case kBypass: return parameter.initDesignation(kParameterDesignationBypass);
        case kInputGain: return set("Input Gain", "input_gain", -24, 24, 0, "dB");
        case kOutputGain: return set("Output Gain", "output_gain", -24, 24, 0, "dB");
        // Among the worker's boards, from 1. With 0 it is the board that the session or the settings name.
        case kBoardNumber: return set("Board", "board", 0, kMaxBoards, 0, "", kInteger);
        case kLatencyBudget: return set("Latency Budget", "latency_budget", 64, 16384, 1024, "frames", kInteger);
        case kWaitForWorker: {
            set("Wait For Worker", "waiting", 0, 2, 0, "", kInteger);
            auto* values = new ParameterEnumerationValue[3];  // the framework deletes it
            values[0] = {0, "When offline"};
            values[1] = {1, "Never"};
            values[2] = {2, "Always"};
            parameter.enumValues.values = values;
            parameter.enumValues.count = 3;
            parameter.enumValues.restrictedMode = true;
            return;
        }
        case kConnected: return set("Connected", "connected", 0, 1, 0, "", kParameterIsOutput | kParameterIsBoolean);
        case kRoundTrip: return set("Round Trip", "round_trip", 0, kMaxRoundTripMs, 0, "ms", kParameterIsOutput);
        case kDropouts:
            return set("Dropouts", "dropouts", 0, kMaxDropouts, 0, "", kParameterIsOutput | kParameterIsInteger);
        default: break;
    }
    const std::uint32_t macro = index - kFirstMacro;
    const std::string number = std::to_string(macro + 1);
    const bool known = macro < welcome.macros.size();
    const std::string name = "Macro " + number + (known ? ": " + welcome.macros[macro].name : "");
    set(name.c_str(), ("macro_" + number).c_str(), 0, 1, known ? float(welcome.macros[macro].value) : 0.5f);
    parameter.shortName = ("Macro " + number).c_str();
}

// Writes what a macro's position, 0 to 1, stands for, such as "-12.0 dB". Shows the range with four digits. Returns
// false if the macro has no range.
inline bool format_macro(const MacroInfo& macro, double position, char* text, std::size_t size) {
    const double span = std::abs(macro.maximum - macro.minimum);
    if (!(span > 0) || !std::isfinite(span)) return false;
    const int decimals = std::max(0, 3 - int(std::floor(std::log10(std::max(span, 0.001)))));
    const DISTRHO_NAMESPACE::ScopedSafeLocale locale;  // hosts set locales with a decimal comma
    const double value = macro.minimum + position * (macro.maximum - macro.minimum);
    std::snprintf(text, size, "%.*f%s%s", decimals, value, macro.unit.empty() ? "" : " ", macro.unit.c_str());
    return true;
}

// Reads a value that a user has typed, with its unit or without. Sets the position, 0 to 1. Returns false if it is no
// number.
inline bool parse_macro(const MacroInfo& macro, const char* text, double& position) {
    const double span = macro.maximum - macro.minimum;
    if (span == 0 || !std::isfinite(span)) return false;
    const DISTRHO_NAMESPACE::ScopedSafeLocale locale;
    char* end = nullptr;
    const double value = std::strtod(text, &end);
    if (end == text || !std::isfinite(value)) return false;
    position = std::min(std::max((value - macro.minimum) / span, 0.0), 1.0);
    return true;
}

}  // namespace nfx
