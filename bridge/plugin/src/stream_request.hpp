// The stream that an instance asks a worker for, and the worker's answer.
#pragma once

#include <string>
#include <vector>

namespace nfx {

struct StreamRequest {
    std::string host = "127.0.0.1";
    std::string port = "9010";
    std::string token;
    std::string board;  // its name at the worker; empty for the first that fits
    std::string text;   // the board's YAML, for a worker that has no board of that name
    double rate = 48000;
    int channels = 2;
    bool notes = false;
};

struct MacroInfo {
    std::string name;
    std::string unit;
    double value = 0.5;  // 0 to 1
    double minimum = 0;
    double maximum = 1;
};

struct Welcome {
    std::string board;
    std::string text;
    std::vector<std::string> boards;  // those that fit: effects for an effect, instruments for an instrument
    std::vector<MacroInfo> macros;
    std::string refusal;  // the worker's reason if it refused the stream
};

// Sets host and port from HOST:PORT, HOST or [IPv6]:PORT. A part that is missing gets its default.
inline void set_address(StreamRequest& request, const std::string& address) {
    const std::size_t colon = address.rfind(':');
    request.host = address.substr(0, colon);
    request.port = colon == std::string::npos ? "9010" : address.substr(colon + 1);
    const std::string host = request.host;
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') request.host = host.substr(1, host.size() - 2);
    if (request.host.empty()) request.host = "127.0.0.1";
}

}  // namespace nfx
