"""SIGTERM and SIGHUP: the command ends at once, says so, and leaves no partial file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bridge.cli.signals import Stopped, handled, postponed
from tests.conftest import noise, wavenet_document

ENDINGS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.fixture
def handlers() -> Iterator[None]:
    """Puts the signal handlers back."""
    before = {number: signal.getsignal(number) for number, _ in ENDINGS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [number for number, _ in ENDINGS])
@pytest.mark.usefixtures("handlers")
def test_a_signal_that_is_postponed_stops_the_work_where_it_asks(number: signal.Signals) -> None:
    done = []
    with handled(), pytest.raises(Stopped) as caught, postponed() as ending:  # noqa: PT012
        done.append("before")
        ending.check()
        os.kill(os.getpid(), number)
        if number != signal.SIGINT:
            os.kill(os.getpid(), signal.SIGTERM)  # a second one does not interrupt the cleanup
        done.append("after")
        assert ending.arrived()
        ending.check()
    assert done == ["before", "after"]
    assert caught.value.number == number
    assert not isinstance(caught.value, Exception)


@pytest.mark.usefixtures("handlers")
def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number, _ in ENDINGS]
    with handled():
        assert [signal.getsignal(number) for number, _ in ENDINGS] != before
    assert [signal.getsignal(number) for number, _ in ENDINGS] == before


@pytest.mark.usefixtures("handlers")
def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As `nohup` wants it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with handled():
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


ANYWHERE = """
import ctypes, enum, os, signal, sys, threading
from pathlib import Path

from bridge.cli.signals import handled, postponed
from neural_fx.files import replacing

where, number, out = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
hit = lambda *_: os.kill(os.getpid(), number)

class Doomed:
    def __del__(self):
        hit()

class Namespace(dict):
    def __setitem__(self, key, value):
        hit()
        super().__setitem__(key, value)

def destructor():
    Doomed()

def callback():  # exceptions in it are printed and lost
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    numbers = (ctypes.c_int * 2)(2, 1)
    ctypes.CDLL(None).qsort(numbers, 2, 4, kind(lambda a, b: hit() or 0))

def swallowed():
    try:
        hit()
    except BaseException:
        pass

def imported():
    (out.parent / "half_imported.py").write_text("import os\\nos.kill(os.getpid(), %d)\\n" % number)
    sys.path.insert(0, str(out.parent))
    try:
        import half_imported
    except ImportError:
        pass

def printing():
    class Slow(str):
        def __str__(self):
            hit()
            return "x"
    print(Slow())

def twice():
    with postponed():
        hit()
        hit()

with handled(), replacing(out) as part:
    part.write_text("half")
    globals()[where]()
    print("went on", file=sys.stderr)
"""


@pytest.mark.parametrize(("number", "status"), [*ENDINGS])
@pytest.mark.parametrize("where", ["destructor", "callback", "swallowed", "imported", "printing"])
def test_a_signal_ends_the_process_wherever_it_is(
    where: str, number: signal.Signals, status: int, tmp_path: Path
) -> None:
    """Also where an exception would be lost, or would come out as something else."""
    process = run_anywhere(where, number, tmp_path)
    assert process.returncode == status
    reason = "interrupted" if number == signal.SIGINT else f"stopped by {number.name}"
    assert process.stderr == f"neural-fx: {reason}\n"
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".py"] == []


def test_a_second_interrupt_ends_what_postpones_the_first(tmp_path: Path) -> None:
    process = run_anywhere("twice", signal.SIGINT, tmp_path)
    assert (process.returncode, process.stderr) == (130, "neural-fx: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def run_anywhere(where: str, number: signal.Signals, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ANYWHERE, where, str(int(number)), str(folder / "out.txt")],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


def spawn(folder: Path, *args: object) -> subprocess.Popen[str]:
    """Start `neural-fx ARGS` as the leader of a process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "bridge.cli", *map(str, args)], cwd=folder, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


def wait_until(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    limit = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.02)


def descendants(group: int) -> list[int]:
    """Return the processes of a group that are alive."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def assert_ended(group: int) -> None:
    """Wait for the processes of a group: some notice only now that the first has ended."""
    limit = time.monotonic() + 60
    while descendants(group) and time.monotonic() < limit:
        time.sleep(0.05)
    assert descendants(group) == []


@pytest.fixture
def stems(tmp_path: Path) -> Path:
    """Two silent stems of an hour: nothing renders them before the signal comes."""
    (tmp_path / "in").mkdir()
    for name in ("a.wav", "b.wav"):
        with soundfile.SoundFile(tmp_path / "in" / name, "w", 8000, 1, "PCM_U8") as file:
            for _ in range(60):
                file.write(np.zeros(60 * 8000, np.float32))
    (tmp_path / "amp.nam").write_text(json.dumps(wavenet_document()))
    return tmp_path


@pytest.mark.parametrize(
    ("number", "status", "jobs", "whole_group"),
    [(signal.SIGTERM, 143, 1, False), (signal.SIGHUP, 129, 1, True), (signal.SIGTERM, 143, 2, False),
     (signal.SIGHUP, 129, 2, True), (signal.SIGINT, 130, 2, True)],
)  # fmt: skip
def test_a_render_that_is_terminated(
    stems: Path, number: signal.Signals, status: int, jobs: int, whole_group: bool
) -> None:
    out = stems / "out"
    process = spawn(stems, "render", "in", "--model", "amp.nam", "-o", "out", "--jobs", jobs)
    wait_until(process, lambda: out.is_dir() and len(list(out.iterdir())) == jobs)
    if whole_group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    last = "neural-fx: interrupted" if number == signal.SIGINT else f"neural-fx: stopped by {number.name}"
    assert err.strip().splitlines()[-1] == last
    assert "Traceback" not in err
    assert list(out.iterdir()) == []
    assert_ended(process.pid)


def test_workers_end_when_their_parent_is_killed(stems: Path) -> None:
    """The parent can clean nothing up, so its workers notice, end, and remove their files."""
    out = stems / "out"
    process = spawn(stems, "render", "in", "--model", "amp.nam", "-o", "out", "--jobs", 2)
    wait_until(process, lambda: out.is_dir() and len(list(out.iterdir())) == 2)
    process.kill()
    process.wait()
    assert_ended(process.pid)
    assert list(out.iterdir()) == []


def test_one_worker_that_is_killed_does_not_leave_its_file(stems: Path) -> None:
    out = stems / "out"
    process = spawn(stems, "render", "in/a.wav", "in/b.wav", "--model", "amp.nam", "-o", "out", "--jobs", 2)
    wait_until(process, lambda: out.is_dir() and len(list(out.iterdir())) == 2)
    holders = {}
    for pid in descendants(process.pid):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            if ".part" in os.readlink(link):
                holders[pid] = True
    for pid in holders:
        os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.count("the process that rendered it died") == 2
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("command", [
    ("render", "long.wav", "--timbre", "violin", "-o", "out/o.wav"),
    ("export", "amp.nam", "-o", "out/o.nam"),
    ("analyze", "long.wav", "--plot", "out/o.png"),
    ("play", "long.mid", "--instrument", "violin", "-o", "out/o.wav"),
    ("play", "long.mid", "--stems", "stems", "-o", "out/o.wav"),
])  # fmt: skip
def test_other_commands_leave_nothing_half_written(stems: Path, command: tuple[str, ...]) -> None:
    """Whenever the signal comes: while modules are imported, while the command works, or never in time."""
    import mido

    soundfile.write(stems / "long.wav", noise(48000 * 60), 48000)
    file = mido.MidiFile()
    file.tracks.append(
        mido.MidiTrack([mido.Message("note_on", note=60), mido.Message("note_off", note=60, time=99999)])
    )
    file.save(stems / "long.mid")
    (stems / "out").mkdir()
    process = spawn(stems, *command)
    # The handler is in place once the command line's modules are there, which map soundfile's or numpy's libraries.
    wait_until(process, lambda: handles(process.pid, signal.SIGTERM) or process.poll() is not None)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode in (0, 143, -signal.SIGTERM)  # the last: after Python took its handlers away
    left = os.listdir(stems / "out")
    assert [name for name in left if name.startswith(".")] == []
    stems_left = os.listdir(stems / "stems") if (stems / "stems").is_dir() else []
    assert [name for name in stems_left if name.startswith(".")] == []
    if process.returncode == 0:
        assert left == [Path(command[-1]).name]
    assert stems_left in ([], ["channel-01-violin.wav"])


def handles(pid: int, number: int) -> bool:
    """Return whether a process has a handler for a signal."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    caught = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt")), 0)
    return bool(caught >> (number - 1) & 1)
