// The settings of a new instance: NEURAL_FX_WORKER, NEURAL_FX_BOARD and NEURAL_FX_TOKEN, or else the file that
// `neural-fx plugin connect` writes.
#pragma once

#include <cctype>
#include <cstdlib>
#include <fstream>
#include <string>

namespace nfx {

inline std::string settings_file() {
#ifdef _WIN32
    const char* const home = std::getenv("APPDATA");
    return home ? std::string(home) + "\\neural-fx\\plugin" : "";
#else
    const char* const home = std::getenv("HOME");
    return home ? std::string(home) + "/.config/neural-fx/plugin" : "";
#endif
}

// The file has lines such as `worker=192.168.0.7:9010`.
inline std::string setting(const std::string& name, const char* fallback = "") {
    std::string variable = "NEURAL_FX_";
    for (const char c : name) variable += char(std::toupper(static_cast<unsigned char>(c)));
    const char* const found = std::getenv(variable.c_str());
    if (found && *found) return found;
    std::ifstream file(settings_file());
    for (std::string line; std::getline(file, line);)
        if (line.compare(0, name.size() + 1, name + "=") == 0) return line.substr(name.size() + 1);
    return fallback;
}

}  // namespace nfx
