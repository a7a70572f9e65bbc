// Live audio without the interpreter: a thread that takes blocks from a ring in shared memory, plays a `Program` on
// them, and puts them into another ring. Python only starts it, stops it, sends it changes and reads its meters.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cfloat>
#include <chrono>
#include <climits>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>

#include "denormals.hpp"
#include "program.hpp"

namespace nfx {

// One side of `bridge.live.ring.Ring`: two counters, then blocks of (channels, frames).
class BlockRing {
    char* memory;
    size_t read_at, samples_at, block;
    uint64_t blocks;

    // Not std::atomic_ref, which libc++ has only had since 2024.
    uint64_t load(size_t at, int order) const {
        return __atomic_load_n(reinterpret_cast<uint64_t*>(memory + at), order);
    }
    void advance(size_t at) const { __atomic_fetch_add(reinterpret_cast<uint64_t*>(memory + at), 1, __ATOMIC_RELEASE); }
    float* slot(uint64_t index) const {
        return reinterpret_cast<float*>(memory + samples_at) + (index % blocks) * block;
    }

public:
    BlockRing(void* memory, size_t bytes, size_t head, size_t blocks, size_t block)
        : memory(static_cast<char*>(memory)), read_at(head), samples_at(2 * head), block(block), blocks(blocks) {
        const bool aligned =
            reinterpret_cast<uintptr_t>(memory) % alignof(uint64_t) == 0 && head % alignof(uint64_t) == 0;
        if (!aligned || head < sizeof(uint64_t) || blocks < 1 || bytes < 2 * head + blocks * block * sizeof(float))
            throw std::invalid_argument("NativeLoop: the memory of a ring does not fit");
    }

    // The oldest block that waits, or null; `taken` frees it.
    const float* oldest() const {
        const uint64_t read = load(read_at, __ATOMIC_RELAXED);
        return load(0, __ATOMIC_ACQUIRE) == read ? nullptr : slot(read);
    }
    void taken() const { advance(read_at); }

    // Where the next block goes, or null if all are full; `put` sends it off.
    float* free_slot() const {
        const uint64_t written = load(0, __ATOMIC_RELAXED);
        return written - load(read_at, __ATOMIC_ACQUIRE) >= blocks ? nullptr : slot(written);
    }
    void put() const { advance(0); }
    size_t block_size() const { return block; }
};

// Changes from one thread to another, without locks.
class ChangeQueue {
public:
    static constexpr size_t CAPACITY = 4096;

    bool push(const Change& change) {
        const size_t end = written.load(std::memory_order_relaxed);
        if (end - read.load(std::memory_order_acquire) == CAPACITY) return false;
        changes[end % CAPACITY] = change;
        written.store(end + 1, std::memory_order_release);
        return true;
    }
    bool pop(Change& change) {
        const size_t start = read.load(std::memory_order_relaxed);
        if (written.load(std::memory_order_acquire) == start) return false;
        change = changes[start % CAPACITY];
        read.store(start + 1, std::memory_order_release);
        return true;
    }

private:
    std::vector<Change> changes = std::vector<Change>(CAPACITY);
    std::atomic<size_t> written{0}, read{0};
};

// A pipe of two descriptors that close themselves; writing never blocks.
struct Pipe {
    int out = -1, in = -1;

    Pipe() {
        int ends[2];
        if (pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "NativeLoop: no pipe");
        out = ends[0], in = ends[1];
        for (int end : ends) {
            fcntl(end, F_SETFD, FD_CLOEXEC);
            fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK);
        }
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() {
        shut(out);
        shut(in);
    }
    static void shut(int& end) {
        if (end >= 0) ::close(end);
        end = -1;
    }
    // A full pipe is no loss: its reader is about to wake.
    void knock() const {
        const char byte = 0;
        [[maybe_unused]] const ssize_t sent = ::write(in, &byte, 1);
    }
    void drain() const {
        char bytes[256];
        while (::read(out, bytes, sizeof bytes) > 0) {
        }
    }
};

// Another board that plays along, unheard for `warming` samples, and then fades in over `length`, as in
// `bridge.host.stream.BoardStream`.
struct Fade {
    Program* program = nullptr;
    int64_t warming = 0, done = 0, length = 1;
};

class Loop {
public:
    enum class Faded { none, under_way, finished, failed };

    static constexpr int CALM_AFTER = 32;        // late blocks in a row, after which it no longer runs before others
    static constexpr double CLOCK_SLACK = 0.25;  // seconds, as `bridge.host.stream.CLOCK_SLACK`
    static constexpr int FIFO_PRIORITY = 4;      // behind JACK's own threads, which run at 5 and more
    static constexpr int NICE = -11;             // as `bridge.priority.NICE`

    std::atomic<uint64_t> blocks{0}, late{0}, allocated{0};
    std::atomic<double> load{0};
    std::atomic<float> peak_in{0}, peak_out{0};
    std::atomic<bool> failed{false}, realtime{false};
    std::atomic<Faded> faded{Faded::none};
    Pipe attention;  // to Python: something has happened

    Loop(int source, BlockRing incoming, BlockRing outgoing, size_t (*allocations)())
        : source(fcntl(source, F_DUPFD_CLOEXEC, 0)), incoming(incoming), outgoing(outgoing), allocations(allocations),
          waiting(ChangeQueue::CAPACITY), due(ChangeQueue::CAPACITY), sound(incoming.block_size()),
          spare(incoming.block_size()), newer(incoming.block_size()) {
        if (this->source < 0) throw std::system_error(errno, std::generic_category(), "NativeLoop: no source");
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the interpreter's; the new thread inherits the mask
        try {
            thread = std::thread([this] { work(); });
        } catch (...) {
            pthread_sigmask(SIG_SETMASK, &before, nullptr);
            ::close(this->source);
            throw;
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
    ~Loop() { close(); }

    int messages() const { return forward.out; }

    // Play a program from the next block on, and fade to another one if there is one. False if the source has ended.
    bool start(Program& next, const Fade& to, double at) {
        std::unique_lock lock(mutex);
        if (state == State::ended) return false;
        if (state != State::parked) throw std::logic_error("NativeLoop: it is playing already");
        for (const Program* each : {static_cast<const Program*>(&next), static_cast<const Program*>(to.program)})
            if (each && each->channels * size_t(each->frames) != incoming.block_size())
                throw std::invalid_argument("NativeLoop: the program's blocks are not the rings'");
        if (to.length < 1) throw std::invalid_argument("NativeLoop: a fade has no length");
        program = &next;
        fade = to;
        faded = to.program ? Faded::under_way : Faded::none;
        clock = at;
        failed = false;
        at_boundary = true;
        state = State::playing;
        control.knock();
        return true;
    }

    // Leave the rings alone after the block at work. Returns what was read of the source and not passed on.
    std::string stop() {
        std::unique_lock lock(mutex);
        if (state == State::playing) {
            state = State::parking;
            control.knock();
        }
        changed.wait(lock, [this] { return state == State::parked || state == State::ended; });
        const std::string rest(unsent.data(), unsent_bytes);
        unsent_bytes = 0;
        return rest;
    }

    bool change(const Change& change) { return changes.push(change); }

    // Changes of a program that have not been made; those of others are forgotten. For when it does not play.
    std::vector<Change> unmade(const Program& of) {
        Change change;
        std::vector<Change> found(waiting.begin(), waiting.begin() + long(waiting_count));
        while (changes.pop(change)) found.push_back(change);
        waiting_count = 0;
        std::erase_if(found, [&](const Change& each) { return each.program != &of; });
        return found;
    }

    // How far a fade is. For when it does not play.
    const Fade& fading() const { return fade; }

    // The stream's time. For when it does not play.
    double time() const { return clock; }

    void close() {
        closing.store(true, std::memory_order_release);
        control.knock();
        if (thread.joinable()) thread.join();
        if (source >= 0) ::close(source);
        source = -1;
    }

private:
    enum class State { parked, playing, parking, ended };

    int source;
    BlockRing incoming, outgoing;
    size_t (*allocations)();
    Pipe control, forward;
    std::thread thread;
    std::mutex mutex;  // taken by the thread only to begin and to end playing
    std::condition_variable changed;
    std::atomic<State> state{State::parked};
    std::atomic<bool> closing{false};
    Program* program = nullptr;
    Fade fade;
    double clock = 0;
    ChangeQueue changes;
    std::vector<Change> waiting;  // until their time comes
    struct Due {
        int offset;
        size_t order;
        Change change;
    };
    std::vector<Due> due;
    size_t waiting_count = 0, due_count = 0;
    std::vector<float> sound, spare, newer;  // the block at work; an output that nobody takes; one that fades in
    std::array<char, PIPE_BUF> unsent;
    size_t unsent_bytes = 0;
    bool at_boundary = true;  // whether the source's next byte begins a message
    int late_in_a_row = 0;

    void work() {
        hurry();
        NoDenormals guard;
        const size_t before = allocations();
        bool open = true;
        while (open && !closing.load(std::memory_order_acquire)) {
            open = listen();
            serve();
            allocated = allocations() - before;
            if (state == State::parking) leave(State::parked);
        }
        leave(State::ended);
        Pipe::shut(forward.in);  // Python reads the end of the messages
        attention.knock();
    }

    void leave(State to) {
        std::unique_lock lock(mutex);
        state = to;
        changed.notify_all();
    }

    // Wait for a word of the I/O process or of Python. False once the source has ended.
    bool listen() {
        const bool playing = state == State::playing;
        pollfd watched[3] = {{control.out, POLLIN, 0}, {-1, POLLIN, 0}, {-1, POLLOUT, 0}};
        if (playing) watched[unsent_bytes ? 2 : 1].fd = unsent_bytes ? forward.in : source;
        // With messages that Python does not read, the source is not read either; the ring is looked at by the clock.
        poll(watched, 3, playing && unsent_bytes ? period_ms() : -1);
        if (watched[0].revents) control.drain();
        if (watched[2].revents) send();
        return !watched[1].revents || receive();
    }

    int period_ms() const { return std::max(1, int(250.0 * program->frames / program->rate)); }

    // Read the source: "B", a block is there, is for this thread; what follows the first other byte is for Python.
    bool receive() {
        const ssize_t count = ::read(source, unsent.data(), unsent.size());
        if (count < 0) return errno == EINTR || errno == EAGAIN;
        if (count == 0) return false;
        const char* begin = unsent.data();
        const char* const end = begin + count;
        while (at_boundary && begin < end && *begin == 'B') ++begin;
        // Each message is written at once, so a read that is not full ends with a whole one.
        at_boundary = size_t(count) < unsent.size();
        unsent_bytes = size_t(end - begin);
        std::memmove(unsent.data(), begin, unsent_bytes);
        if (unsent_bytes) send();
        return true;
    }

    // All or nothing, because it is not more than the system writes at once.
    void send() {
        if (::write(forward.in, unsent.data(), unsent_bytes) >= 0 || errno == EPIPE) unsent_bytes = 0;
    }

    void serve() {
        while (state == State::playing) {
            const float* const in = incoming.oldest();
            if (!in || closing.load(std::memory_order_acquire)) return;
            // What is not a number is silence: it would stay in a recurrent network for ever.
            for (size_t k = 0; k < sound.size(); ++k) sound[k] = std::abs(in[k]) <= FLT_MAX ? in[k] : 0.0f;
            incoming.taken();
            float* const out = outgoing.free_slot();
            block(out ? out : spare.data());  // where nobody takes blocks off, time goes on
            if (out) outgoing.put();
        }
    }

    void block(float* out) {
        const auto began = std::chrono::steady_clock::now();
        find_due();
        play_pieces(out);
        if (!failed && !finite(out, sound.size())) {
            failed = true;
            attention.knock();
        }
        if (failed) std::copy(sound.begin(), sound.end(), out);
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - began;
        count(spent.count() * program->rate / program->frames);
        raise(peak_in, sound.data());
        raise(peak_out, out);
    }

    // The changes that belong to this block, in order; those of later times go on waiting.
    void find_due() {
        const double now = unix_time();
        if (std::abs(now - clock) > CLOCK_SLACK) clock = now;  // the first block, or the stream paused
        const double end = clock + program->frames / program->rate;
        while (waiting_count < waiting.size() && changes.pop(waiting[waiting_count])) ++waiting_count;
        size_t kept = 0;
        due_count = 0;
        for (size_t i = 0; i < waiting_count; ++i) {
            const Change& change = waiting[i];
            if (change.when >= end) {
                waiting[kept++] = change;
                continue;
            }
            int offset = change.offset;
            if (change.when > clock)
                offset = std::max(offset, int(std::nearbyint((change.when - clock) * program->rate)));
            due[due_count++] = {offset, i, change};
        }
        waiting_count = kept;
        clock = end;
        std::sort(due.begin(), due.begin() + long(due_count), [](const Due& a, const Due& b) {
            return a.offset != b.offset ? a.offset < b.offset : a.order < b.order;
        });
    }

    void play_pieces(float* out) {
        int at = 0;
        for (size_t i = 0; i < due_count; ++i) {
            const int place = std::min(std::max(due[i].offset, at), program->frames);
            play(at, place, out);
            at = place;
            const Change& change = due[i].change;
            if (change.program == program) program->set(change);
            if (fade.program && change.program == fade.program) fade.program->set(change);
        }
        play(at, program->frames, out);
    }

    void play(int from, int to, float* out) {
        if (from >= to || failed) return;
        program->play(sound.data() + from, out + from, to - from);
        if (fade.program) fade_in(from, to, out);
    }

    void fade_in(int from, int to, float* out) {
        const int frames = program->frames;
        fade.program->play(sound.data() + from, newer.data() + from, to - from);
        for (int c = 0; c < program->channels; ++c)
            if (!finite(newer.data() + size_t(c) * frames + from, size_t(to - from))) return end_fade(Faded::failed);
        fade.warming -= to - from;
        if (fade.warming > 0) return;
        for (int t = from; t < to; ++t) {
            const float weight = float(std::min(double(fade.done + t - from + 1) / double(fade.length), 1.0));
            for (int c = 0; c < program->channels; ++c) {
                float& old = out[size_t(c) * frames + t];
                old = old + weight * (newer[size_t(c) * frames + t] - old);
            }
        }
        fade.done += to - from;
        if (fade.done < fade.length) return;
        program = fade.program;
        end_fade(Faded::finished);
    }

    void end_fade(Faded how) {
        fade.program = nullptr;
        faded = how;
        attention.knock();
    }

    static bool finite(const float* out, size_t count) {
        return std::all_of(out, out + count, [](float x) { return std::abs(x) <= FLT_MAX; });
    }

    void count(double share) {
        load = load + 0.05 * (share - load);
        late_in_a_row = share > 1 ? late_in_a_row + 1 : 0;
        if (share > 1) ++late;
        if (late_in_a_row == CALM_AFTER) calm();
        ++blocks;
    }

    void raise(std::atomic<float>& peak, const float* block) const {
        float most = 0;
        for (size_t i = 0; i < sound.size(); ++i) most = std::max(most, std::abs(block[i]));
        float known = peak;
        while (known < most && !peak.compare_exchange_weak(known, most)) {
        }
    }

    static double unix_time() {
        const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
        return now.count();
    }

    // Run before other threads, where the system allows it. It may be real-time priority, because this thread, unlike
    // one of Python's, sleeps between blocks.
    void hurry() {
        sched_param wanted{};
        wanted.sched_priority = FIFO_PRIORITY;
        realtime = pthread_setschedparam(pthread_self(), SCHED_FIFO, &wanted) == 0;
        if (!realtime) nice();
    }

    // A board that the machine is too slow for would leave no time to other programs.
    void calm() {
        if (!realtime) return;
        const sched_param wanted{};
        realtime = pthread_setschedparam(pthread_self(), SCHED_OTHER, &wanted) != 0;
        nice();
    }

    static void nice() {
#if defined(__linux__)
        setpriority(PRIO_PROCESS, id_t(syscall(SYS_gettid)), NICE);  // refused to most users; then nothing changes
#endif
    }
};

}  // namespace nfx
