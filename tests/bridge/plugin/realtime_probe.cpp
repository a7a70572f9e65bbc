// Runs the engine as a host's audio thread does, and counts what a real-time thread must not do.
//   realtime_probe PORT SECONDS
// Prints JSON: allocations, waits (voluntary context switches), and how long a call takes.
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "engine.hpp"

static thread_local bool counting = false;
static thread_local long allocations = 0;

// The C library's own functions are replaced, as `new`, strings and the library's own code all end there.
extern "C" void* __libc_malloc(std::size_t);
extern "C" void __libc_free(void*);
extern "C" void* malloc(std::size_t count) {
    allocations += counting;
    return __libc_malloc(count);
}
extern "C" void free(void* at) {
    allocations += counting && at;
    __libc_free(at);
}

static long waits() {
    rusage usage{};
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}
static double quantile(std::vector<double>& times, double share) {
    std::sort(times.begin(), times.end());
    return times[std::size_t(share * double(times.size() - 1))];
}
static double micros(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return now.tv_sec * 1e6 + now.tv_nsec * 1e-3;
}

int main(int, char** arguments) {
    constexpr std::uint32_t FRAMES = 256;
    constexpr double RATE = 48000;
    nfx::Engine engine(2, 2);
    engine.request_stream(std::string("127.0.0.1:") + arguments[1], "", "lead", "");
    engine.controls.host_mode.store(nfx::HostMode::live);
    engine.activate(RATE, FRAMES);
    std::vector<float> buffers[4];
    for (auto& buffer : buffers) buffer.assign(FRAMES, 0.0f);
    const float* in[2] = {buffers[0].data(), buffers[1].data()};
    float* out[2] = {buffers[2].data(), buffers[3].data()};
    const int blocks = int(std::atof(arguments[2]) * RATE / FRAMES);
    std::vector<double> wall_us;
    std::vector<double> cpu_us;
    wall_us.reserve(std::size_t(blocks));
    cpu_us.reserve(std::size_t(blocks));
    long waited = 0;
    auto next = nfx::Clock::now();
    for (int block = 0; block < blocks; ++block) {
        for (std::uint32_t i = 0; i < FRAMES; ++i) buffers[0][i] = float(0.3 * std::sin(0.01 * (block * FRAMES + i)));
        buffers[1] = buffers[0];
        engine.macros.set(0, float(block % 100) / 100);
        const long before = waits();
        const double wall_before = micros(CLOCK_MONOTONIC);
        const double cpu_before = micros(CLOCK_THREAD_CPUTIME_ID);
        counting = true;
        engine.run(in, out, FRAMES, nullptr, 0);
        counting = false;
        cpu_us.push_back(micros(CLOCK_THREAD_CPUTIME_ID) - cpu_before);
        wall_us.push_back(micros(CLOCK_MONOTONIC) - wall_before);
        waited += waits() - before;
        next += std::chrono::nanoseconds(std::int64_t(1e9 * FRAMES / RATE));
        std::this_thread::sleep_until(next);
    }
    std::printf(
        "{\"blocks\": %d, \"allocations\": %ld, \"waits\": %ld, \"p50_us\": %.2f, \"p99_us\": %.2f, "
        "\"p99_9_us\": %.2f, \"cpu_p99_9_us\": %.2f, \"dropouts\": %u, \"connected\": %d}\n",
        blocks, allocations, waited, quantile(wall_us, 0.5), quantile(wall_us, 0.99), quantile(wall_us, 0.999),
        quantile(cpu_us, 0.999), engine.dropouts(), int(engine.connected()));
}
