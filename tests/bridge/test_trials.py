"""Boards from the network are tried out in another process: what crashes there costs one board, not the worker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile

from bridge import limits
from bridge.host import BoardHost, ForeignBoard, board_from, board_in, trials
from bridge.media import Media
from bridge.osc.tree import Tree
from bridge.protocol import Kind
from bridge.stream_server import StreamServer
from neural_fx.errors import BoardError
from neural_fx.interruption import Interrupted, interruptible
from neural_fx.pedalboard import Pedalboard
from neural_fx.processor import Spec
from tests.bridge.test_media import asked
from tests.bridge.test_session_boards import greet, play
from tests.conftest import noise, wavenet_document
from tests.neural_fx.test_vst3 import late_gain  # noqa: F401

DEEDS = '''
"""Makes native plugins of every trial do what the environment says. This process stands for one that loads them."""
import os
import sys

deed = os.environ.get("TEST_DEED")
if deed and "bridge.host.trial" in sys.orig_argv:
    import ctypes
    import time

    from dataclasses import replace

    from neural_fx.boards import SLOTS

    kind = SLOTS["plugin"]

    def does(slot, folder):
        if slot.plugin == "Reverb":
            return kind.fill(slot, folder)
        if deed == "crash":
            ctypes.string_at(0)
        if deed == "exit":
            os._exit(0)
        if deed == "hang":
            time.sleep(600)
        if deed == "memory":
            bytearray(2**36)
        if deed == "raise":
            raise KeyError("of a plugin\\x1b[31m")
        if deed == "talk":
            os.write(1, b'{"refused": "by the plugin itself"}')
            os.write(2, b"x" * 10**6)
        return kind.fill(slot, folder)

    SLOTS.replace(replace(kind, fill=does))
'''
GAIN = "slots: [{plugin: Gain, set: {gain_db: -6}}]"


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Each test begins without verdicts."""
    trials._verdicts.clear()
    yield
    trials._verdicts.clear()


@pytest.fixture
def does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Choose what `Gain` does in trials."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(DEEDS)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return lambda deed: monkeypatch.setenv("TEST_DEED", deed)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The trials that were started."""
    found: list[list[str]] = []
    popen = subprocess.Popen

    def counted(command: Any, *args: Any, **options: Any) -> Any:
        found.append(command)
        return popen(command, *args, **options)

    monkeypatch.setattr(trials.subprocess, "Popen", counted)
    return found


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    return folder


REFUSALS = {
    "crash": r"refused: .* that process died \(SIGSEGV\); a plugin in it would take the worker down",
    "exit": r"refused: .* that process died \(exit status 0\)",
    "raise": r"refused: KeyError: 'of a plugin",
}


@pytest.mark.parametrize("deed", list(REFUSALS))
def test_a_plugin_that_ends_its_process_is_refused(does: Callable[[str], None], deed: str) -> None:
    does(deed)
    with pytest.raises(BoardError, match=REFUSALS[deed]):
        board_in(GAIN, Media())
    with pytest.raises(BoardError, match=REFUSALS[deed]):
        board_in("slots: [{chain: [{parallel: [{plugin: Gain}]}]}]", Media())
    assert len(board_in("slots: [{plugin: Reverb}]", Media())()) == 1


def test_a_plugin_that_hangs_is_refused(does: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TRIAL_SECONDS", 3.0)
    does("hang")
    with pytest.raises(BoardError, match="took over 3 s; a plugin in it hangs, or the board is too large"):
        board_in(GAIN, Media())
    assert not trials._verdicts, "the machine may have been busy"


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is bounded on Linux only")
def test_a_plugin_that_takes_all_memory_is_refused(does: Callable[[str], None]) -> None:
    does("memory")
    with pytest.raises(BoardError, match="takes too much memory"):
        board_in(GAIN, Media())


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is bounded on Linux only")
def test_limits_of_the_user_are_kept() -> None:
    """A trial in a shell with a lower limit of its own runs under that."""
    script = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30))\n"
        "from bridge.host import board_in\n"
        "from bridge.media import Media\n"
        f"print(len(board_in({GAIN!r}, Media())()))\n"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # each thread takes memory
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout == "1\n", done.stderr


def test_a_plugin_cannot_answer_for_the_trial(does: Callable[[str], None]) -> None:
    does("talk")
    assert len(board_in(GAIN, Media())()) == 1


def test_output_that_is_not_finite(media: Path) -> None:
    document = wavenet_document()
    document["weights"] = [1e38 * (-1) ** i for i in range(len(document["weights"]))]
    (media / "loud.nam").write_text(json.dumps(document))
    with pytest.raises(BoardError, match="not finite"):
        board_in("slots: [{model: loud.nam}]", Media([media]))
    tree = Tree({"lead": BoardHost("lead", Pedalboard)}, Media([media]))
    ((address, _, sentence),) = asked(tree, "/lead/load", "loud.nam")
    assert address == "/error"
    assert "not finite" in sentence


def test_what_cannot_play_live(media: Path) -> None:
    with pytest.raises(BoardError, match="PitchShift puts nothing out before the signal ends"):
        board_in("slots: [{chain: [{plugin: PitchShift}]}]", Media())


# -- where boards come in ------------------------------------------------------------------------------------------


def test_a_load_that_would_crash_leaves_the_board_playing(does: Callable[[str], None], media: Path) -> None:
    (media / "bad.yaml").write_text(GAIN)
    host = BoardHost("lead", Pedalboard)
    stream = host.open(Spec(48000, 2, 64))
    tree = Tree({"lead": host}, Media([media]))
    does("crash")
    ((address, about, sentence),) = asked(tree, "/lead/load", "bad.yaml")
    assert (address, about) == ("/error", "/lead/load")
    assert "SIGSEGV" in sentence
    x = noise(64, 2)
    np.testing.assert_array_equal(stream.process(x), x)
    assert len(host.master) == 0


def test_a_session_that_would_crash_is_refused(does: Callable[[str], None]) -> None:
    server = StreamServer({"lead": BoardHost("lead", Pedalboard)})
    try:
        does("crash")
        connection, kind, found = greet(server, board="mine", text=GAIN)
        connection.close()
        assert (kind, found["code"]) == (Kind.REFUSE, "board")
        assert "SIGSEGV" in found["reason"]
        does("")
        trials._verdicts.clear()
        connection, kind, _ = greet(server, board="mine", text=GAIN)
        assert kind is Kind.WELCOME
        np.testing.assert_allclose(play(connection, noise(512)[None])[0], 10 ** (-6 / 20) * noise(512), rtol=1e-4)
        connection.close()
    finally:
        server.close()


def test_the_users_own_boards_are_not_tried(media: Path, started: list[list[str]]) -> None:
    (media / "mine.yaml").write_text(GAIN)
    host = BoardHost("lead", board_from(media / "mine.yaml"))
    host.open(Spec(48000, 2, 64))
    host.load(board_from(media / "mine.yaml"))
    assert len(host.copy(Spec(44100, 1))) == 1
    assert started == []


def test_a_real_plugin_with_leave(late_gain: Path, media: Path) -> None:  # noqa: F811
    shutil.copytree(late_gain, media / "LateGain.vst3")
    (media / "link.vst3").symlink_to(late_gain)
    text = "slots:\n- vst3: LateGain.vst3\n  set: {gain: 0.5}\n"
    board = board_in(text, Media([media], plugins=True))()
    x = noise(3000, 2)
    np.testing.assert_allclose(board(x, 48000), 2 * x, atol=1e-6)
    for name in (late_gain, "link.vst3"):
        with pytest.raises(BoardError, match="outside the folders"):
            board_in(f"slots: [{{vst3: {name}}}]", Media([media], plugins=True))
    with pytest.raises(BoardError, match="--allow-plugins"):
        board_in(text, Media([media]))


# -- verdicts ------------------------------------------------------------------------------------------------------


def test_a_verdict_holds_for_the_same_content(media: Path, started: list[list[str]]) -> None:
    cab = media / "cab.wav"
    soundfile.write(cab, [0.5, 0.1], 48000)
    text = "slots: [{ir: cab.wav}]"
    for _ in range(3):
        board_in(text, Media([media]))()
    assert len(started) == 1
    board_in(text + " ", Media([media]))
    assert len(started) == 2, "another text"
    soundfile.write(cab, [0.5, 0.1, 0.1], 48000)
    board_in(text, Media([media]))
    assert len(started) == 3, "another file"
    made = board_in(text, Media([media]), Spec(44100, 1, 64))
    assert len(started) == 4, "another rate"
    host = BoardHost("lead", made)
    host.open(Spec(44100, 1, 64))
    assert len(started) == 4
    host.open(Spec(96000, 2, 64))
    assert len(started) == 5, "each stream plays at what was tried"


def test_refusals_are_remembered(does: Callable[[str], None], started: list[list[str]]) -> None:
    does("crash")
    for _ in range(3):
        with pytest.raises(BoardError, match="SIGSEGV"):
            board_in(GAIN, Media())
    assert len(started) == 1


def test_no_more_verdicts_than_some_are_kept() -> None:
    for i in range(3 * limits.TRIAL_RESULTS):
        trials._keep(str(i), "")
    assert len(trials._verdicts) == limits.TRIAL_RESULTS
    assert trials._known(str(3 * limits.TRIAL_RESULTS - 1)) == ""


def test_a_load_is_tried_at_the_rates_of_its_streams(
    media: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    specs: list[Spec] = []
    run = trials._run
    monkeypatch.setattr(trials, "_run", lambda trial, spec: specs.append(spec) or run(trial, spec))
    (media / "a.yaml").write_text(GAIN)
    host = BoardHost("lead", Pedalboard)
    for spec in (Spec(44100, 1, 64), Spec(96000, 2, 700), Spec(96000, 2, 1024)):
        host.open(spec)
    host.load(ForeignBoard(media / "a.yaml", GAIN.encode(), Media([media])))
    assert specs == [Spec(44100, 1, 512), Spec(96000, 2, 1024)], "the sizes of blocks are rounded up"
    host.copy(Spec(22050, 1))
    assert specs[2:] == [Spec(22050, 1, 8192)], "a render's file has a rate of its own"


def test_a_board_is_never_built_untried(started: list[list[str]]) -> None:
    board = ForeignBoard(Path("session"), GAIN.encode(), Media())
    assert started == []
    board()
    assert len(started) == 1


def test_too_many_trials_at_once(monkeypatch: pytest.MonkeyPatch, started: list[list[str]]) -> None:
    monkeypatch.setattr(limits, "TRIAL_WAIT_SECONDS", 0.01)
    turns = [trials._turns.acquire() for _ in range(limits.TRIALS_AT_ONCE)]
    try:
        with pytest.raises(BoardError, match="busy with trying out other boards"):
            board_in(GAIN, Media())
    finally:
        for _ in turns:
            trials._turns.release()
    assert started == []


def test_a_system_without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*ignored: object, **also: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(trials.subprocess, "Popen", none)
    with pytest.raises(BoardError, match="cannot be tried out: Resource temporarily unavailable"):
        board_in(GAIN, Media())


def test_no_process_is_left_behind(does: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def kept(*args: Any, **options: Any) -> Any:
        found.append(popen(*args, **options))
        return found[-1]

    monkeypatch.setattr(trials.subprocess, "Popen", kept)
    monkeypatch.setattr(limits, "TRIAL_SECONDS", 2.0)
    does("hang")
    with pytest.raises(BoardError, match="hangs"):
        board_in(GAIN, Media())
    (process,) = found
    assert process.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_a_trial_ends_when_nobody_waits_for_it(tmp_path: Path) -> None:
    """Its process is killed, and nothing is concluded about the board."""
    before = {process.pid for process in psutil.Process().children()}
    with interruptible(lambda: True), pytest.raises(Interrupted):
        board_in(GAIN, Media([tmp_path]))
    assert {process.pid for process in psutil.Process().children()} == before
    assert trials._verdicts == {}
    assert board_in(GAIN, Media([tmp_path]))()
