#include "engine.hpp"

#include <algorithm>
#include <cmath>

namespace nfx {

using namespace std::chrono_literals;

namespace {

constexpr double kSwitchSeconds = 0.01;
constexpr auto kGenerous = 10000ms;      // what a bounce waits for a worker that has been there
constexpr auto kWelcome = 3000ms;        // the most that starting waits for a worker to make a stream
constexpr auto kPatienceTried = 1000ms;  // waiting longer in vain is not repeated until the worker says something
constexpr double kPause = 0.5;           // seconds without a call after which the host's clock is set anew
constexpr double kForget = 1.0;          // seconds in which a lead is forgotten
constexpr double kRunaway = 0.25;        // seconds that no host is ahead that plays to people

float gain(float db) { return db == 0 ? 1.0f : std::pow(10.0f, db / 20); }
float finite(float x) { return std::isfinite(x) ? x : 0.0f; }

}  // namespace

Engine::Engine(int ins, int outs)
    : inputs(ins), outputs(outs), link(std::make_shared<Link>()), connections(Connections::shared()) {
    link->wish.channels = outs;
    link->wish.notes = ins == 0;
    for (int c = 0; c < outs; ++c) {
        if (ins) delay[c].assign(kDelay, 0.0f);
        block[c].assign(kPiece, 0.0f);
    }
    scratch.assign(kPiece, 0.0f);
    for (auto& value : link->macro) value.store(0.5f);
    for (auto& value : known_macro) value.store(0.5f);
}

Engine::~Engine() { connections->remove(link); }

// ---- the main thread ---------------------------------------------------------------------------------------------

void Engine::wish(const std::string& address, const std::string& token, const std::string& board,
                  const std::string& text) {
    const std::size_t colon = address.rfind(':');
    Wish now = wished();
    const Wish before = now;
    now.host = address.substr(0, colon);
    now.port = colon == std::string::npos ? "9010" : address.substr(colon + 1);
    if (now.host.size() > 2 && now.host.front() == '[' && now.host.back() == ']')  // IPv6, as in [::1]:9010
        now.host = now.host.substr(1, now.host.size() - 2);
    if (now.host.empty()) now.host = "127.0.0.1";
    now.token = token, now.board = board, now.text = text;
    const bool first = link->wish_number.load() == 0;
    if (!first && now.host == before.host && now.port == before.port && now.token == before.token &&
        now.board == before.board && now.text == before.text)
        return;
    {
        const std::lock_guard<std::mutex> lock(link->mutex);
        link->wish = now;
    }
    link->was_up.store(false);
    ++link->wish_number;
    if (first)
        connections->add(link);
    else
        connections->wake();
}

Wish Engine::wished() const {
    const std::lock_guard<std::mutex> lock(link->mutex);
    return link->wish;
}

Welcome Engine::welcome() const {
    const std::lock_guard<std::mutex> lock(link->mutex);
    return link->welcome;
}

MacroInfo Engine::macro_info(int index) const {
    const std::lock_guard<std::mutex> lock(link->mutex);
    const std::vector<MacroInfo>& macros = link->welcome.macros;
    return std::size_t(index) < macros.size() ? macros[std::size_t(index)] : MacroInfo{};
}

bool Engine::wait_for_worker(std::chrono::milliseconds limit) const {
    std::unique_lock<std::mutex> lock(link->mutex);
    link->somebody_waits.store(true);
    connections->wake();
    link->changed.wait_for(lock, limit, [&] { return link->settled(); });
    link->somebody_waits.store(false);
    return link->up();
}

bool Engine::prepare(double new_rate, std::uint32_t largest_block) {
    largest.store(std::max(largest_block, 1u));
    rate = new_rate;
    {
        const std::lock_guard<std::mutex> lock(link->mutex);
        if (link->wish.rate == rate) return false;
        link->wish.rate = rate;
    }
    ask_again();
    return true;
}

void Engine::ask_again() {
    link->last_run.store(Clock::now().time_since_epoch().count());
    if (!link->wish_number.load()) return;
    ++link->wish_number;
    wait_for_worker(kWelcome);
}

void Engine::activate(double new_rate, std::uint32_t largest_block) {
    // A stream that was played is of no use: the worker makes a new one.
    if (!prepare(new_rate, largest_block) && !link->fresh.load()) ask_again();
    ++link->activation;
    position = 0;
    link->needed.store(-std::int64_t(knobs.latency.load()));
    fade = std::max(1u, std::uint32_t(kSwitchSeconds * rate));
    for (auto& line : delay) std::fill(line.begin(), line.end(), 0.0f);
    late = late_before = latency(), late_fade = 0;
    wet = true, rise = fall = 0;
    std::fill(std::begin(last), std::end(last), 0.0f);
    on.jump(knobs.bypass.load() ? 0.0f : 1.0f);
    mix.jump(knobs.mix.load());
    input_gain.jump(gain(knobs.input_db.load()));
    output_gain.jump(gain(knobs.output_db.load()));
    for (int i = 0; i < kMacros; ++i) sent_macro[std::size_t(i)] = macro(i);
    turn_count = 0;
    last_run = {};
    ahead = lead = waited = 0, usual = 0;
    impatient = false;
}

void Engine::turn_macro(int index, float value) {
    const std::size_t i = std::size_t(index);
    if (known_macro[i].exchange(value) == value) return;
    link->macro[i].store(value);
    link->touched[i].store(true);
}

void Engine::turn_macro_at(int index, float value, std::uint32_t frame) {
    const std::size_t i = std::size_t(index);
    if (known_macro[i].exchange(value) == value || turn_count == kMostTurns) return;
    link->macro[i].store(value);
    link->touched[i].store(true);
    std::uint32_t place = turn_count++;
    for (; place > 0 && turns[place - 1].offset > frame; --place) turns[place] = turns[place - 1];
    turns[place] = {frame, std::uint8_t(index + 1), 0, {}, double(value)};
}

void Engine::turn_again(const std::string& which) {
    for (std::size_t i = 0; i < kMacros; ++i) {
        if (which.find(char('1' + i)) == std::string::npos) continue;
        link->macro[i].store(known_macro[i].load());
        link->touched[i].store(true);
    }
}

std::string Engine::turned() const {
    std::string found;
    for (std::size_t i = 0; i < kMacros; ++i)
        if (link->touched[i].load()) found += (found.empty() ? "" : " ") + std::to_string(i + 1);
    return found;
}

std::uint32_t Engine::latency() const {
    return std::min(std::max(knobs.latency.load(), largest.load()) + link->latency.load(), kDelay / 2);
}

// ---- the audio thread --------------------------------------------------------------------------------------------

void Engine::run(const float* const* in, float* const* out, std::uint32_t frames, const Midi* midi,
                 std::uint32_t count) {
    if (!frames) return;
    keep_time(frames);
    const std::uint32_t way = std::max(knobs.latency.load(), largest.load());
    const std::int64_t begin = position;
    link->needed.store(begin - way);
    if (inputs) store_dry(in, frames);
    for (std::uint32_t i = 0; i < turn_count; ++i) turns[i].offset = std::min(turns[i].offset, frames - 1);
    for (std::uint32_t at = 0; at < frames; at += kPiece) {
        const std::uint32_t piece = std::min(kPiece, frames - at);
        const float* part[kMaxChannels] = {};
        for (int c = 0; c < inputs; ++c) part[c] = in[c] + at;
        std::uint32_t here = 0;
        while (here < count && midi[here].frame < at + piece) ++here;
        if (at + piece == frames) here = count;
        send(part, piece, at, midi, here);
        midi += here, count -= here;
        position += piece;
    }
    turn_count = 0;
    if (const std::uint32_t now = latency(); now != late && !late_fade)
        late_before = late, late = now, late_fade = fade;
    on.aim(knobs.bypass.load() ? 0.0f : 1.0f, fade);
    mix.aim(knobs.mix.load(), fade);
    output_gain.aim(gain(knobs.output_db.load()), fade);
    for (std::uint32_t at = 0; at < frames;) {
        const std::uint32_t wanted = std::min(kPiece, frames - at);
        std::uint32_t missing = 0;
        std::uint32_t got = take(begin - way + at, wanted, missing);
        if (!got && !missing) missing = wanted;
        if (!got && await(begin - way + at)) continue;
        if (got)
            play(out, at, begin + at, got, true);
        else
            play(out, at, begin + at, missing, false);
        at += got ? got : missing;
    }
}

void Engine::keep_time(std::uint32_t frames) {
    const Clock::time_point now = Clock::now();
    const double passed = last_run == Clock::time_point{} ? 0 : std::chrono::duration<double>(now - last_run).count();
    const double own = std::max(passed - waited, 0.0);
    if (own > kPause) ahead = 0;
    usual = std::max(usual, frames);
    ahead = std::max(ahead - own, 0.0) * std::exp(-own / kForget) + frames / rate;
    lead = std::max(lead - passed, 0.0) + frames / rate;
    last_run = now, waited = 0;
    link->last_run.store(now.time_since_epoch().count());
}

// How long the audio thread may wait now. A host that plays to people is never kept beyond its own time.
std::chrono::milliseconds Engine::patience() const {
    if (impatient || (link->phase.load() == Phase::unreachable && !link->was_up.load())) return 0ms;
    switch (knobs.patience.load()) {
        case Patience::never: return 0ms;
        case Patience::always: return kGenerous;
        case Patience::automatic: break;
    }
    const Host host = knobs.host.load();
    if (host == Host::bounces || ahead > kRunaway) return kGenerous;
    if (host == Host::live) return 0ms;
    const double spare = lead - waited - usual / rate;
    return std::chrono::milliseconds(std::max(int(1000 * spare) - 1, 0));
}

// Offline: waits until the frame `first` is there; false where it will not come.
bool Engine::await(std::int64_t first) {
    const auto limit = patience();
    if (limit == 0ms || first < 0) return false;
    const Clock::time_point began = Clock::now();
    link->somebody_waits.store(true);
    connections->wake();
    bool there;
    {
        std::unique_lock<std::mutex> lock(link->mutex);
        there =
            link->changed.wait_for(lock, limit, [&] { return link->from_worker.available() > 0 || patience() == 0ms; });
    }
    link->somebody_waits.store(false);
    waited += std::chrono::duration<double>(Clock::now() - began).count();
    impatient = !there && limit > kPatienceTried;
    return link->from_worker.available() > 0;
}

// The macros that are turned in a piece of the host's block: where it said at which frame, there; else at its
// beginning.
std::uint32_t Engine::turned_in(std::uint32_t start, std::uint32_t frames, Happening* happenings) {
    std::uint32_t found = 0;
    bool timed[kMacros] = {};
    for (std::uint32_t i = 0; i < turn_count; ++i) {
        Happening turn = turns[i];
        timed[turn.macro - 1] = true;
        if (turn.offset < start || turn.offset >= start + frames) continue;
        turn.offset -= start;
        sent_macro[turn.macro - 1u] = float(turn.value);
        happenings[found++] = turn;
    }
    for (int i = 0; !start && i < kMacros; ++i) {
        const float value = macro(i);
        const bool same = value == sent_macro[std::size_t(i)] || !link->touched[std::size_t(i)].load();
        if (timed[i] || same) continue;
        sent_macro[std::size_t(i)] = value;
        happenings[found++] = {0, std::uint8_t(i + 1), 0, {}, double(value)};
    }
    return found;
}

// A piece of the host's block, `start` frames into it, with its notes.
void Engine::send(const float* const* in, std::uint32_t frames, std::uint32_t start, const Midi* midi,
                  std::uint32_t count) {
    Happening happenings[kMacros + kMostTurns];
    const std::uint32_t turned = turned_in(start, frames, happenings);
    const std::size_t audio = sizeof(float) * frames;
    Ring& ring = link->to_worker;
    const Block record{position, link->activation.load(), frames, turned + count};
    const std::size_t all = sizeof record + record.happenings * sizeof(Happening) + std::size_t(outputs) * audio;
    input_gain.aim(gain(knobs.input_db.load()), fade);
    if (!ring.has_room(all)) return;  // the gap in the positions tells
    ring.put(&record, sizeof record);
    ring.put(happenings, turned * sizeof(Happening));
    for (std::uint32_t i = 0; i < count; ++i) {
        Happening note{midi[i].frame > start ? midi[i].frame - start : 0, 0, midi[i].size, {}, 0};
        std::copy(midi[i].bytes, midi[i].bytes + 4, note.midi);
        ring.put(&note, sizeof note);
    }
    float loudest = 0;
    Glide level = input_gain;
    for (int c = 0; c < outputs; ++c) {
        level = input_gain;
        for (std::uint32_t i = 0; i < frames; ++i) {
            scratch[i] = inputs ? finite(in[c][i]) * level.next() : 0.0f;
            loudest = std::max(loudest, std::fabs(scratch[i]));
        }
        ring.put(scratch.data(), audio);
    }
    input_gain = level;
    ring.publish();
    peak_in.store(std::max(peak_in.load(), loudest));
}

// Copies processed frames from `first` on into `block`, as many as one record has; drops what is older.
// Where there are none, `missing` is how many are known not to come before the next that is there.
std::uint32_t Engine::take(std::int64_t first, std::uint32_t frames, std::uint32_t& missing) {
    if (first < 0) {  // before the first frame of the stream there was silence
        const std::uint32_t silent = std::uint32_t(std::min<std::int64_t>(frames, -first));
        for (int c = 0; c < outputs; ++c) std::fill_n(block[c].begin(), silent, 0.0f);
        return silent;
    }
    Ring& ring = link->from_worker;
    while (ring.available() >= sizeof(Block)) {
        Block record;
        ring.look(0, &record, sizeof record);
        const std::size_t whole = sizeof record + std::size_t(outputs) * sizeof(float) * record.frames;
        const std::int64_t end = record.position + record.frames;
        const bool ours = record.activation == link->activation.load();
        impatient = impatient && !ours;  // the worker lives, if late
        if (!ours || end <= first) {
            ring.drop(whole);
            continue;
        }
        if (record.position > first) {
            missing = std::uint32_t(std::min<std::int64_t>(frames, record.position - first));
            return 0;
        }
        const std::uint32_t got = std::uint32_t(std::min<std::int64_t>(frames, end - first));
        const std::size_t skip = std::size_t(first - record.position);
        for (int c = 0; c < outputs; ++c)
            ring.look(sizeof record + sizeof(float) * (std::size_t(c) * record.frames + skip), block[c].data(),
                      sizeof(float) * got);
        if (first + got == end) ring.drop(whole);
        return got;
    }
    return 0;
}

void Engine::store_dry(const float* const* in, std::uint32_t frames) {
    for (int c = 0; c < inputs; ++c)
        for (std::uint32_t i = 0; i < frames; ++i) delay[c][std::size_t(position + i) & (kDelay - 1)] = in[c][i];
}

float Engine::dry(int channel, std::int64_t at) const {
    if (!inputs) return 0;
    const auto heard = [&](std::uint32_t samples) {
        return at < samples ? 0.0f : delay[channel][std::size_t(at - samples) & (kDelay - 1)];
    };
    if (!late_fade) return heard(late);
    const float share = float(late_fade) / float(fade);
    return share * heard(late_before) + (1 - share) * heard(late);
}

void Engine::play(float* const* out, std::uint32_t offset, std::int64_t at, std::uint32_t frames, bool processed) {
    if (processed && !wet) wet = true, rise = fade;
    if (!processed && wet) {
        wet = false, fall = fade, rise = 0;
        ++dropped;
        std::copy(std::begin(last), std::end(last), std::begin(tail));
    }
    float loudest = 0;
    for (std::uint32_t i = 0; i < frames; ++i) {
        const float amount = on.next() * (rise ? 1 - float(rise) / float(fade) : 1.0f);
        const float share = mix.next(), level = output_gain.next();
        const float left = fall ? 0.5f - 0.5f * std::cos(3.14159265f * float(fall) / float(fade)) : 0.0f;
        for (int c = 0; c < outputs; ++c) {
            const float straight = dry(c, at + i);
            float heard = straight;
            if (processed) {
                const float full = level * (share == 1 ? block[c][i] : straight + share * (block[c][i] - straight));
                heard = amount == 1 ? full : straight + amount * (full - straight);
                last[c] = heard - straight;
            }
            heard += left * tail[c];
            out[c][offset + i] = heard;
            loudest = std::max(loudest, std::fabs(heard));
        }
        if (rise) --rise;
        if (fall) --fall;
        if (late_fade) --late_fade;
    }
    peak_out.store(std::max(peak_out.load(), loudest));
}

}  // namespace nfx
