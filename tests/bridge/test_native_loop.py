"""The native loop: the same samples as Python's path, whatever holds the interpreter, and an end in any case."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mido
import numpy as np
import pedalboard
import pytest

import neural_fx
from bridge.host import BoardHost, BoardStream, Change
from bridge.host.stream import Voice
from bridge.live.board import LiveBoard
from bridge.worker import Options, Worker
from neural_fx.arrays import Audio
from neural_fx.engines.cpu import core
from neural_fx.impulse import Convolution
from neural_fx.macros import Macro, Target
from neural_fx.native_loop import available, prepare_for_loop
from neural_fx.pedalboard import Chain, Mix, Pedalboard, Plugin
from neural_fx.pedals import TubeScreamer
from neural_fx.processor import Processor, Spec
from tests.bridge.live_rig import PATIENCE, Rig
from tests.conftest import (
    container_document,
    convnet_document,
    guitarml_document,
    linear_document,
    lstm_document,
    noise,
    wavenet_document,
)
from tests.counting import NO_ALLOCATIONS, needs_counts

pytestmark = pytest.mark.skipif(not available(), reason="the native loop was not built (no compiler, or Windows)")

Write = Callable[..., Path]
CLOSE = 1e-6
"""Of the peak, by which the loop may differ from Python's path. Where both were measured they were equal."""


class Inverted(Processor):
    """A processor in Python."""

    def process_block(self, block: Audio) -> Audio:
        return -block


@pytest.fixture
def folder(write: Write) -> Path:
    """A folder of captures of all families that the compiled engine plays."""
    documents = {
        "wavenet": wavenet_document(),
        "other-wavenet": wavenet_document(5, 4),
        "lstm": lstm_document(),
        "convnet": convnet_document(),
        "linear": linear_document(),
        "sizes": container_document(),
        "slow": wavenet_document(1, 2, 44100),
    }
    for name, document in documents.items():
        write(document, f"{name}.nam")
    return write(guitarml_document("LSTM", 2), "knob.json").parent


def boards(folder: Path) -> dict[str, Callable[[], Pedalboard]]:
    """Boards that the loop plays."""

    def capture(name: str, **more: float) -> Plugin:
        return neural_fx.load(folder / name, **more)

    def rig() -> Pedalboard:
        board = Pedalboard([TubeScreamer(drive=0.7), capture("wavenet.nam"), capture("linear.nam")], mix=0.8)
        board.macros = (Macro("all", (Target("mix", 0.2, 0.9), Target("tube-screamer/drive"))),)
        return board

    def nested() -> Pedalboard:
        both = Mix([capture("lstm.nam"), Chain([capture("convnet.nam"), capture("wavenet.nam")]), Chain([])])
        return Pedalboard([Pedalboard([both], mix=0.3), Mix([]), capture("other-wavenet.nam")])

    def cabinet() -> Pedalboard:
        board = Pedalboard([capture("wavenet.nam"), Convolution(response(2, 3000), sample_rate=44100)])
        board.append(Chain([Convolution(response(1, 90), 0.4, 48000)]))
        return board

    return {
        "cabinet": cabinet,
        "empty": Pedalboard,
        "wavenet": lambda: Pedalboard([capture("wavenet.nam", input_gain_db=-3)]),
        "normalized": lambda: Pedalboard([neural_fx.load(folder / "wavenet.nam", level="normalized")]),
        "lstm": lambda: Pedalboard([capture("lstm.nam")]),
        "sizes": lambda: Pedalboard([capture("sizes.nam")]),
        "knob": lambda: Pedalboard([capture("knob.json")]),
        "rig": rig,
        "nested": nested,
    }


RATES = {"knob": 44100}
"""Hz of boards whose captures are not at 48 kHz."""
BOARDS = ("cabinet", "empty", "wavenet", "normalized", "lstm", "sizes", "knob", "rig", "nested")


def response(channels: int, taps: int) -> Audio:
    """An impulse response that fades out."""
    return noise(taps, channels, taps) * np.exp(-np.arange(taps, dtype=np.float32) / (taps / 6))


def in_python(host: BoardHost, spec: Spec) -> BoardStream:
    """A stream that Python plays, with the convolutions that the loop would play."""
    stream = host.open(spec)
    stream.fit = lambda board: prepare_for_loop(board, spec)
    stream.fit(stream.voice.board)
    stream.voice = Voice(stream.voice.board, spec)
    return stream


def random_changes(host: BoardHost, random: np.random.Generator) -> Iterator[tuple[str, float]]:
    """Changes of any of a board's parameters, some blocks apart; the same ones for the same seed."""
    table = host.table()
    for address in random.choice(sorted(table), random.integers(0, 4)):
        parameter = table[address]
        assert parameter is not None
        share = float(random.choice([0.0, 1.0, random.random()]))
        yield str(address), round(share) if address.endswith("bypass") else parameter.at(share)


def check_same(heard: Audio, wanted: Audio) -> None:
    peak = float(np.abs(wanted).max())
    np.testing.assert_allclose(heard, wanted, rtol=0, atol=CLOSE * max(peak, 1e-3))


# -- the same samples ------------------------------------------------------------------------------------------------


@pytest.mark.counting
@pytest.mark.parametrize("frames", [1, 37, 256])
@pytest.mark.parametrize("name", BOARDS)
def test_the_loop_plays_what_python_plays(folder: Path, name: str, frames: int) -> None:
    host = BoardHost(name, boards(folder)[name])
    random = np.random.default_rng(frames)
    with Rig(host, 2, frames, RATES.get(name, 48000)) as rig:
        python = in_python(host, rig.spec)
        for i in range(60):
            for address, value in random_changes(host, random) if i % 3 == 0 else ():
                host.set(address, value)
            block = noise(frames, 2, i, 0.2)
            check_same(rig.play_block(block), python.process(block))
        for i in range(40):  # until the network's size has changed
            block = noise(frames, 2, i, 0.2)
            check_same(rig.play_block(block), python.process(block))
        assert rig.engine.allocations == NO_ALLOCATIONS
        assert rig.engine.native or (name == "sizes" and frames * 40 < 960)


@pytest.mark.counting
@pytest.mark.parametrize("name", BOARDS)
def test_another_board_fades_in_in_the_loop(folder: Path, name: str) -> None:
    """Each time while parameters move, and once before the board before it has faded in."""
    host = BoardHost("lead", boards(folder)["knob" if name == "knob" else "rig"])
    random = np.random.default_rng(8)
    native = set()
    with Rig(host, 2, 480, RATES.get(name, 48000)) as rig:
        python = in_python(host, rig.spec)
        for i in range(110):
            if i in (5, 40, 75, 91):
                host.load(boards(folder)[name])
            for address, value in random_changes(host, random) if i % 7 == 0 else ():
                host.set(address, value)
            block = noise(480, 2, i, 0.2)
            check_same(rig.play_block(block), python.process(block))
            native.add(rig.engine.native)
        assert native == {True} or name == "sizes"  # another size is Python's
        assert rig.engine.allocations == NO_ALLOCATIONS
    assert rig.stream.next is None


def test_an_edited_board_keeps_its_values_in_the_loop(folder: Path) -> None:
    host = BoardHost("lead", boards(folder)["rig"])
    values = {"wavenet/bypass": 1.0, "tube-screamer/drive": 0.25, "mix": 0.5}
    with Rig(host, 1, 480) as rig:
        python = in_python(host, rig.spec)
        for i in range(40):
            if i == 2:
                for address, value in values.items():
                    host.set(address, value)
            if i == 5:
                host.load(host.make, keep=True)
            block = noise(480, 1, i, 0.2)
            check_same(rig.play_block(block), python.process(block))
        assert rig.engine.native
    assert {address: host.value(address) for address in values} == values


@pytest.mark.parametrize("name", BOARDS)
def test_a_stream_moves_to_python_and_back_without_a_gap(folder: Path, name: str) -> None:
    """Changes that only Python can report, in fades too, take it out of the loop, while its parameters move."""
    host = BoardHost(name, boards(folder)[name])
    random = np.random.default_rng(8)
    native = set()
    with Rig(host, 1, 480, RATES.get(name, 48000)) as rig:
        python = in_python(host, rig.spec)
        for i in range(120):
            if i % 40 == 10:
                host.load(host.make)
            for address, value in random_changes(host, random):
                host.set(address, value)
            if i % 9 == 3 or i in (12, 50, 65, 67):
                rig.stream.change(Change("nonsense", 1.0))
                native.add(rig.engine.native)
            block = noise(480, 1, i, 0.2)
            check_same(rig.play_block(block), python.process(block))
            native.add(rig.engine.native)
        assert native == {True, False}
        rig.play(noise(480 * 20, 1))
        assert rig.engine.native


def test_a_new_board_that_is_not_finite_is_given_up(folder: Path, write: Write) -> None:
    broken = write({**wavenet_document(), "weights": [*wavenet_document()["weights"][:-1], 1e38]}, "broken.nam")
    reports: list[str] = []
    host = BoardHost("lead", boards(folder)["wavenet"], lambda name, sentence: reports.append(sentence))
    with Rig(host, 1, 480) as rig:
        python = in_python(host, rig.spec)
        rig.play(noise(480, 1))
        python.process(noise(480, 1))
        host.load(lambda: Pedalboard([neural_fx.load(broken, output_gain_db=60)]))
        for i in range(25):
            block = noise(480, 1, i, 0.5)
            check_same(rig.play_block(block), python.process(block))
            assert rig.engine.native
        assert waited(lambda: len(reports) == 2)
        assert all(report.startswith("the new board failed, and the old one stays") for report in reports)
        assert waited(lambda: rig.stream.next is None)
        assert not rig.stream.muted


def test_a_load_fades_to_a_board_that_only_python_plays_and_back(folder: Path) -> None:
    host = BoardHost("lead", boards(folder)["wavenet"])
    with Rig(host, 1, 480) as rig:
        python = in_python(host, rig.spec)
        for make, wanted in ((lambda: Pedalboard([Inverted()]), False), (boards(folder)["lstm"], True)):
            host.load(make)
            for i in range(25):
                block = noise(480, 1, i)
                check_same(rig.play_block(block), python.process(block))
            assert rig.engine.native is wanted
            assert rig.engine.reason == ("" if wanted else "slot 1 is the Python processor Inverted")


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_change_in_the_future_waits_wherever_the_stream_is(folder: Path, value: float) -> None:
    host = BoardHost("lead", boards(folder)["rig"])
    later = time.time() + 1e6
    with Rig(host) as rig:
        for address in ("bypass", "mix", "2/bypass", "tube-screamer/drive"):
            host.set(address, value, when=later)
        rig.play(noise(256, 1))
        assert len(rig.stream.schedule) == 0
        assert rig.stream.schedule.now == 0
        host.load(lambda: Pedalboard([Inverted()]))
        assert not rig.engine.native
        assert 0 < rig.stream.schedule.now < later
        found = [(change.address, change.value, change.when) for change in rig.stream.schedule.take_all()]
        assert found == [
            ("bypass", value, later), ("mix", value, later), ("wavenet/bypass", value, later),
            ("tube-screamer/drive", value, later), ("bypass", 0.0, 0.0),
        ]  # fmt: skip


def test_a_change_in_the_past_is_made_at_once(folder: Path) -> None:
    host = BoardHost("lead", boards(folder)["wavenet"])
    with Rig(host, 1, 960) as rig:
        rig.play(noise(960, 1))
        host.set("bypass", 1, when=time.time() - 1e6)
        rig.play(noise(960, 1))
        block = noise(960, 1, 3)
        np.testing.assert_array_equal(rig.play_block(block), block)


def test_a_change_soon_is_made_in_the_loop(folder: Path) -> None:
    host = BoardHost("lead", boards(folder)["wavenet"])
    with Rig(host, 1, 960) as rig:
        rig.play(noise(960, 1))
        host.set("bypass", 1, when=time.time() + 0.05)
        block = noise(960, 1, 3)
        assert waited(lambda: np.array_equal(rig.play_block(block), block))
        assert rig.engine.native


def test_changes_at_frames_of_a_block_are_made_there(folder: Path) -> None:
    host = BoardHost("lead", boards(folder)["rig"])
    with Rig(host, 1, 256) as rig:
        python = in_python(host, rig.spec)
        for i, offset in enumerate([0, 17, 200, 255, 300]):
            for stream in (rig.stream, python):
                stream.change(Change("mix", i / 5, offset))
                stream.change(Change("macro/1", 0.3 * i % 1, max(offset - 9, 0)))
                stream.change(Change("mix", 1 - i / 5, offset // 2))
            block = noise(256, 1, i)
            check_same(rig.play_block(block), python.process(block))
        assert rig.engine.native


def test_more_changes_than_the_loop_can_hold_are_all_made(folder: Path) -> None:
    host = BoardHost("lead", boards(folder)["wavenet"])
    with Rig(host) as rig:
        for i in range(8_400):
            host.set("mix", (i % 100) / 100, when=time.time() + 1e6)
        host.set("mix", 0.25)
        for i in range(30):
            rig.play(noise(64, 1, i))
        rig.end()
        assert len(rig.stream.schedule) + rig.stream.schedule.dropped == 8_400
        assert not rig.engine.native
        assert rig.stream.voice.board.mix == 0.25


def test_a_wrong_change_is_reported_and_nothing_else_happens(folder: Path) -> None:
    reports: list[str] = []
    host = BoardHost("lead", boards(folder)["wavenet"], lambda name, sentence: reports.append(sentence))
    with Rig(host) as rig:
        rig.stream.change(Change("nonsense", 1.0))
        rig.stream.change(Change("mix", 7.0))
        rig.stream.change(Change("", mido.Message("note_on")))
        rig.play(noise(192, 1))
        assert rig.engine.native
        assert len(reports) == 2
        assert "mix" in reports[1]


def test_a_cabinet_sounds_as_in_a_render(folder: Path) -> None:
    """Its convolutions are compiled ones, of the responses that pedalboard's convolutions have."""
    make = boards(folder)["cabinet"]
    audio = noise(256 * 40, 2)
    with Rig(BoardHost("lead", make), 2, 256) as rig:
        heard = rig.play(audio)
        assert rig.engine.native
    wanted = make()(audio, 48000)
    np.testing.assert_allclose(heard, wanted, rtol=0, atol=2 * CLOSE * np.abs(wanted).max())


# -- without the interpreter -----------------------------------------------------------------------------------------


def test_blocks_come_back_while_the_interpreter_is_held(folder: Path) -> None:
    """A call of C that holds the interpreter's lock waits for a process that plays blocks until all have come back."""
    host = BoardHost("lead", boards(folder)["rig"])
    with Rig(host, 2, 64) as rig:
        back, told = os.pipe()
        arguments = [*map(str, rig.files), "2", "64", "200", str(rig.signal), str(told)]
        command = [sys.executable, "-m", "tests.bridge.live_rig", *arguments]
        process = subprocess.Popen(command, pass_fds=(rig.signal, told))
        word = ctypes.create_string_buffer(1)
        assert ctypes.PyDLL(None).read(back, word, 1) == 1
        assert word.raw == b"1"
        assert process.wait(PATIENCE) == 0
        for end in (back, told):
            os.close(end)
        rig.end()
        assert rig.stream.blocks == 200


def test_the_loop_takes_no_signals() -> None:
    """They are the interpreter's, whose handlers run on any thread that does not refuse them."""
    status = Path("/proc/self/task")
    if not status.is_dir():
        pytest.skip("the system does not list the signals of threads")
    before = set(os.listdir(status))
    with Rig(BoardHost("empty", Pedalboard)) as rig:
        added = set(os.listdir(status)) - before - {str(rig.thread.native_id)}
        masks = [(status / thread / "status").read_text().partition("SigBlk:")[2].split()[0] for thread in added]
        wanted = (1 << 15 - 1) | (1 << 2 - 1)  # SIGTERM, SIGINT
        assert [int(mask, 16) & wanted for mask in masks] == [wanted]


# -- messages of the I/O process -------------------------------------------------------------------------------------


def test_messages_reach_python_whole_and_in_order(folder: Path) -> None:
    """MIDI that has the byte of a block in it, before, between and after blocks."""
    messages = [b"MBBBBB" + bytes([i]) + b"B" * (i % 7) for i in range(256)]
    with Rig(BoardHost("lead", boards(folder)["wavenet"]), 1, 64) as rig:
        for i, message in enumerate(messages):
            os.write(rig.signal, message)
            if i % 3 == 0:
                rig.play_block(noise(64, 1, i))
        rig.end()
        written = b"".join(messages)
        assert rig.heard[0:1] == b"M"
        assert without_blocks(rig.heard) == without_blocks(written)


def without_blocks(data: bytes) -> bytes:
    """The data without the bytes that may be a block's, which come at any place."""
    return data.replace(b"B", b"")


def test_a_flood_of_messages_that_python_does_not_read_stops_no_audio(folder: Path) -> None:
    """Python is stuck in the first one. The pipe to it fills up; blocks go on as long as the I/O process can write."""
    stuck, released = threading.Event(), threading.Event()

    def hear(data: bytes) -> bytes:
        stuck.set()
        released.wait(PATIENCE)
        return hear_all(data)

    with Rig(BoardHost("lead", boards(folder)["wavenet"]), 1, 64) as rig:
        hear_all, rig.hear = rig.hear, hear
        os.write(rig.signal, b"M")
        assert stuck.wait(PATIENCE)
        os.set_blocking(rig.signal, False)
        sent = 1
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += os.write(rig.signal, b"M" * 512)
                rig.play_block(noise(64, 1))
        assert sent > 1 << 16
        os.set_blocking(rig.signal, True)
        released.set()
        rig.end()
        assert rig.heard.count(b"M") == sent


# -- what does not fit -----------------------------------------------------------------------------------------------


def unfit(folder: Path) -> dict[str, tuple[Callable[[], Pedalboard], str]]:
    """Boards for Python, and what is said of them."""

    def one(plugin: Callable[[], Plugin]) -> Callable[[], Pedalboard]:
        return lambda: Pedalboard([TubeScreamer(), plugin()])

    return {
        "native": (one(pedalboard.Chorus), "slot 2 is a pedalboard Chorus"),
        "python": (one(Inverted), "slot 2 is the Python processor Inverted"),
        "inside": (one(lambda: Chain([Mix([Inverted()])])), "slot 2 is the Python processor Inverted"),
        "rate": (
            one(lambda: neural_fx.load(folder / "slow.nam")),
            "slot 2 runs at 44100 Hz and the stream at 48000 Hz",
        ),
        "oversampled": (one(lambda: TubeScreamer(oversample=2)), "slot 2 is oversampled"),
        "torch": (one(lambda: TubeScreamer(device="torch")), "slot 2 does not run in the compiled engine"),
    }


@pytest.mark.parametrize("name", ["native", "python", "inside", "rate", "oversampled", "torch"])
def test_a_board_for_python_says_why_and_plays(folder: Path, name: str) -> None:
    make, reason = unfit(folder)[name]
    host = BoardHost("lead", make)
    with Rig(host, 1, 256) as rig:
        python = in_python(host, rig.spec)
        for i in range(8):
            block = noise(256, 1, i)
            check_same(rig.play_block(block), python.process(block))
        assert (rig.engine.native, rig.engine.reason) == (False, reason)


# -- failures and ends -----------------------------------------------------------------------------------------------


def test_output_that_is_not_finite_is_muted_and_reported(folder: Path, write: Write) -> None:
    document = wavenet_document()
    document["weights"][-1] = 1e38
    reports: list[str] = []
    broken = write(document, "broken.nam")
    host = BoardHost("lead", lambda: Pedalboard([neural_fx.load(broken, output_gain_db=60)]))
    host.notify = lambda name, sentence: reports.append(sentence)
    with Rig(host, 1, 480) as rig:
        assert rig.engine.native
        for i in range(4):
            block = noise(480, 1, i, 0.5)
            np.testing.assert_array_equal(rig.play_block(block), block)
        assert waited(lambda: rig.stream.muted)
        assert len(reports) == 1
        assert "not finite" in reports[0]
        host.load(boards(folder)["lstm"])
        for i in range(3):
            rig.play_block(noise(480, 1, i))
        assert rig.engine.native
        assert not rig.stream.muted


def waited(check: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not check() and time.monotonic() < end:
        time.sleep(0.005)
    return check()


@pytest.mark.parametrize("sample", [np.nan, np.inf, -np.inf])
def test_input_that_is_not_finite_is_silence(folder: Path, sample: float) -> None:
    """It would stay in a recurrent network for ever."""
    host = BoardHost("lead", boards(folder)["lstm"])
    with Rig(host, 1, 64) as rig:
        python = in_python(host, rig.spec)
        for i in range(6):
            block = noise(64, 1, i)
            clean = block.copy()
            if i == 2:
                block[0, 7:9], clean[0, 7:9] = sample, 0
            check_same(rig.play_block(block), python.process(clean))
        assert not rig.stream.muted


def test_meters_are_true(folder: Path) -> None:
    host = BoardHost("lead", boards(folder)["wavenet"])
    with Rig(host, 2, 64) as rig:
        audio = noise(640, 2)
        out = rig.play(audio)
        assert waited(lambda: rig.stream.blocks == 10)
        assert rig.engine.native
        first, other = rig.stream.telemetry(), rig.stream.telemetry()
        assert first.peaks == other.peaks == (np.abs(audio).max(), np.abs(out).max())
        assert (first.blocks, first.muted) == (10, False)
        assert first.load > 0
        rig.play(audio / 2)
        assert waited(lambda: rig.stream.blocks == 20)
        assert rig.stream.telemetry(first.marker).peaks[0] == np.abs(audio / 2).max()
        assert rig.stream.telemetry(other.marker).peaks[0] == np.abs(audio / 2).max(), "the first took nothing"


def test_a_reader_that_is_gone_does_not_stop_time(folder: Path) -> None:
    """Blocks that nobody takes are lost; those after them are in their place."""
    host = BoardHost("lead", boards(folder)["lstm"])
    with Rig(host, 1, 64) as rig:
        python = in_python(host, rig.spec)
        for i in range(20):
            block = noise(64, 1, i)
            python.process(block)
            assert rig.to_worker.put(block)
            os.write(rig.signal, b"B")
            assert waited(lambda: len(rig.to_worker) == 0)
        assert waited(lambda: rig.stream.blocks == 20)
        back = np.zeros((1, 64), np.float32)
        while rig.from_worker.take(back):
            pass
        block = noise(64, 1, 99)
        check_same(rig.play_block(block), python.process(block))


def test_it_ends_with_the_process_that_it_plays_for(folder: Path) -> None:
    host = BoardHost("lead", boards(folder)["wavenet"])
    with Rig(host) as rig:
        host.set("mix", 0.5)
        rig.play(noise(640, 1))
        assert rig.end()
        assert not rig.engine.native
        assert rig.stream.voice.board.mix == 0.5
        assert rig.stream.blocks == 10


def test_close_ends_it_with_blocks_under_way_and_twice_is_no_harm(folder: Path) -> None:
    with Rig(BoardHost("lead", boards(folder)["wavenet"])) as rig:
        for _ in range(5):
            rig.to_worker.put(noise(64, 1))
            os.write(rig.signal, b"B")
        rig.engine.close()
        rig.thread.join(PATIENCE)
        assert not rig.thread.is_alive()
        rig.engine.close()


def test_a_stream_can_be_changed_after_the_end(folder: Path) -> None:
    host = BoardHost("lead", boards(folder)["wavenet"])
    with Rig(host) as rig:
        rig.end()
        rig.engine.close()
        host.set("mix", 0.5)
        host.load(host.make)
        assert [change.address for change in rig.stream.schedule.take_all()] == ["mix", "bypass"]


EXIT = """
import os, sys
from bridge.host import BoardHost
from neural_fx.pedalboard import Pedalboard
from neural_fx.pedals import TubeScreamer
from tests.bridge.live_rig import Rig
import numpy as np
rig = Rig(BoardHost("lead", lambda: Pedalboard([TubeScreamer()])))
rig.play(np.zeros((1, 640), np.float32))
assert rig.engine.native
print("played", flush=True)
"""


def test_an_interpreter_that_ends_does_not_wait_for_it() -> None:
    """Without `close`, as after an error in the worker."""
    done = subprocess.run([sys.executable, "-c", EXIT], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (0, "played\n"), done.stderr


@pytest.mark.counting
@needs_counts
def test_all_memory_comes_back(folder: Path) -> None:
    def played() -> int:
        with Rig(BoardHost("lead", boards(folder)["rig"])) as rig:
            rig.play(noise(640, 1))
            rig.host.load(boards(folder)["cabinet"])
            rig.play(noise(640, 1))
        del rig
        gc.collect()
        held = core.blocks_held()
        assert held is not None
        return held

    first = played()
    assert [played() for _ in range(3)] == [first] * 3


def test_rings_that_do_not_fit_are_refused() -> None:
    memory = np.zeros(1000, np.uint8)
    source, other = os.pipe()
    with pytest.raises(ValueError, match="memory of a ring"):
        core.NativeLoop(source, memory, memory, 64, 8, 64)
    program = core.Program(1, 8, 48000.0)
    with pytest.raises(ValueError, match="a step does not fit"):
        program.add_step(core.Do.blend, 0, 3)
    loop = core.NativeLoop(source, memory, memory, 64, 8, 8)
    with pytest.raises(ValueError, match="no such ramp"):
        loop.change(program, 0, 0, 0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="not the rings'"):
        loop.start(core.Program(1, 9, 48000.0), None, 0, 0, 960, 0.0)
    with pytest.raises(ValueError, match="not the rings'"):
        loop.start(core.Program(1, 8, 48000.0), core.Program(2, 8, 48000.0), 0, 0, 960, 0.0)
    with pytest.raises(ValueError, match="fade has no length"):
        loop.start(core.Program(1, 8, 48000.0), None, 0, 0, 0, 0.0)
    loop.close()
    os.close(source)
    os.close(other)


# -- on a sound system -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("jackd") is None, reason="jackd is not installed")
def test_a_live_board_says_what_plays(folder: Path) -> None:
    pytest.importorskip("jack", reason="JACK-Client or libjack is not installed", exc_type=Exception)
    from tests.bridge.jack_servers import jack_server

    host = BoardHost("said", boards(folder)["cabinet"])
    server = "neural-fx-native-loop"
    with jack_server(server):
        sentences: list[str] = []
        board = LiveBoard(host, "jack", 1, server, log=sentences.append)
        try:
            assert (board.native, board.path) == (True, "native loop")
            assert waited(lambda: board.stream.blocks > 20)
            host.load(lambda: Pedalboard([TubeScreamer(), pedalboard.Chorus()]))
            assert waited(lambda: board.path == "in Python: slot 2 is a pedalboard Chorus")
            host.load(boards(folder)["lstm"])
            assert waited(lambda: board.native)
            assert waited(lambda: len(sentences) == 2)
            assert sentences == [
                "said: live audio: in Python: slot 2 is a pedalboard Chorus",
                "said: live audio: native loop",
            ]
            before = board.stream
            os.kill(board.process.pid, signal.SIGKILL)
            assert waited(lambda: board.stream is not before and board.connected)
            assert waited(lambda: board.native and board.stream.blocks > 5)
        finally:
            board.close()
        said: list[str] = []
        options = Options(
            {}, osc_port=0, stream_port=0, oscquery_port=0, announce=False, live="jack", live_device=server
        )
        worker = Worker(options, said.append)
        worker.close()
        assert any(sentence.endswith("frames late, native loop") for sentence in said)
