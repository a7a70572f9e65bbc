// The plugin's parameters and what they are called.
#pragma once

#include "DistrhoPlugin.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "extra/ScopedSafeLocale.hpp"
#include "link.hpp"

namespace nfx {

// The framework's VST3 wrapper takes a synthesizer's first parameter for a MIDI controller (1.6: one too many), so the
// first is one that no host sets.
enum ParameterIndex : std::uint32_t {
    kConnected,
    kMacro,
    kMix = kMacro + kMacros,
    kBypass,
    kInputGain,
    kOutputGain,
    kBoardNumber,
    kLatency,
    kWaiting,
    kRoundTrip,
    kDropouts,
    kParameterCount
};

enum StateIndex : std::uint32_t { kWorker, kToken, kBoard, kText, kTurned, kNumber, kStateCount };

inline bool is_macro(std::uint32_t index) { return index >= kMacro && index < kMacro + kMacros; }

constexpr float kMostRoundTrip = 1000, kMostDropouts = 1000, kMostBoards = 32;

inline void describe(std::uint32_t index, const Welcome& welcome, DISTRHO_NAMESPACE::Parameter& p) {
    using namespace DISTRHO_NAMESPACE;
    const auto set = [&p](const char* name, const char* symbol, float low, float high, float otherwise,
                          const char* unit = "", uint32_t hints = kParameterIsAutomatable) {
        p.name = name, p.symbol = symbol, p.unit = unit, p.hints = hints;
        p.ranges.min = low, p.ranges.max = high, p.ranges.def = otherwise;
    };
    switch (index) {
        case kMix: return set("Mix", "mix", 0, 1, 1);
        case kBypass: return p.initDesignation(kParameterDesignationBypass);
        case kInputGain: return set("Input Gain", "input_gain", -24, 24, 0, "dB");
        case kOutputGain: return set("Output Gain", "output_gain", -24, 24, 0, "dB");
        case kBoardNumber:  // of those that the worker has; 0: the one that the session or the settings name
            return set("Board", "board", 0, kMostBoards, 0, "", kParameterIsAutomatable | kParameterIsInteger);
        case kLatency:
            return set("Latency Budget", "latency_budget", 64, 16384, 1024, "frames",
                       kParameterIsAutomatable | kParameterIsInteger);
        case kWaiting: {
            set("Wait For Worker", "waiting", 0, 2, 0, "", kParameterIsAutomatable | kParameterIsInteger);
            auto* values = new ParameterEnumerationValue[3];
            values[0] = {0, "When offline"}, values[1] = {1, "Never"}, values[2] = {2, "Always"};
            p.enumValues.values = values, p.enumValues.count = 3, p.enumValues.restrictedMode = true;
            return;
        }
        case kConnected: return set("Connected", "connected", 0, 1, 0, "", kParameterIsOutput | kParameterIsBoolean);
        case kRoundTrip: return set("Round Trip", "round_trip", 0, kMostRoundTrip, 0, "ms", kParameterIsOutput);
        case kDropouts:
            return set("Dropouts", "dropouts", 0, kMostDropouts, 0, "", kParameterIsOutput | kParameterIsInteger);
        default: break;
    }
    const std::uint32_t macro = index - kMacro;
    const std::string number = std::to_string(macro + 1);
    const bool known = macro < welcome.macros.size();
    const std::string name = "Macro " + number + (known ? ": " + welcome.macros[macro].name : "");
    set(name.c_str(), ("macro_" + number).c_str(), 0, 1, known ? float(welcome.macros[macro].value) : 0.5f);
    p.shortName = ("Macro " + number).c_str();
}

// A macro's position as what it turns, such as "-12.0 dB", in four digits; false if there is no range to speak of.
inline bool show(const MacroInfo& macro, double position, char* text, std::size_t size) {
    const double span = std::abs(macro.maximum - macro.minimum);
    if (!(span > 0) || !std::isfinite(span)) return false;
    const int decimals = std::max(0, 3 - int(std::floor(std::log10(std::max(span, 0.001)))));
    const DISTRHO_NAMESPACE::ScopedSafeLocale locale;
    const double value = macro.minimum + position * (macro.maximum - macro.minimum);
    std::snprintf(text, size, "%.*f%s%s", decimals, value, macro.unit.empty() ? "" : " ", macro.unit.c_str());
    return true;
}

// The other way round: the position, 0..1, of a value that somebody typed, with its unit or without.
inline bool read(const MacroInfo& macro, const char* text, double& position) {
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
