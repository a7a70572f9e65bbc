// The Python module: descriptions in, streams out. `process` runs without the GIL, allocates nothing, takes no lock.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#if defined(_WIN32)
#include <malloc.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <string>

#include "denormals.hpp"
#include "nets.hpp"
#if !defined(_WIN32)
#include "loop.hpp"
#endif

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(NFX_AMX) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

// Every allocation by C++ code of this module counts, so that a test can prove `process` makes none,
static thread_local size_t allocations = 0;
// and so does every block that is not freed yet, so that a test can prove that nothing leaks.
static std::atomic<size_t> blocks_held{0};

static void* counted(std::size_t size, std::size_t alignment) {
    ++allocations;
    const std::size_t rounded = (std::max<std::size_t>(size, 1) + alignment - 1) / alignment * alignment;
#if defined(_WIN32)
    void* p = _aligned_malloc(rounded, alignment);
#else
    void* p = alignment > alignof(std::max_align_t) ? std::aligned_alloc(alignment, rounded) : std::malloc(rounded);
#endif
    if (!p) throw std::bad_alloc();
    blocks_held.fetch_add(1, std::memory_order_relaxed);
    return p;
}
static void freed(void* p) {
    if (p) blocks_held.fetch_sub(1, std::memory_order_relaxed);
#if defined(_WIN32)
    _aligned_free(p);
#else
    std::free(p);
#endif
}
void* operator new(std::size_t size) { return counted(size, alignof(std::max_align_t)); }
void* operator new[](std::size_t size) { return counted(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t a) { return counted(size, std::size_t(a)); }
void* operator new[](std::size_t size, std::align_val_t a) { return counted(size, std::size_t(a)); }
void operator delete(void* p) noexcept { freed(p); }
void operator delete[](void* p) noexcept { freed(p); }
void operator delete(void* p, std::size_t) noexcept { freed(p); }
void operator delete[](void* p, std::size_t) noexcept { freed(p); }
void operator delete(void* p, std::align_val_t) noexcept { freed(p); }
void operator delete[](void* p, std::align_val_t) noexcept { freed(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { freed(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { freed(p); }

namespace nb = nanobind;
using namespace nb::literals;

#if defined(__x86_64__)
namespace sse2 { extern const nfx::Kernels kernels; }
namespace avx2 { extern const nfx::Kernels kernels; }
namespace avx512 { extern const nfx::Kernels kernels; }
#if defined(NFX_AMX)
namespace amx { extern const nfx::Kernels kernels; }
#endif
#else
namespace generic { extern const nfx::Kernels kernels; }
#endif

namespace {

#if defined(NFX_AMX)
// Whether the processor has matrix units for bfloat16, and the system lets this process use them (Linux wants to be
// asked).
bool has_matrix_units() {
#if defined(__linux__) && defined(SYS_arch_prctl)
    unsigned a, b, c, d;
    constexpr unsigned tiles = 1u << 24, bf16 = 1u << 22;
    constexpr long ask = 0x1023, tile_data = 18;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (tiles | bf16)) != (tiles | bf16)) return false;
    return syscall(SYS_arch_prctl, ask, tile_data) == 0;
#else
    return false;
#endif
}
#endif

// The kernels that this machine can run, the best first.
std::vector<const nfx::Kernels*> find_kernels() {
    std::vector<const nfx::Kernels*> found;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool has512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
#if defined(NFX_AMX)
    if (has512 && has_matrix_units()) found.push_back(&amx::kernels);
#endif
    if (has512) found.push_back(&avx512::kernels);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&avx2::kernels);
    found.push_back(&sse2::kernels);
#else
    found.push_back(&generic::kernels);
#endif
    return found;
}

// The same, without those above the one named by the environment variable, if it is set when first asked.
const std::vector<const nfx::Kernels*>& usable_kernels() {
    static const std::vector<const nfx::Kernels*> usable = [] {
        std::vector<const nfx::Kernels*> found = find_kernels();
        const char* limit = std::getenv("NEURAL_FX_INSTRUCTION_SET");
        if (limit == nullptr || *limit == 0) return found;
        const auto at = std::find_if(found.begin(), found.end(), [&](auto k) { return std::string(k->name) == limit; });
        if (at != found.end()) found.erase(found.begin(), at);
        return found;
    }();
    return usable;
}

// Kernels by the name of their instruction set; the best that may be used for "".
const nfx::Kernels& kernels(const std::string& wanted) {
    for (const nfx::Kernels* candidate : usable_kernels())
        if (wanted.empty() || wanted == candidate->name) return *candidate;
    throw std::invalid_argument("this machine does not have the instruction set " + wanted);
}

// Names of the instruction sets that may be used, the best first.
std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const nfx::Kernels* candidate : usable_kernels()) names.emplace_back(candidate->name);
    return names;
}

using nfx::NoDenormals;

using In = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

// Several streams of one network that run in one call.
class Batch {
    std::vector<std::unique_ptr<nfx::Stream>> streams;
    size_t in, out;

public:
    size_t allocated = 0;  // by `process`, since the beginning

    Batch(std::vector<std::unique_ptr<nfx::Stream>> made, size_t in, size_t out)
        : streams(std::move(made)), in(in), out(out) {}

    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

    size_t inputs() const { return in; }
    size_t outputs() const { return out; }
    std::vector<nfx::Stream*> each() const {
        std::vector<nfx::Stream*> found;
        for (const auto& s : streams) found.push_back(s.get());
        return found;
    }

    void reset() {
        for (auto& s : streams) s->reset();
    }
    void process(In x, Out y) {
        if (x.shape(0) != streams.size() || y.shape(0) != streams.size() || x.shape(1) != in || y.shape(1) != out ||
            x.shape(2) != y.shape(2))
            throw std::invalid_argument("process: expected (streams, channels, samples) arrays of this batch");
        const float* from = x.data();
        float* to = y.data();
        const size_t n = x.shape(2);
        nb::gil_scoped_release release;
        NoDenormals guard;
        const size_t before = allocations;
        for (size_t i = 0; i < streams.size(); ++i)
            streams[i]->process(from + i * in * n, n, to + i * out * n, n, int(n));
        allocated += allocations - before;
    }
};

using Flat = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using FlatOut = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Signals = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

using Turns = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using SignalsOut = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// A bank of harmonics per row: amplitudes (rows, hops + 1, count) and audio (rows, hops * hop), in either direction.
void each_bank(nfx::Harmonics run, const Turns& turns, const float* in, size_t in_row, float* out, size_t out_row,
               size_t frames, size_t count) {
    const size_t hops = frames - 1, n = turns.shape(1);
    nb::gil_scoped_release release;
    NoDenormals guard;
    for (size_t i = 0; i < turns.shape(0); ++i)
        run(turns.data() + i * n, in + i * in_row, int(hops), int(n / hops), int(count), out + i * out_row);
}
void check_bank(const Turns& turns, size_t rows, size_t frames, size_t audio_rows, size_t samples) {
    if (frames < 2 || turns.shape(0) != rows || audio_rows != rows || turns.shape(1) != samples ||
        samples % (frames - 1))
        throw std::invalid_argument(
            "harmonics: expected (rows, hops * hop), (rows, hops + 1, count) and (rows, hops * hop)");
}

struct PitchTracker {
    nfx::Pitch settings;
    std::unique_ptr<nfx::Tracker> tracker;
};

struct TimbreDecoder {
    int hidden, harmonics, bands;
    std::unique_ptr<nfx::Decoder> decoder;  // its scratch memory is one: for one thread at a time
};

// A training window.
class Window {
    std::unique_ptr<nfx::Tape> tape;
    size_t inputs, length;

public:
    Window(std::unique_ptr<nfx::Tape> made, size_t inputs, size_t length)
        : tape(std::move(made)), inputs(inputs), length(length) {}
    Window(const Window&) = delete;
    Window& operator=(const Window&) = delete;

    size_t parameters() const { return tape->parameters(); }
    size_t outputs() const { return length - tape->receptive_field() + 1; }
    void forward(Flat parameters, Signals x, FlatOut y) {
        if (parameters.shape(0) != this->parameters() || x.shape(0) != inputs || x.shape(1) != length ||
            y.shape(0) != outputs())
            throw std::invalid_argument(
                "forward: expected (parameters,), (inputs, length) and (outputs,) of this window");
        nb::gil_scoped_release release;
        NoDenormals guard;
        tape->forward(parameters.data(), x.data(), y.data());
    }
    void backward(Flat dy, FlatOut gradients) {
        if (dy.shape(0) != outputs() || gradients.shape(0) != parameters())
            throw std::invalid_argument("backward: expected (outputs,) and (parameters,) of this window");
        nb::gil_scoped_release release;
        NoDenormals guard;
        tape->backward(dy.data(), gradients.data());
    }
};

template <class Net, class Make>
Batch* batch(const Net& net, Make make, int count, size_t in, size_t out) {
    std::vector<std::unique_ptr<nfx::Stream>> streams;
    for (int i = 0; i < count; ++i) streams.push_back(make(net));
    return new Batch(std::move(streams), in, out);
}

#if !defined(_WIN32)
// A board for the native loop, with the networks that it plays, which must live as long.
struct BoardProgram {
    nfx::Program program;
    std::vector<nb::object> networks;
};

using Memory = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// The loop, with what its thread uses: Python must not free it before the thread has ended.
class NativeLoop {
    Memory incoming, outgoing;
    std::vector<nb::object> boards;
    nfx::Loop loop;

    static nfx::BlockRing ring(const Memory& memory, size_t head, size_t blocks, size_t block) {
        return {memory.data(), memory.shape(0), head, blocks, block};
    }

public:
    NativeLoop(int source, Memory in, Memory out, size_t head, size_t blocks, size_t block)
        : incoming(in), outgoing(out),
          loop(source, ring(in, head, blocks, block), ring(out, head, blocks, block), [] { return allocations; }) {}
    NativeLoop(const NativeLoop&) = delete;
    NativeLoop& operator=(const NativeLoop&) = delete;
    ~NativeLoop() { close(); }

    nfx::Loop& get() { return loop; }
    bool start(nb::object first, nb::object next, int64_t warming, int64_t done, int64_t length, double clock) {
        nfx::Fade fade{next.is_none() ? nullptr : &nb::cast<BoardProgram&>(next).program, warming, done, length};
        const bool started = loop.start(nb::cast<BoardProgram&>(first).program, fade, clock);
        if (started) boards = {first, next};
        return started;
    }
    bool change(nb::object of, int ramp, int offset, double setting, double target, double when) {
        const nfx::Program& program = nb::cast<BoardProgram&>(of).program;
        if (!program.known(ramp)) throw std::invalid_argument("NativeLoop: there is no such ramp");
        return loop.change({&program, ramp, offset, setting, target, when});
    }
    nb::bytes stop() {
        std::string rest;
        {
            nb::gil_scoped_release release;
            rest = loop.stop();
        }
        boards.clear();
        return nb::bytes(rest.data(), rest.size());
    }
    void close() {
        nb::gil_scoped_release release;
        loop.close();
    }
};

void bind_loop(nb::module_& m) {
    using Do = nfx::Program::Do;
    nb::enum_<Do>(m, "Do")
        .value("keep", Do::keep)
        .value("recall", Do::recall)
        .value("clear", Do::clear)
        .value("add", Do::add)
        .value("blend", Do::blend);

    nb::class_<BoardProgram>(m, "Program", "A board as steps for the native loop.")
        .def(
            "__init__",
            [](BoardProgram* p, int channels, int frames, double rate) {
                new (p) BoardProgram{nfx::Program(channels, frames, rate), {}};
            },
            "channels"_a, "frames"_a, "rate"_a)
        .def(
            "add_ramp",
            [](BoardProgram& p, double value, double target, double step, int64_t samples, int64_t left, double setting,
               double aim) { return p.program.add_ramp({value, target, step, samples, left, setting}, aim); },
            "value"_a, "target"_a, "step"_a, "samples"_a, "left"_a, "setting"_a, "aim"_a,
            "A ramp as it is, the parameter's value in its own unit, and where the ramp goes from the next block on.")
        .def(
            "add_step", [](BoardProgram& p, Do what, int place, int ramp) { p.program.add_step(what, place, ramp); },
            "what"_a, "place"_a, "ramp"_a = 0)
        .def(
            "add_networks",
            [](BoardProgram& p, std::vector<nb::object> networks, std::vector<int> ramps) {
                std::vector<nfx::Stream*> streams;
                size_t inputs = 0, outputs = 0;
                for (const auto& network : networks) {
                    const Batch& batch = nb::cast<const Batch&>(network);
                    if (!streams.empty() && (batch.inputs() != inputs || batch.outputs() != outputs))
                        throw std::invalid_argument("Program: networks of several shapes");
                    inputs = batch.inputs(), outputs = batch.outputs();
                    for (nfx::Stream* stream : batch.each()) streams.push_back(stream);
                }
                const size_t step =
                    p.program.add_networks(std::move(streams), int(inputs), int(outputs), std::move(ramps));
                p.networks.insert(p.networks.end(), networks.begin(), networks.end());
                return step;
            },
            "networks"_a, "ramps"_a,
            "`Batch`es with a stream for each channel in all; ramps: gain, knobs, gain, or none. Returns the step's "
            "number.")
        .def(
            "remember",
            [](BoardProgram& p, size_t step, In past) {
                if (past.shape(0) != size_t(p.program.channels))
                    throw std::invalid_argument("Program: a past does not fit");
                p.program.remember(step, past.data(), past.shape(1), past.shape(2));
            },
            "step"_a, "past"_a, "Keep what goes into networks, (channels, inputs, samples), beginning with this.")
        .def(
            "remembered",
            [](const BoardProgram& p, size_t step, Out past) {
                const nfx::Past& kept = p.program.past(step);
                if (past.shape(0) * past.shape(1) != kept.row_count() || past.shape(2) != kept.size())
                    throw std::invalid_argument("Program: a past does not fit");
                kept.get(past.data());
            },
            "step"_a, "past"_a, "Write what was kept, oldest first. For when it does not play.")
        .def(
            "ramp",
            [](const BoardProgram& p, int index) {
                const nfx::Ramp& ramp = p.program.ramp(index);
                return nb::make_tuple(ramp.value, ramp.target, ramp.step, ramp.left, ramp.setting);
            },
            "index"_a, "Value, target, step, samples left and setting. For when it does not play.");

    nb::class_<NativeLoop>(m, "NativeLoop",
                           "A thread that plays a program on blocks of two rings, without the interpreter.")
        .def(nb::init<int, Memory, Memory, size_t, size_t, size_t>(), "source"_a, "incoming"_a, "outgoing"_a, "head"_a,
             "blocks"_a, "block"_a)
        .def("start", &NativeLoop::start, "program"_a, "next"_a.none(), "warming"_a, "done"_a, "length"_a, "clock"_a,
             "Play from the next block on, and fade to the next program, if any; False if the source has ended.")
        .def("stop", &NativeLoop::stop,
             "Stop after the block at work; the bytes of the source that were not passed on.")
        .def("change", &NativeLoop::change, "program"_a, "ramp"_a, "offset"_a, "setting"_a, "target"_a, "when"_a,
             "Aim a ramp of the program that plays, or is about to; False if too many changes wait.")
        .def(
            "unmade",
            [](NativeLoop& l, const BoardProgram& of) {
                std::vector<nb::tuple> found;
                for (const auto& c : l.get().unmade(of.program))
                    found.push_back(nb::make_tuple(c.ramp, c.offset, c.setting, c.target, c.when));
                return found;
            },
            "program"_a, "Changes of a program that have not been made, in order. For when it does not play.")
        .def_prop_ro(
            "fade", [](NativeLoop& l) { return nb::make_tuple(l.get().fading().warming, l.get().fading().done); },
            "Samples that the next program still warms up, and that it has faded. For when it does not play.")
        .def_prop_ro("fade_finished", [](NativeLoop& l) { return l.get().faded.load() == nfx::Loop::Faded::finished; })
        .def_prop_ro("fade_failed", [](NativeLoop& l) { return l.get().faded.load() == nfx::Loop::Faded::failed; })
        .def("close", &NativeLoop::close, "End the thread after the block at work.")
        .def(
            "call", [](NativeLoop& l) { l.get().attention.knock(); }, "Make `attention` readable.")
        .def(
            "heard", [](NativeLoop& l) { l.get().attention.drain(); }, "Take what is in `attention`.")
        .def(
            "take_peaks",
            [](NativeLoop& l) { return nb::make_tuple(l.get().peak_in.exchange(0), l.get().peak_out.exchange(0)); },
            "The largest magnitudes (in, out) since last asked.")
        .def_prop_ro(
            "messages", [](NativeLoop& l) { return l.get().messages(); }, "Descriptor: messages of the source.")
        .def_prop_ro(
            "attention", [](NativeLoop& l) { return l.get().attention.out; }, "Descriptor: something has happened.")
        .def_prop_ro(
            "clock", [](NativeLoop& l) { return l.get().time(); }, "The stream's time. For when it does not play.")
        .def_prop_ro("blocks", [](NativeLoop& l) { return l.get().blocks.load(); })
        .def_prop_ro("late", [](NativeLoop& l) { return l.get().late.load(); })
        .def_prop_rw(
            "load", [](NativeLoop& l) { return l.get().load.load(); },
            [](NativeLoop& l, double x) { l.get().load = x; })
        .def_prop_ro(
            "failed", [](NativeLoop& l) { return l.get().failed.load(); },
            "An output was not finite; the dry signal passes.")
        .def_prop_ro("realtime", [](NativeLoop& l) { return l.get().realtime.load(); })
        .def_prop_ro(
            "allocations", [](NativeLoop& l) { return l.get().allocated.load(); }, "By the thread so far: none.");
}
#endif

}  // namespace

NB_MODULE(_core, m) {
    m.doc() = "Compiled kernels of neural_fx.engines.cpu.";
    // nanobind lists what is alive when the interpreter ends: what globals, daemon threads, frozen or uncollected
    // cycles and exceptions still hold. Python frees none of it then, and the system all of it. Real leaks show in
    // `blocks_held`.
    nb::set_leak_warnings(false);
    m.def(
        "blocks_held", [] { return blocks_held.load(); },
        "Blocks of memory that C++ code of this module holds; as many as before once all of its objects are gone.");
    m.def(
        "instruction_set", [] { return std::string(kernels("").name); }, "The instruction set that streams use here.");

    m.def("instruction_sets", &instruction_sets, "Those that may be used here, the best first.");
    m.def(
        "fma_peak", [](const std::string& set) { return kernels(set).fma_peak(); }, "instruction_set"_a = "",
        "GFLOP/s of independent fused multiply-adds on one core, measured for about 20 ms.");
    m.def("allocations", [] { return allocations; }, "C++ allocations of this module on this thread so far.");

    m.def(
        "harmonics",
        [](Turns turns, In amplitudes, SignalsOut out) {
            check_bank(turns, amplitudes.shape(0), amplitudes.shape(1), out.shape(0), out.shape(1));
            each_bank(kernels("").harmonics, turns, amplitudes.data(), amplitudes.shape(1) * amplitudes.shape(2),
                      out.data(), out.shape(1), amplitudes.shape(1), amplitudes.shape(2));
        },
        "turns"_a, "amplitudes"_a, "out"_a, "Sums of sines: phases in turns, amplitudes by frame, audio to write.");
    m.def(
        "harmonics_adjoint",
        [](Turns turns, Signals audio, Out gradients) {
            check_bank(turns, gradients.shape(0), gradients.shape(1), audio.shape(0), audio.shape(1));
            each_bank(kernels("").harmonics_adjoint, turns, audio.data(), audio.shape(1), gradients.data(),
                      gradients.shape(1) * gradients.shape(2), gradients.shape(1), gradients.shape(2));
        },
        "turns"_a, "audio"_a, "gradients"_a, "The gradient by the amplitudes from the one by the audio.");

    using Samples = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
    using Doubles = nb::ndarray<double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
    using Doubles2 = nb::ndarray<double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
    nb::class_<PitchTracker>(m, "Tracker", "Pitch of a stream at half its rate.")
        .def("__init__",
             [](PitchTracker* t, int window, int hop, int first, int lags, int candidates, double rate, double bias,
                double jump, double cap, double memory) {
                 if (first < 2 || lags <= first || window < 2 * lags || hop < 1 || candidates < 1)
                     throw std::invalid_argument("Tracker: sizes do not fit");
                 new (t) PitchTracker{{window, hop, first, lags, candidates, rate, bias, jump, cap, memory}, nullptr};
                 t->tracker = kernels("").tracker(t->settings);
             })
        .def("process",
             [](PitchTracker& t, Samples half, Doubles f0, Doubles confidence, Doubles2 lags, Doubles2 clear) {
                 const size_t n = f0.shape(0), c = size_t(t.settings.candidates);
                 if (confidence.shape(0) != n || lags.shape(0) != n || clear.shape(0) != n || lags.shape(1) != c ||
                     clear.shape(1) != c || (n && half.shape(0) < (n - 1) * t.settings.hop + t.settings.window))
                     throw std::invalid_argument("Tracker.process: sizes do not fit");
                 nb::gil_scoped_release release;
                 t.tracker->process(half.data(), int(n), f0.data(), confidence.data(), lags.data(), clear.data());
             });
    nb::class_<TimbreDecoder>(m, "Decoder", "The network of a timbre.")
        .def("__init__",
             [](TimbreDecoder* d, int hidden, int harmonics, int bands, Samples weights, float ratio, float gate_low,
                float gate_high, float fade_low, float fade_high, float noise_power, std::vector<float> band_weights) {
                 const size_t h = size_t(hidden),
                              wanted = 15 * h * h + 27 * h + (1 + size_t(harmonics) + size_t(bands)) * (h + 1);
                 if (hidden < 1 || harmonics < 1 || bands < 1 || band_weights.size() != size_t(bands) ||
                     weights.shape(0) != wanted)
                     throw std::invalid_argument("Decoder: sizes do not fit");
                 new (d) TimbreDecoder{hidden, harmonics, bands,
                                       kernels("").decoder(hidden, harmonics, bands,
                                                           {ratio, gate_low, gate_high, fade_low, fade_high,
                                                            noise_power, std::move(band_weights)},
                                                           weights.data())};
             })
        .def("decode", [](TimbreDecoder& d, In inputs, SignalsOut state, Out tones, Out noise) {
            const size_t v = inputs.shape(0), f = inputs.shape(1);
            if (inputs.shape(2) != 3 || state.shape(0) != v || state.shape(1) != size_t(d.hidden) ||
                tones.shape(0) != v || tones.shape(1) != f || tones.shape(2) != size_t(d.harmonics) ||
                noise.shape(0) != v || noise.shape(1) != f || noise.shape(2) != size_t(d.bands))
                throw std::invalid_argument("Decoder.decode: sizes do not fit");
            nb::gil_scoped_release release;
            NoDenormals guard;
            d.decoder->decode(inputs.data(), int(v), int(f), state.data(), tones.data(), noise.data());
        });
    m.def("filtered_noise", [](Signals basis, In magnitudes, In white, SignalsOut tail, Out out) {
        const size_t v = magnitudes.shape(0), hops = magnitudes.shape(1), bands = magnitudes.shape(2),
                     hop = white.shape(2), taps = basis.shape(1);
        if (basis.shape(0) != bands || white.shape(0) != v || white.shape(1) != hops || tail.shape(0) != v ||
            tail.shape(1) != taps || out.shape(0) != v || out.shape(1) != hops || out.shape(2) != hop || hop % 16 ||
            taps % 16)
            throw std::invalid_argument("filtered_noise: sizes do not fit");
        nb::gil_scoped_release release;
        NoDenormals guard;
        for (size_t i = 0; i < v; ++i)
            kernels("").filtered_noise(basis.data(), magnitudes.data() + i * hops * bands,
                                       white.data() + i * hops * hop, int(hops), int(bands), int(taps), int(hop),
                                       tail.data() + i * taps, out.data() + i * hops * hop);
    });

    nb::enum_<nfx::Act>(m, "Act")
        .value("tanh", nfx::Act::tanh)
        .value("tanh_fast", nfx::Act::tanh_fast)
        .value("sigmoid_fast", nfx::Act::sigmoid_fast)
        .value("fasttanh", nfx::Act::fasttanh)
        .value("hardtanh", nfx::Act::hardtanh)
        .value("relu", nfx::Act::relu)
        .value("leaky_relu", nfx::Act::leaky_relu)
        .value("prelu", nfx::Act::prelu)
        .value("sigmoid", nfx::Act::sigmoid)
        .value("silu", nfx::Act::silu)
        .value("hardswish", nfx::Act::hardswish)
        .value("leaky_hardtanh", nfx::Act::leaky_hardtanh)
        .value("softsign", nfx::Act::softsign)
        .value("linear", nfx::Act::linear);
    nb::enum_<nfx::Gating>(m, "Gating")
        .value("none", nfx::Gating::none)
        .value("gated", nfx::Gating::gated)
        .value("blended", nfx::Gating::blended);

    nb::class_<nfx::Conv>(m, "Conv").def(
        "__init__",
        [](nfx::Conv* c, int out, int in, int taps, int dilation, std::vector<float> weight, std::vector<float> bias) {
            if (weight.size() != size_t(out) * in * taps || (!bias.empty() && bias.size() != size_t(out)))
                throw std::invalid_argument("Conv: sizes do not fit");
            new (c) nfx::Conv{out, in, taps, dilation, std::move(weight), std::move(bias)};
        },
        "out"_a, "in_"_a, "taps"_a, "dilation"_a, "weight"_a, "bias"_a);
    nb::class_<nfx::Activation>(m, "Activation")
        .def("__init__", [](nfx::Activation* a, nfx::Act kind, std::vector<float> params) {
            new (a) nfx::Activation{kind, std::move(params)};
        });
    nb::class_<nfx::Film>(m, "Film").def(
        "__init__", [](nfx::Film* f, nfx::Conv conv, bool shift) { new (f) nfx::Film{std::move(conv), shift}; });
    nb::class_<nfx::Layer>(m, "Layer")
        .def(nb::init<>())
        .def_rw("conv", &nfx::Layer::conv)
        .def_rw("mixin", &nfx::Layer::mixin)
        .def_rw("residual", &nfx::Layer::residual)
        .def_rw("head", &nfx::Layer::head)
        .def_rw("activation", &nfx::Layer::activation)
        .def_rw("secondary", &nfx::Layer::secondary)
        .def_rw("gating", &nfx::Layer::gating)
        .def_rw("films", &nfx::Layer::films);
    nb::class_<nfx::PostStage>(m, "PostStage")
        .def(nb::init<>())
        .def_rw("activation", &nfx::PostStage::activation)
        .def_rw("conv", &nfx::PostStage::conv);
    nb::class_<nfx::Stage>(m, "Stage")
        .def(nb::init<>())
        .def_rw("conv", &nfx::Stage::conv)
        .def_rw("scale", &nfx::Stage::scale)
        .def_rw("shift", &nfx::Stage::shift)
        .def_rw("activation", &nfx::Stage::activation);
    nb::class_<nfx::Array>(m, "Array")
        .def(nb::init<>())
        .def_rw("rechannel", &nfx::Array::rechannel)
        .def_rw("head", &nfx::Array::head)
        .def_rw("layers", &nfx::Array::layers);
    nb::class_<nfx::WaveNet>(m, "WaveNet")
        .def(nb::init<>())
        .def_rw("in_", &nfx::WaveNet::in)
        .def_rw("head_scale", &nfx::WaveNet::head_scale)
        .def_rw("arrays", &nfx::WaveNet::arrays)
        .def_rw("post", &nfx::WaveNet::post)
        .def_rw("condition", &nfx::WaveNet::condition)
        .def(
            "batch",
            [](const nfx::WaveNet& net, int count, const std::string& set) {
                return batch(net, kernels(set).wavenet, count, net.in, net.out());
            },
            "count"_a, "instruction_set"_a = "", nb::rv_policy::take_ownership)
        .def(
            "window",
            [](const nfx::WaveNet& net, int length, const std::string& set) {
                auto tape = kernels(set).tape(net, length);
                if (length < tape->receptive_field())
                    throw std::invalid_argument("window: shorter than the receptive field");
                return new Window(std::move(tape), net.in, length);
            },
            "length"_a, "instruction_set"_a = "", nb::rv_policy::take_ownership);

    nb::class_<nfx::Knobbed>(m, "Knobbed")
        .def(nb::init<>())
        .def_rw("net", &nfx::Knobbed::net)
        .def_rw("learned", &nfx::Knobbed::learned)
        .def("add_dense",
             [](nfx::Knobbed& k, int out, int in, std::vector<float> weight, std::vector<float> bias) {
                 k.dense.push_back({out, in, std::move(weight), std::move(bias)});
             })
        .def("add_level", [](nfx::Knobbed& k, int index,
                             std::vector<float> gains) { k.levels.push_back({index, std::move(gains)}); })
        .def(
            "batch",
            [](const nfx::Knobbed& net, int count, const std::string& set) {
                return batch(net, kernels(set).knobbed, count, net.net.in + net.knobs(), net.net.out());
            },
            "count"_a, "instruction_set"_a = "", nb::rv_policy::take_ownership);

    nb::class_<Window>(m, "Window", "A training window of a plain WaveNet (tanh, no gates, no FiLM).")
        .def_prop_ro("parameters", &Window::parameters)
        .def_prop_ro("outputs", &Window::outputs)
        .def("forward", &Window::forward, "parameters"_a, "x"_a, "y"_a)
        .def("backward", &Window::backward, "dy"_a, "gradients"_a);

    nb::class_<nfx::Sequential>(m, "Sequential")
        .def(nb::init<>())
        .def_rw("in_", &nfx::Sequential::in)
        .def_rw("out", &nfx::Sequential::out)
        .def_rw("skip", &nfx::Sequential::skip)
        .def_rw("input_gain", &nfx::Sequential::input_gain)
        .def_rw("output_gain", &nfx::Sequential::output_gain)
        .def_rw("stages", &nfx::Sequential::stages)
        .def(
            "batch",
            [](const nfx::Sequential& net, int count, const std::string& set) {
                return batch(net, kernels(set).sequential, count, net.in, net.out);
            },
            "count"_a, "instruction_set"_a = "", nb::rv_policy::take_ownership);

    nb::class_<nfx::RecurrentLayer>(m, "RecurrentLayer")
        .def(nb::init<>())
        .def_rw("in_", &nfx::RecurrentLayer::in)
        .def_rw("hidden", &nfx::RecurrentLayer::hidden)
        .def_rw("w_ih", &nfx::RecurrentLayer::w_ih)
        .def_rw("w_hh", &nfx::RecurrentLayer::w_hh)
        .def_rw("b_ih", &nfx::RecurrentLayer::b_ih)
        .def_rw("b_hh", &nfx::RecurrentLayer::b_hh)
        .def_rw("h0", &nfx::RecurrentLayer::h0)
        .def_rw("c0", &nfx::RecurrentLayer::c0);
    nb::class_<nfx::Recurrent>(m, "Recurrent")
        .def(nb::init<>())
        .def_rw("lstm", &nfx::Recurrent::lstm)
        .def_rw("skip", &nfx::Recurrent::skip)
        .def_rw("fast", &nfx::Recurrent::fast)
        .def_rw("input_gain", &nfx::Recurrent::input_gain)
        .def_rw("output_gain", &nfx::Recurrent::output_gain)
        .def_rw("layers", &nfx::Recurrent::layers)
        .def_rw("head", &nfx::Recurrent::head)
        .def_rw("head_bias", &nfx::Recurrent::head_bias)
        .def(
            "batch",
            [](const nfx::Recurrent& net, int count, const std::string& set) {
                return batch(net, kernels(set).recurrent, count, net.layers[0].in, 1);
            },
            "count"_a, "instruction_set"_a = "", nb::rv_policy::take_ownership);

    nb::class_<Batch>(m, "Batch", "Streams of one network.")
        .def("reset", &Batch::reset)
        .def_ro("allocations", &Batch::allocated, "C++ allocations made inside `process` so far: none.")
        .def("process", &Batch::process, "x"_a, "y"_a,
             "(streams, in, n) float32 into (streams, out, n), without the GIL.");
#if !defined(_WIN32)
    bind_loop(m);
#endif
}
