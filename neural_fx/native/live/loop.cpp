#include "loop.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cfloat>
#include <chrono>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include "allocations.hpp"
#include "denormals.hpp"
#include "thread_priority.hpp"

namespace nfx {
namespace {

// Also false for NaN, because comparisons with it are false.
bool is_finite(float x) { return std::abs(x) <= FLT_MAX; }

bool all_finite(const float* samples, size_t count) { return std::all_of(samples, samples + count, is_finite); }

double unix_time() {
    const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
    return now.count();
}

// Raise a meter to the largest magnitude of a block. Python may reset it at the same time.
void raise_peak(std::atomic<float>& peak, const float* block, size_t count) {
    float largest = 0;
    for (size_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(block[i]));
    float known = peak;
    while (known < largest && !peak.compare_exchange_weak(known, largest)) {
    }
}

}  // namespace

// -- called by Python -----------------------------------------------------------------------------------------------

Loop::Loop(int source, BlockRing incoming, BlockRing outgoing)
    : source(fcntl(source, F_DUPFD_CLOEXEC, 0)), incoming(incoming), outgoing(outgoing), waiting(ChangeQueue::CAPACITY),
      due(ChangeQueue::CAPACITY), sound(incoming.block_size()), spare(incoming.block_size()),
      newer(incoming.block_size()) {
    if (this->source < 0) throw std::system_error(errno, std::generic_category(), "NativeLoop: no source");
    // Signals are for the interpreter. A new thread inherits the mask of the one that makes it.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        thread = std::thread([this] { work(); });
    } catch (...) {
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        ::close(this->source);
        throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

bool Loop::start(Program& next, const Fade& to, double time) {
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
    clock = time;
    failed = false;
    at_boundary = true;
    state = State::playing;
    control.knock();
    return true;
}

std::string Loop::stop() {
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

void Loop::close() {
    closing.store(true, std::memory_order_release);
    control.knock();
    if (thread.joinable()) thread.join();
    if (source >= 0) ::close(source);
    source = -1;
}

std::vector<Change> Loop::unmade(const Program& of) {
    std::vector<Change> found(waiting.begin(), waiting.begin() + long(waiting_count));
    Change change;
    while (changes.pop(change)) found.push_back(change);
    waiting_count = 0;
    std::erase_if(found, [&of](const Change& each) { return each.program != &of; });
    return found;
}

// -- the thread and its neighbours ----------------------------------------------------------------------------------

void Loop::work() {
    // Unlike a thread of Python, this one sleeps between blocks. So it may have a realtime priority.
    realtime = raise_priority();
    NoDenormals guard;
    const size_t before = allocations().value_or(0);
    bool open = true;
    while (open && !closing.load(std::memory_order_acquire)) {
        open = listen();
        serve();
        allocated = allocations().value_or(0) - before;
        if (state == State::parking) leave(State::parked);
    }
    leave(State::ended);
    Pipe::shut(forward.in);  // tells Python that there are no more messages
    attention.knock();
}

void Loop::leave(State to) {
    std::unique_lock lock(mutex);
    state = to;
    changed.notify_all();
}

// Wait for bytes of the source or for Python. Return false once the source has ended.
bool Loop::listen() {
    const bool playing = state == State::playing;
    const bool blocked = playing && unsent_bytes;  // Python has not read earlier messages
    pollfd watched[3] = {{control.out, POLLIN, 0}, {-1, POLLIN, 0}, {-1, POLLOUT, 0}};
    if (blocked)
        watched[2].fd = forward.in;
    else if (playing)
        watched[1].fd = source;
    // A blocked loop does not read the source, which would announce blocks. So it looks at the ring by the clock.
    poll(watched, 3, blocked ? quarter_block_ms() : -1);
    if (watched[0].revents) control.drain();
    if (watched[2].revents) send();
    return !watched[1].revents || receive();
}

int Loop::quarter_block_ms() const { return std::max(1, int(250.0 * program->frames / program->rate)); }

// Read the source. Each "B" announces a block to this thread. All from the first other byte on is for Python.
bool Loop::receive() {
    const ssize_t count = ::read(source, unsent.data(), unsent.size());
    if (count < 0) return errno == EINTR || errno == EAGAIN;
    if (count == 0) return false;
    const char* begin = unsent.data();
    const char* const end = begin + count;
    while (at_boundary && begin < end && *begin == 'B') ++begin;
    // The source writes each message in one piece, so only a read that fills the buffer can cut one.
    at_boundary = size_t(count) < unsent.size();
    unsent_bytes = size_t(end - begin);
    std::memmove(unsent.data(), begin, unsent_bytes);
    if (unsent_bytes) send();
    return true;
}

// Up to PIPE_BUF bytes are written completely or not at all.
void Loop::send() {
    if (::write(forward.in, unsent.data(), unsent_bytes) >= 0 || errno == EPIPE) unsent_bytes = 0;
}

// -- the audio ------------------------------------------------------------------------------------------------------

// Play all blocks that wait.
void Loop::serve() {
    while (state == State::playing) {
        const float* const in = incoming.oldest();
        if (!in || closing.load(std::memory_order_acquire)) return;
        // A single NaN would stay in the state of a recurrent network for ever.
        for (size_t i = 0; i < sound.size(); ++i) sound[i] = is_finite(in[i]) ? in[i] : 0.0f;
        incoming.release_oldest();
        // Time goes on while the ring is full. Else the stream would lag behind from then on.
        float* const out = outgoing.free_slot();
        play_block(out ? out : spare.data());
        if (out) outgoing.publish();
    }
}

void Loop::play_block(float* out) {
    const auto began = std::chrono::steady_clock::now();
    find_due();
    play_pieces(out);
    if (!failed && !all_finite(out, sound.size())) {
        failed = true;
        attention.knock();
    }
    if (failed) std::copy(sound.begin(), sound.end(), out);
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - began;
    measure_load(spent.count() * program->rate / program->frames);
    raise_peak(peak_in, sound.data(), sound.size());
    raise_peak(peak_out, out, sound.size());
}

// Move the changes of this block from `waiting` to `due`, in the order of time.
void Loop::find_due() {
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
        if (change.when > clock) offset = std::max(offset, int(std::nearbyint((change.when - clock) * program->rate)));
        due[due_count++] = {offset, i, change};
    }
    waiting_count = kept;
    clock = end;
    std::sort(due.begin(), due.begin() + long(due_count), [](const Due& a, const Due& b) {
        return a.offset != b.offset ? a.offset < b.offset : a.order < b.order;
    });
}

// Play the block in pieces, so that each change takes effect at its own sample.
void Loop::play_pieces(float* out) {
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

void Loop::play(int from, int to, float* out) {
    if (from >= to || failed) return;
    program->play(sound.data() + from, out + from, to - from);
    if (fade.program) fade_in(from, to, out);
}

void Loop::fade_in(int from, int to, float* out) {
    const int frames = program->frames;
    fade.program->play(sound.data() + from, newer.data() + from, to - from);
    for (int channel = 0; channel < program->channels; ++channel)
        if (!all_finite(newer.data() + size_t(channel) * frames + from, size_t(to - from)))
            return end_fade(Faded::failed);
    fade.warming -= to - from;
    if (fade.warming > 0) return;
    for (int t = from; t < to; ++t) {
        const float weight = float(std::min(double(fade.done + t - from + 1) / double(fade.length), 1.0));
        for (int channel = 0; channel < program->channels; ++channel) {
            float& old = out[size_t(channel) * frames + t];
            old = old + weight * (newer[size_t(channel) * frames + t] - old);
        }
    }
    fade.done += to - from;
    if (fade.done < fade.length) return;
    program = fade.program;
    end_fade(Faded::finished);
}

void Loop::end_fade(Faded result) {
    fade.program = nullptr;
    faded = result;
    attention.knock();
}

// share: the processing time as a fraction of the block's duration.
void Loop::measure_load(double share) {
    load = load + 0.05 * (share - load);
    late_in_a_row = share > 1 ? late_in_a_row + 1 : 0;
    if (share > 1) ++late;
    // A board that is too slow for the machine would take all time from other programs.
    if (late_in_a_row == LATE_BLOCKS && realtime) realtime = drop_realtime_priority();
    ++blocks;
}

}  // namespace nfx
