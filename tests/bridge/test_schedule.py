"""Changes that wait for their place in a stream, reports from audio threads, and boards that fail."""

from __future__ import annotations

import threading

import mido
import numpy as np
import pytest

import bridge
from bridge import limits
from bridge.host import BoardHost, Change
from bridge.host.changes import Schedule
from bridge.host.reports import Reports
from bridge.worker import Options, Worker
from neural_fx.pedalboard import Pedalboard
from neural_fx.processor import Processor, Spec

RATE = 1000.0
BLOCK = 10


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def schedule(clock: Clock) -> Schedule:
    schedule = Schedule(RATE, clock)
    schedule.due(BLOCK)  # its time is now that of the clock, and a block later
    clock.now += BLOCK / RATE
    return schedule


def next_block(schedule: Schedule, clock: Clock) -> list[Change]:
    found = schedule.due(BLOCK)
    clock.now += BLOCK / RATE
    return found


def note(pitch: int, velocity: int = 64) -> mido.Message:
    return mido.Message("note_on", note=pitch, velocity=velocity)


def test_timed_changes_come_in_the_order_of_their_times(schedule: Schedule, clock: Clock) -> None:
    """Against sorting, for random times over 50 blocks; equal times keep the order in which they came."""
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 50 * BLOCK, 400)
    start = schedule.now
    for i, frame in enumerate(frames):
        schedule.add(Change("a", i, when=start + (frame + 1e-6) / RATE))
    found = [
        (block * BLOCK + change.offset, change.value) for block in range(50) for change in next_block(schedule, clock)
    ]
    assert found == [(frames[i], i) for i in np.argsort(frames, kind="stable")]
    assert len(schedule) == 0


def test_changes_of_the_far_future_cost_later_blocks_nothing(schedule: Schedule, clock: Clock) -> None:
    """They lie in a heap, which a block looks at once; beyond the limit they are dropped and counted."""
    looked_at = 0

    class Counting(float):
        def __lt__(self, other: object) -> bool:
            nonlocal looked_at
            looked_at += 1
            return float(self) < other  # type: ignore[operator]

    for i in range(limits.CHANGES_WAITING + 100):
        schedule.add(Change("a", i, when=Counting(1e6 + i)))
        if i % limits.CHANGES_PER_BLOCK == 0:
            next_block(schedule, clock)
    while schedule._inbox:
        next_block(schedule, clock)
    assert len(schedule) == limits.CHANGES_WAITING
    assert schedule.dropped == 100
    looked_at = 0
    assert next_block(schedule, clock) == []
    assert looked_at <= 1


def test_a_flood_is_spread_over_blocks_and_the_last_value_counts(schedule: Schedule, clock: Clock) -> None:
    for i in range(20 * limits.CHANGES_WAITING):
        schedule.add(Change(f"{i % 7}", i))
    assert len(schedule) <= limits.CHANGES_WAITING
    values: dict[str, object] = {}
    while len(schedule):
        found = next_block(schedule, clock)
        assert len(found) <= limits.CHANGES_PER_BLOCK
        values |= {change.address: change.value for change in found}
    last = 20 * limits.CHANGES_WAITING
    assert values == {f"{i % 7}": i for i in range(last - 7, last)}
    assert schedule.dropped == 0


def test_lost_notes_end(schedule: Schedule, clock: Clock) -> None:
    """Of a flood of notes some are dropped: perhaps the end of one that sounds, so all notes end."""
    for i in range(limits.CHANGES_WAITING + 5):
        schedule.add(Change("", note(i % 128)))
    assert schedule.dropped == 5
    found = next_block(schedule, clock)
    assert len(found) == limits.CHANGES_PER_BLOCK + 48
    ended = {
        m.value.channel for m in found if m.is_note and m.value.type == "control_change" and m.value.control == 123
    }
    assert ended == set(range(16))
    assert not any(change.value.type == "control_change" for change in next_block(schedule, clock))


def test_adding_while_playing_loses_nothing(clock: Clock) -> None:
    """One thread adds, another plays: every note arrives once and in order, and last values are right."""
    schedule = Schedule(RATE, clock)
    count = 3 * limits.CHANGES_WAITING
    arrived: list[int] = []
    last: dict[str, object] = {}
    ended = threading.Event()

    def play() -> None:
        while not ended.is_set() or len(schedule):
            for change in schedule.due(BLOCK):
                if not change.is_note:
                    last[change.address] = change.value
                elif change.value.type == "note_on":
                    arrived.append(change.value.note + 128 * change.value.velocity)

    player = threading.Thread(target=play)
    player.start()
    for i in range(count):
        if i % 3 == 0:
            while len(schedule) > limits.CHANGES_WAITING // 2:  # notes alone never overflow here
                pass
            schedule.add(Change("", note(i // 3 % 128, i // 3 // 128)))
        schedule.add(Change(f"{i % 5}", i))
    ended.set()
    player.join(60)
    assert arrived == list(range(count // 3))
    assert last == {f"{i % 5}": i for i in range(count - 5, count)}
    assert schedule.dropped == 0


# -- boards that fail --------------------------------------------------------------------------------------------------


class Failing(Processor):
    """Passes blocks until it is told to make NaN or to raise."""

    how = ""

    def process_block(self, block: np.ndarray) -> np.ndarray:
        if self.how == "raise":
            raise OSError(5, "Input/output error")
        return block * (np.inf if self.how == "infinite" else np.nan if self.how == "nan" else 0.5)


@pytest.mark.parametrize(
    ("how", "words"),
    [("nan", "its output is not finite"), ("infinite", "its output is not finite"), ("raise", "Input/output error")],
)
def test_a_board_that_fails_is_bypassed_and_reported_once(how: str, words: str) -> None:
    reported: list[tuple[str, str]] = []
    plugin = Failing()
    made = [plugin]
    host = BoardHost("lead", lambda: Pedalboard([made.pop() if made else Failing()]), lambda *r: reported.append(r))
    host_stream = host.open(Spec(48000, 1, 64))
    playing = host_stream.voice.board[0][0]
    x = np.full((1, 64), 0.25, np.float32)
    np.testing.assert_array_equal(host_stream.process(x), 0.5 * x)
    playing.how = how
    for _ in range(20):
        np.testing.assert_array_equal(host_stream.process(x), x)
    assert host_stream.muted
    ((name, sentence),) = reported
    assert name == "lead"
    assert words in sentence
    host.load(lambda: Pedalboard([Failing()]))  # a board that works ends it
    np.testing.assert_array_equal(host_stream.process(x), 0.5 * x)
    assert not host_stream.muted


@pytest.mark.parametrize("how", ["nan", "raise"])
def test_a_new_board_that_fails_leaves_the_old_one_playing(how: str) -> None:
    reported: list[str] = []
    host = BoardHost("lead", lambda: Pedalboard([Failing()]), lambda _, sentence: reported.append(sentence))
    stream = host.open(Spec(48000, 1, 64))
    x = np.full((1, 64), 0.25, np.float32)
    stream.process(x)

    def make() -> Pedalboard:
        plugin = Failing()
        plugin.how = how
        return Pedalboard([plugin])

    host.load(make)
    for _ in range(200):
        np.testing.assert_array_equal(stream.process(x), 0.5 * x)
    assert len(reported) == 1
    assert "the new board failed, and the old one stays" in reported[0]


# -- reports -----------------------------------------------------------------------------------------------------------


def test_a_listener_that_hangs_does_not_hold_up_who_reports() -> None:
    """More reports than may wait are counted; what was taken is delivered once the listener goes on."""
    taken, release, delivered = threading.Event(), threading.Event(), []

    def deliver(name: str, sentence: str) -> None:
        taken.set()
        release.wait(60)
        delivered.append(sentence)

    reports = Reports(deliver)
    reports("lead", "sentence 0")
    assert taken.wait(60)
    for i in range(1, 2 * limits.REPORTS_WAITING):
        reports("lead", f"sentence {i}")
    assert reports.dropped >= limits.REPORTS_WAITING - 1
    release.set()
    reports.close(60)
    assert delivered == [f"sentence {i}" for i in range(len(delivered))]
    assert len(delivered) == 2 * limits.REPORTS_WAITING - reports.dropped


def test_repetitions_are_counted(clock: Clock) -> None:
    delivered: list[str] = []
    reports = Reports(lambda _, sentence: delivered.append(sentence), clock)
    for _ in range(50):
        reports("lead", "the same")
    reports("other", "the same")
    reports.close(60)
    assert delivered[:2] == ["the same", "the same"]
    assert delivered[2:] == ["the same (49 more times)"]
    assert limits.REPORT_REPEAT_SECONDS > 0


def test_a_listener_that_raises_does_not_end_the_reports() -> None:
    delivered: list[str] = []

    def deliver(name: str, sentence: str) -> None:
        delivered.append(sentence)
        raise OSError("no space left")

    reports = Reports(deliver)
    reports("lead", "one")
    reports("lead", "two")
    reports.close(60)
    assert delivered == ["one", "two"]


def test_a_new_board_is_not_bypassed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a board ends the old one's bypass, for the streams that play as well."""
    host = BoardHost("lead", lambda: Pedalboard([Failing()]))
    stream = host.open(Spec(48000, 1, 64))
    x = np.full((1, 64), 0.25, np.float32)
    host.set("bypass", 1)
    for _ in range(100):
        out = stream.process(x)
    np.testing.assert_array_equal(out, x)
    host.load(lambda: Pedalboard([Failing()]))
    for _ in range(300):
        out = stream.process(x)
    assert host.value("bypass") == stream.bypass == 0
    np.testing.assert_array_equal(out, 0.5 * x)


def test_a_flood_of_what_cannot_be_merged_costs_each_message_little(schedule: Schedule) -> None:
    """The inbox is not searched for every message: how often is counted, not how long it takes."""
    merges = 0
    merge = schedule._merge_inbox

    def counted() -> None:
        nonlocal merges
        merges += 1
        merge()

    schedule._merge_inbox = counted  # type: ignore[method-assign]
    for i in range(4 * limits.CHANGES_WAITING):
        schedule.add(Change("a", i, when=1e6 + i))
        schedule.add(Change(f"{i % 9}", i))
    assert merges <= 16
    assert len(schedule) <= 1.5 * limits.CHANGES_WAITING


def test_a_log_that_takes_nothing_does_not_hold_up_a_worker() -> None:
    """Such as a terminal that was stopped: whoever has something to say goes on."""
    release, lines = threading.Event(), []

    def log(sentence: str) -> None:
        release.wait(60)
        lines.append(sentence)

    worker = Worker(Options({}, osc_port=0, stream_port=0, oscquery_port=0, announce=False), log)
    try:
        remote = bridge.connect(f"127.0.0.1:{worker.streams.port}", timeout=60)
        x = np.full((1, 64), 0.25, np.float32)
        np.testing.assert_array_equal(remote(x, 48000), x)
        assert lines == []
    finally:
        release.set()
        worker.close()
    assert any("plays through board" in line for line in lines)
