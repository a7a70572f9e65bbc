// Runs the engine as a host's audio thread would, beside a worker that behaves as told, and counts what it must not do.
//   realtime_probe PORT SECONDS: JSON with allocations, waits (voluntary context switches) and the times of a call.
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
static double micros(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return now.tv_sec * 1e6 + now.tv_nsec * 1e-3;
}

int main(int, char** arguments) {
    constexpr std::uint32_t kFrames = 256;
    constexpr double kRate = 48000;
    nfx::Engine engine(2, 2);
    engine.wish(std::string("127.0.0.1:") + arguments[1], "", "lead", "");
    engine.knobs.host.store(nfx::Host::live);
    engine.activate(kRate, kFrames);
    std::vector<float> buffers[4];
    for (auto& buffer : buffers) buffer.assign(kFrames, 0.0f);
    const float* in[2] = {buffers[0].data(), buffers[1].data()};
    float* out[2] = {buffers[2].data(), buffers[3].data()};
    const int blocks = int(std::atof(arguments[2]) * kRate / kFrames);
    std::vector<double> wall, cpu;
    wall.reserve(std::size_t(blocks)), cpu.reserve(std::size_t(blocks));
    long waited = 0;
    auto next = nfx::Clock::now();
    for (int block = 0; block < blocks; ++block) {
        for (std::uint32_t i = 0; i < kFrames; ++i)
            buffers[0][i] = buffers[1][i] = float(0.3 * std::sin(0.01 * (block * kFrames + i)));
        engine.turn_macro(0, float(block % 100) / 100);
        const long before = waits();
        const double wall_before = micros(CLOCK_MONOTONIC), cpu_before = micros(CLOCK_THREAD_CPUTIME_ID);
        counting = true;
        engine.run(in, out, kFrames, nullptr, 0);
        counting = false;
        cpu.push_back(micros(CLOCK_THREAD_CPUTIME_ID) - cpu_before);
        wall.push_back(micros(CLOCK_MONOTONIC) - wall_before);
        waited += waits() - before;
        next += std::chrono::nanoseconds(std::int64_t(1e9 * kFrames / kRate));
        std::this_thread::sleep_until(next);
    }
    const auto at = [](std::vector<double>& times, double share) {
        std::sort(times.begin(), times.end());
        return times[std::size_t(share * double(times.size() - 1))];
    };
    std::printf(
        "{\"blocks\": %d, \"allocations\": %ld, \"waits\": %ld, \"p50_us\": %.2f, \"p99_us\": %.2f, "
        "\"p99_9_us\": %.2f, \"cpu_p99_9_us\": %.2f, \"dropouts\": %u, \"connected\": %d}\n",
        blocks, allocations, waited, at(wall, 0.5), at(wall, 0.99), at(wall, 0.999), at(cpu, 0.999), engine.dropouts(),
        int(engine.connected()));
}
