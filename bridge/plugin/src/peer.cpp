#include "peer.hpp"

#include <algorithm>

namespace nfx {

using namespace std::chrono_literals;
using messages::append;

namespace {

constexpr auto kSettle = 5ms;  // a session sets address, board and text one after the other
constexpr auto kDialLimit = 1s, kGreetLimit = 15s;
constexpr auto kRetry = 250ms, kRefusedRetry = 1000ms;
constexpr auto kHung = 10s;   // without the answer to a block
constexpr auto kQuiet = 1s;   // nothing heard for this long: a PING asks whether the worker is there
constexpr auto kSilent = 2s;  // without an answer to the PING: not connected, as far as anybody is told
constexpr std::size_t kMostUnsent = 1 << 21;

}  // namespace

void Peer::set_phase(Phase phase) {
    link->phase.store(phase);
    link->notify();
}

void Peer::start_over(Clock::time_point now) {
    socket.close();
    out.clear(), in.clear(), sent.clear();
    out_done = 0;
    state = State::off;
    next_try = now;
    link->fresh.store(false);
    link->answers.store(false);
}

void Peer::lose(Clock::time_point now, bool answered) {
    start_over(now);
    next_try = now + (answered ? kRefusedRetry : kRetry);
    set_phase(Phase::unreachable);
}

// Another of the worker's boards.
void Peer::choose(Clock::time_point now) {
    choice = link->choice.load();
    const bool known = choice == link->session_choice.exchange(0);
    if (known || choice < 1 || choice > boards.size() || boards[choice - 1] == wish.board) return;
    start_over(now);
    wish.board = boards[choice - 1];
    wish.text.clear();
    {
        const std::lock_guard<std::mutex> lock(link->mutex);
        link->wish.board = wish.board;
        link->wish.text.clear();
    }
    for (auto& touched : link->touched) touched.store(false);  // its macros are others
}

void Peer::adopt_wish(Clock::time_point now) {
    start_over(now);
    {
        const std::lock_guard<std::mutex> lock(link->mutex);
        if (link->wish.board != wish.board) choice = link->choice.load();  // a name is worth more than a number
        wish = link->wish;
        wish_number = link->wish_number.load();
    }
    link->phase.store(Phase::idle);
    link->wish_served.store(wish_number);
    address = {};
}

void Peer::dial(Clock::time_point now) {
    since = now;
    if (!address.known()) address = net::resolve(wish.host, wish.port, true);
    if (!address.known()) {
        resolution = std::async(std::launch::async, net::resolve, wish.host, wish.port, false);
        state = State::resolving;
        return;
    }
    if (!socket.dial(address)) return lose(now, false);
    state = State::dialing;
}

void Peer::finish_dialing(Clock::time_point now) {
    net::PollEntry entry{};
    entry.fd = socket.get();
    entry.events = POLLOUT;
    if (net::poll_all(&entry, 1, 0) > 0) {
        if ((entry.revents & (POLLERR | POLLHUP | POLLNVAL)) || !socket.connected()) return lose(now, false);
        greet(now);
    } else if (now - since > kDialLimit) {
        lose(now, false);
    }
}

void Peer::greet(Clock::time_point now) {
    const std::string hello = messages::hello_json(wish);
    messages::append_header(out, messages::hello, hello.size());
    append(out, hello.data(), hello.size());
    state = State::greeting;
    since = heard = pinged = now;
    expected = -1;
}

void Peer::hear(Clock::time_point now) {
    for (std::size_t total = 0; total < 4 * messages::kMostBytes;) {
        const std::size_t before = in.size();
        in.resize(before + 65536);
        const long got = socket.receive(in.data() + before, 65536);
        in.resize(before + std::size_t(std::max(got, 0L)));
        if (got < 0) {
            lose(now, false);
            return;
        }
        if (!got) break;
        total += std::size_t(got), heard = now;
        std::size_t at = 0;
        while (in.size() - at >= messages::kHeader) {
            const messages::Header header = messages::read_header(in.data() + at);
            if (header.length > messages::kMostBytes) return lose(now, true);
            if (in.size() - at < messages::kHeader + header.length) break;
            if (!understand(header, in.data() + at + messages::kHeader, now)) return;  // the connection is over
            at += messages::kHeader + header.length;
        }
        in.erase(in.begin(), in.begin() + std::ptrdiff_t(at));
    }
}

bool Peer::understand(const messages::Header& header, const std::uint8_t* payload, Clock::time_point now) {
    const auto text = [&] { return std::string(reinterpret_cast<const char*>(payload), header.length); };
    std::uint32_t latency = 0;
    switch (header.kind) {
        case messages::welcome: {
            Welcome welcome;
            if (state != State::greeting || !messages::read_welcome(text(), wish.notes, welcome, latency)) break;
            if (!welcome.text.empty()) wish.text = welcome.text;  // for a worker that is not the same any more
            if (!welcome.board.empty()) wish.board = welcome.board;
            boards = welcome.boards;
            for (std::size_t i = 0; i < welcome.macros.size(); ++i)
                if (!link->touched[i].load()) link->macro[i].store(float(welcome.macros[i].value));
            {
                const std::lock_guard<std::mutex> lock(link->mutex);
                link->welcome = std::move(welcome);
                ++link->welcome_number;
            }
            link->latency.store(latency);
            ++link->connections;
            state = State::up;
            link->fresh.store(true);
            link->answers.store(true);
            link->was_up.store(true);
            set_phase(Phase::up);
            return true;
        }
        case messages::refuse: {
            const std::string reason = messages::read_reason(text());
            {
                const std::lock_guard<std::mutex> lock(link->mutex);
                link->welcome = Welcome{};
                link->welcome.refusal = reason;
                ++link->welcome_number;
            }
            break;
        }
        case messages::audio:
            if (state != State::up) break;
            return deliver(header, payload, now);
        case messages::notice:
            if (messages::read_latency(text(), latency)) link->latency.store(latency);
            return true;
        case messages::pong:
        case messages::reset: return true;
        case messages::ping:
            messages::append_header(out, messages::pong, header.length, header.sequence);
            append(out, payload, header.length);
            return true;
        default: break;  // BYE, and what no worker says
    }
    lose(now, header.kind != messages::bye);
    return false;
}

bool Peer::deliver(const messages::Header& header, const std::uint8_t* payload, Clock::time_point now) {
    const std::size_t channels = std::size_t(wish.channels);
    const bool fits = !sent.empty() && sent.front().sequence == header.sequence &&
                      header.length == 8 + 4 * channels * sent.front().frames &&
                      messages::read<std::uint32_t>(payload) == sent.front().frames &&
                      messages::all_finite(payload + 8, channels * sent.front().frames);
    if (!fits) {
        lose(now, true);
        return false;
    }
    const Sent was = sent.front();
    sent.pop_front();
    const float spent = std::chrono::duration<float, std::milli>(now - was.when).count();
    const float known = link->round_trip_ms.load();
    link->round_trip_ms.store(known > 0 ? known + 0.05f * (spent - known) : spent);
    const Block record{was.position, activation, was.frames, 0};
    const std::size_t bytes = 4 * channels * was.frames;
    if (link->from_worker.has_room(sizeof record + bytes)) {  // else nobody takes the audio any more
        link->from_worker.put(&record, sizeof record);
        link->from_worker.put(payload + 8, bytes);
        link->from_worker.publish();
        link->notify();
    }
    return true;
}

// Takes records out of the ring and makes one BLOCK of as many as belong together; false where there is none.
bool Peer::next_block(Clock::time_point now) {
    const std::size_t channels = std::size_t(wish.channels);
    Ring& ring = link->to_worker;
    samples.clear(), happenings.clear();
    std::int64_t position = 0;
    std::vector<std::uint32_t> lengths;
    std::uint32_t frames = 0;
    while (ring.available() >= sizeof(Block)) {
        Block record;
        ring.look(0, &record, sizeof record);
        const std::size_t events = record.happenings * sizeof(Happening), audio = 4 * channels * record.frames;
        const bool old = record.activation != link->activation.load();
        const bool hopeless = expected < 0 && record.position + record.frames <= link->needed.load();
        if (old || hopeless) {  // nobody hears the answer any more
            ring.drop(sizeof record + events + audio);
            continue;
        }
        if (expected >= 0 && (record.position != expected || record.activation != activation)) {
            if (frames) break;
            lose(now, false);  // frames are missing, or a new stream begins: start anew
            next_try = now;
            return false;
        }
        if (frames + record.frames > messages::kMostFrames || happenings.size() + record.happenings > 4000) break;
        if (!frames) position = record.position, activation = record.activation;
        for (std::uint32_t i = 0; i < record.happenings; ++i) {
            Happening happening;
            ring.look(sizeof record + i * sizeof happening, &happening, sizeof happening);
            happening.offset += frames;
            happenings.push_back(happening);
        }
        const std::size_t before = samples.size();
        samples.resize(before + channels * record.frames);
        ring.look(sizeof record + events, samples.data() + before, audio);
        ring.drop(sizeof record + events + audio);
        lengths.push_back(record.frames);
        frames += record.frames;
        expected = record.position + record.frames;
    }
    if (!frames) return false;
    const bool first = link->fresh.exchange(false);
    messages::Bytes events;
    std::uint16_t count = 0;
    for (int i = 0; first && i < kMacros; ++i)
        if (link->touched[std::size_t(i)].load()) {
            const Happening turn{0, std::uint8_t(i + 1), 0, {}, double(link->macro[std::size_t(i)].load())};
            messages::append_event(events, turn, 0), ++count;
        }
    for (const Happening& happening : happenings) messages::append_event(events, happening, happening.offset), ++count;
    messages::append_header(out, messages::block, 8 + events.size() + 4 * channels * frames, ++sequence);
    append<std::uint32_t>(out, frames);
    append<std::uint16_t>(out, std::uint16_t(channels));
    append<std::uint16_t>(out, count);
    append(out, events.data(), events.size());
    for (std::size_t channel = 0; channel < channels; ++channel) {  // each record has its channels one after the other
        std::size_t at = 0;
        for (const std::uint32_t length : lengths) {
            append(out, samples.data() + at + channel * length, 4 * length);
            at += channels * length;
        }
    }
    sent.push_back({sequence, position, frames, now});
    return true;
}

void Peer::pump(Clock::time_point now) {
    while (state == State::up && out.size() - out_done < kMostUnsent && next_block(now)) {
    }
    if (state != State::up) return;
    if (!sent.empty() && now - sent.front().when > kHung) return lose(now, false);
    check_presence(now);
}

// A worker that is stopped or out of reach does not hang up. The time counts from our question, not from its last word:
// this process may have been stopped itself.
void Peer::check_presence(Clock::time_point now) {
    if (pinged <= heard && now - heard > kQuiet) {
        messages::append_header(out, messages::ping, 0);
        pinged = now;
    }
    const Clock::duration silent = pinged > heard ? now - pinged : Clock::duration::zero();
    if (silent > kHung) return lose(now, false);
    link->answers.store(silent <= kSilent);
}

void Peer::flush(Clock::time_point now) {
    while (out_done < out.size()) {
        const long done = socket.send(out.data() + out_done, out.size() - out_done);
        if (done < 0) return lose(now, false);
        if (!done) return;
        out_done += std::size_t(done);
    }
    out.clear(), out_done = 0;
}

void Peer::step(Clock::time_point now) {
    const std::uint32_t wished = link->wish_number.load();
    if (wished != wish_number) {
        if (wish_seen == Clock::time_point{}) wish_seen = now;
        if (now - wish_seen < kSettle) return;
        adopt_wish(now);
    }
    wish_seen = {};
    if (state == State::up && link->choice.load() != choice) choose(now);
    if (state == State::off && now >= next_try) dial(now);
    if (state == State::resolving && resolution.wait_for(0s) == std::future_status::ready) {
        address = resolution.get();
        if (address.known())
            dial(now);
        else
            lose(now, true);
    }
    if (state == State::dialing) finish_dialing(now);
    if (state == State::greeting || state == State::up) hear(now);
    if (state == State::greeting && now - since > kGreetLimit) lose(now, true);
    if (state == State::up) pump(now);
    if (state == State::greeting || state == State::up) flush(now);
}

bool Peer::awaits(net::PollEntry& entry) const {
    if (!socket.open()) return false;
    entry = {};
    entry.fd = socket.get();
    entry.events = short(POLLIN | (state == State::dialing || out_done < out.size() ? POLLOUT : 0));
    return true;
}

bool Peer::streams(Clock::time_point now) const {
    const Clock::time_point last{Clock::duration(link->last_run.load())};
    return now - last < 2s || wish_seen != Clock::time_point{};
}

void Peer::say_goodbye() {
    if (state != State::up) return;
    messages::append_header(out, messages::bye, 0);
    flush(Clock::now());
}

}  // namespace nfx
