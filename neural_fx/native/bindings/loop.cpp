// Live audio without the interpreter: boards as programs, and the thread that plays them.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include "live/loop.hpp"

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "allocations.hpp"
#include "batch.hpp"
#include "bindings.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using nfx::Program;

namespace {

// A program and the Python objects of the networks that it plays. The program only has pointers to their streams.
struct BoardProgram {
    Program program;
    std::vector<nb::object> networks;
};

void make_program(BoardProgram* self, int channels, int frames, double rate) {
    new (self) BoardProgram{Program(channels, frames, rate), {}};
}

int add_ramp(BoardProgram& self, double value, double target, double step, int64_t samples, int64_t left,
             double setting, double aim) {
    return self.program.add_ramp({value, target, step, samples, left, setting}, aim);
}

void add_step(BoardProgram& self, Program::Do what, int place, int ramp) { self.program.add_step(what, place, ramp); }

size_t add_networks(BoardProgram& self, std::vector<nb::object> networks, std::vector<int> ramps) {
    std::vector<nfx::Stream*> streams;
    size_t in_channels = 0;
    size_t out_channels = 0;
    for (const auto& network : networks) {
        const Batch& batch = nb::cast<const Batch&>(network);
        if (!streams.empty() && (batch.in_channels() != in_channels || batch.out_channels() != out_channels))
            throw std::invalid_argument("Program: networks of several shapes");
        in_channels = batch.in_channels();
        out_channels = batch.out_channels();
        for (nfx::Stream* stream : batch.streams()) streams.push_back(stream);
    }
    const size_t step =
        self.program.add_networks(std::move(streams), int(in_channels), int(out_channels), std::move(ramps));
    self.networks.insert(self.networks.end(), networks.begin(), networks.end());
    return step;
}

void remember(BoardProgram& self, size_t step, CpuArray<const float, 3> past) {
    if (past.shape(0) != size_t(self.program.channels)) throw std::invalid_argument("Program: a past does not fit");
    self.program.remember(step, past.data(), past.shape(1), past.shape(2));
}

void remembered(const BoardProgram& self, size_t step, CpuArray<float, 3> past) {
    const nfx::Past& kept = self.program.past(step);
    if (past.shape(0) * past.shape(1) != kept.row_count() || past.shape(2) != kept.size())
        throw std::invalid_argument("Program: a past does not fit");
    kept.get(past.data());
}

nb::tuple ramp_state(const BoardProgram& self, int index) {
    const nfx::Ramp& ramp = self.program.ramp(index);
    return nb::make_tuple(ramp.value, ramp.target, ramp.step, ramp.left, ramp.setting);
}

using Memory = CpuArray<uint8_t, 1>;

// A loop and the Python objects that its thread uses. Python must not free them before the thread has ended.
class NativeLoop {
    Memory incoming;
    Memory outgoing;
    std::vector<nb::object> boards;
    nfx::Loop loop;

    static nfx::BlockRing ring(const Memory& memory, size_t head, size_t blocks, size_t block) {
        return {memory.data(), memory.shape(0), head, blocks, block};
    }

public:
    NativeLoop(int source, Memory incoming, Memory outgoing, size_t head, size_t blocks, size_t block)
        : incoming(incoming), outgoing(outgoing),
          loop(source, ring(incoming, head, blocks, block), ring(outgoing, head, blocks, block)) {}
    NativeLoop(const NativeLoop&) = delete;
    NativeLoop& operator=(const NativeLoop&) = delete;
    ~NativeLoop() { close(); }

    bool start(nb::object first, nb::object next, int64_t warming, int64_t done, int64_t length, double clock) {
        Program* next_program = next.is_none() ? nullptr : &nb::cast<BoardProgram&>(next).program;
        const nfx::Fade fade{next_program, warming, done, length};
        const bool started = loop.start(nb::cast<BoardProgram&>(first).program, fade, clock);
        if (started) boards = {first, next};
        return started;
    }

    bool change(nb::object board, int ramp, int offset, double setting, double target, double when) {
        const Program& program = nb::cast<BoardProgram&>(board).program;
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

    std::vector<nb::tuple> unmade(const BoardProgram& board) {
        std::vector<nb::tuple> found;
        for (const auto& change : loop.unmade(board.program))
            found.push_back(nb::make_tuple(change.ramp, change.offset, change.setting, change.target, change.when));
        return found;
    }

    nb::tuple fade() const { return nb::make_tuple(loop.fading().warming, loop.fading().done); }
    nb::tuple take_peaks() { return nb::make_tuple(loop.peak_in.exchange(0), loop.peak_out.exchange(0)); }
    void call() { loop.attention.knock(); }
    void heard() { loop.attention.drain(); }

    int messages() const { return loop.messages(); }
    int attention() const { return loop.attention.out; }
    double clock() const { return loop.time(); }
    uint64_t blocks() const { return loop.blocks; }
    uint64_t late() const { return loop.late; }
    double load() const { return loop.load; }
    void set_load(double load) { loop.load = load; }
    bool failed() const { return loop.failed; }
    bool realtime() const { return loop.realtime; }
    bool fade_finished() const { return loop.faded == nfx::Loop::Faded::finished; }
    bool fade_failed() const { return loop.faded == nfx::Loop::Faded::failed; }
    std::optional<uint64_t> allocations() const {
        if (!nfx::allocations()) return std::nullopt;
        return loop.allocated;
    }
};

void register_program(nb::module_& m) {
    nb::enum_<Program::Do>(m, "Do")
        .value("keep", Program::Do::keep)
        .value("recall", Program::Do::recall)
        .value("clear", Program::Do::clear)
        .value("add", Program::Do::add)
        .value("blend", Program::Do::blend);
    nb::class_<BoardProgram>(m, "Program", "A board as steps for the native loop.")
        .def("__init__", &make_program, "channels"_a, "frames"_a, "rate"_a)
        .def("add_ramp", &add_ramp, "value"_a, "target"_a, "step"_a, "samples"_a, "left"_a, "setting"_a, "aim"_a,
             "Add a ramp in its present state. It goes to `aim` from the next block on.")
        .def("add_step", &add_step, "what"_a, "place"_a, "ramp"_a = 0)
        .def("add_networks", &add_networks, "networks"_a, "ramps"_a,
             "Add a step with a stream for each channel. Ramps: gain, knobs, gain; or none. Returns its number.")
        .def("remember", &remember, "step"_a, "past"_a,
             "Keep the inputs of networks from now on, after these: (channels, inputs, samples).")
        .def("remembered", &remembered, "step"_a, "past"_a,
             "Write the inputs that were kept, oldest first. The program must not be playing.")
        .def("ramp", &ramp_state, "index"_a,
             "Return value, target, step, samples left and setting. The program must not be playing.");
}

void register_thread(nb::module_& m) {
    nb::class_<NativeLoop>(m, "NativeLoop",
                           "A thread that plays a program on blocks of two rings, without the interpreter.")
        .def(nb::init<int, Memory, Memory, size_t, size_t, size_t>(), "source"_a, "incoming"_a, "outgoing"_a, "head"_a,
             "blocks"_a, "block"_a)
        .def("start", &NativeLoop::start, "program"_a, "next"_a.none(), "warming"_a, "done"_a, "length"_a, "clock"_a,
             "Play from the next block on, and fade to the next program, if any. False if the source has ended.")
        .def("stop", &NativeLoop::stop,
             "Stop after the present block. Returns the bytes of the source that were not passed on.")
        .def("change", &NativeLoop::change, "program"_a, "ramp"_a, "offset"_a, "setting"_a, "target"_a, "when"_a,
             "Aim a ramp of a program that plays or is about to. False if too many changes wait.")
        .def("unmade", &NativeLoop::unmade, "program"_a, "Return the waiting changes of a program, while stopped.")
        .def("close", &NativeLoop::close, "End the thread after the present block.")
        .def("call", &NativeLoop::call, "Make `attention` readable.")
        .def("heard", &NativeLoop::heard, "Read everything from `attention`.")
        .def("take_peaks", &NativeLoop::take_peaks, "Return the largest magnitudes (in, out) since the last call.")
        .def_prop_ro("fade", &NativeLoop::fade, "Samples of warming up that are left, and of the fade that are done.")
        .def_prop_ro("fade_finished", &NativeLoop::fade_finished)
        .def_prop_ro("fade_failed", &NativeLoop::fade_failed)
        .def_prop_ro("messages", &NativeLoop::messages, "File descriptor with messages of the source.")
        .def_prop_ro("attention", &NativeLoop::attention, "File descriptor that is readable when something happened.")
        .def_prop_ro("clock", &NativeLoop::clock, "Time of the stream in seconds, while stopped.")
        .def_prop_ro("blocks", &NativeLoop::blocks)
        .def_prop_ro("late", &NativeLoop::late)
        .def_prop_rw("load", &NativeLoop::load, &NativeLoop::set_load)
        .def_prop_ro("failed", &NativeLoop::failed, "An output was not finite. The dry signal passes.")
        .def_prop_ro("realtime", &NativeLoop::realtime)
        .def_prop_ro("allocations", &NativeLoop::allocations, "C++ allocations of the thread, where a test counts.");
}

}  // namespace

void register_loop(nb::module_& m) {
    register_program(m);
    register_thread(m);
}
