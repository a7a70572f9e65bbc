// Live audio without the interpreter: a thread takes blocks from a ring in shared memory, plays a `Program` on them,
// and puts them into another ring. Python only starts it, stops it, sends it changes and reads its meters.
#pragma once

#include <array>
#include <atomic>
#include <climits>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "block_ring.hpp"
#include "change_queue.hpp"
#include "pipe.hpp"
#include "program.hpp"

namespace nfx {

// A crossfade to another program, as in `bridge.host.stream.BoardStream`. The next program first plays unheard for
// `warming` samples, and then fades in over `length`.
struct Fade {
    Program* program = nullptr;
    int64_t warming = 0;
    int64_t done = 0;
    int64_t length = 1;
};

class Loop {
public:
    enum class Faded { none, under_way, finished, failed };

    static constexpr int LATE_BLOCKS = 32;       // in a row, after which the thread gives up its realtime priority
    static constexpr double CLOCK_SLACK = 0.25;  // seconds, as `bridge.host.stream.CLOCK_SLACK`

    // Meters, which Python reads while the thread plays.
    std::atomic<uint64_t> blocks{0};
    std::atomic<uint64_t> late{0};
    std::atomic<uint64_t> allocated{0};
    std::atomic<double> load{0};
    std::atomic<float> peak_in{0};
    std::atomic<float> peak_out{0};
    std::atomic<bool> failed{false};
    std::atomic<bool> realtime{false};
    std::atomic<Faded> faded{Faded::none};
    Pipe attention;  // becomes readable for Python when something has happened

    Loop(int source, BlockRing incoming, BlockRing outgoing);
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
    ~Loop() { close(); }

    int messages() const { return forward.out; }

    // Play a program from the next block on, and fade to another one if `to` has one. False if the source has ended.
    bool start(Program& next, const Fade& to, double time);

    // Stop after the present block. Returns the bytes of the source that were read and not passed on.
    std::string stop();

    // Return false if too many changes wait.
    bool change(const Change& change) { return changes.push(change); }

    // End the thread after the present block.
    void close();

    // Only while stopped: the waiting changes of a program. Those of other programs are dropped.
    std::vector<Change> unmade(const Program& of);

    // Only while stopped: the state of a fade, and the time of the stream in Unix seconds.
    const Fade& fading() const { return fade; }
    double time() const { return clock; }

private:
    enum class State { parked, playing, parking, ended };

    struct Due {
        int offset;
        size_t order;
        Change change;
    };

    int source;
    BlockRing incoming;
    BlockRing outgoing;
    Pipe control;  // from Python: the state has changed
    Pipe forward;  // to Python: messages of the source
    std::thread thread;
    std::mutex mutex;  // the thread takes it only when it starts or stops playing
    std::condition_variable changed;
    std::atomic<State> state{State::parked};
    std::atomic<bool> closing{false};

    Program* program = nullptr;
    Fade fade;
    double clock = 0;

    ChangeQueue changes;
    std::vector<Change> waiting;  // until their time comes
    size_t waiting_count = 0;
    std::vector<Due> due;  // in the present block
    size_t due_count = 0;

    std::vector<float> sound;  // the present block
    std::vector<float> spare;  // the output while the outgoing ring is full
    std::vector<float> newer;  // the output of the program that fades in

    std::array<char, PIPE_BUF> unsent;
    size_t unsent_bytes = 0;
    bool at_boundary = true;  // whether the source's next byte begins a message
    int late_in_a_row = 0;

    // The thread, and its two neighbours: the process that does the audio, and Python.
    void work();
    void leave(State to);
    bool listen();
    bool receive();
    void send();
    int quarter_block_ms() const;

    // The audio.
    void serve();
    void play_block(float* out);
    void find_due();
    void play_pieces(float* out);
    void play(int from, int to, float* out);
    void fade_in(int from, int to, float* out);
    void end_fade(Faded result);
    void measure_load(double share);
};

}  // namespace nfx
