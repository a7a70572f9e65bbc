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
    CONNECTED,
    FIRST_MACRO,
    MIX = FIRST_MACRO + MACROS,
    BYPASS,
    INPUT_GAIN,
    OUTPUT_GAIN,
    BOARD_NUMBER,
    LATENCY_BUDGET,
    WAIT_FOR_WORKER,
    ROUND_TRIP,
    DROPOUTS,
    PARAMETER_COUNT
};

enum StateIndex : std::uint32_t { WORKER, TOKEN, BOARD, BOARD_TEXT, MOVED_MACROS, STATE_BOARD_NUMBER, STATE_COUNT };

inline bool is_macro(std::uint32_t index) { return index >= FIRST_MACRO && index < FIRST_MACRO + MACROS; }

constexpr float MAX_ROUND_TRIP_MS = 1000;
constexpr float MAX_DROPOUTS = 1000;
constexpr float MAX_BOARDS = 32;

inline void describe(std::uint32_t index, const Welcome& welcome, DISTRHO_NAMESPACE::Parameter& parameter) {
    using namespace DISTRHO_NAMESPACE;
    constexpr std::uint32_t INTEGER = kParameterIsAutomatable | kParameterIsInteger;
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
        case MIX: return set("Mix", "mix", 0, 1, 1);
        case BYPASS: return parameter.initDesignation(kParameterDesignationBypass);
        case INPUT_GAIN: return set("Input Gain", "input_gain", -24, 24, 0, "dB");
        case OUTPUT_GAIN: return set("Output Gain", "output_gain", -24, 24, 0, "dB");
        // Among the worker's boards, from 1. With 0 it is the board that the session or the settings name.
        case BOARD_NUMBER: return set("Board", "board", 0, MAX_BOARDS, 0, "", INTEGER);
        case LATENCY_BUDGET: return set("Latency Budget", "latency_budget", 64, 16384, 1024, "frames", INTEGER);
        case WAIT_FOR_WORKER: {
            set("Wait For Worker", "waiting", 0, 2, 0, "", INTEGER);
            auto* values = new ParameterEnumerationValue[3];  // the framework deletes it
            values[0] = {0, "When offline"};
            values[1] = {1, "Never"};
            values[2] = {2, "Always"};
            parameter.enumValues.values = values;
            parameter.enumValues.count = 3;
            parameter.enumValues.restrictedMode = true;
            return;
        }
        case CONNECTED: return set("Connected", "connected", 0, 1, 0, "", kParameterIsOutput | kParameterIsBoolean);
        case ROUND_TRIP: return set("Round Trip", "round_trip", 0, MAX_ROUND_TRIP_MS, 0, "ms", kParameterIsOutput);
        case DROPOUTS:
            return set("Dropouts", "dropouts", 0, MAX_DROPOUTS, 0, "", kParameterIsOutput | kParameterIsInteger);
        default: break;
    }
    const std::uint32_t macro = index - FIRST_MACRO;
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
