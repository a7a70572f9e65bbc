"""What `render_all` makes of any runner, and what travels to its workers."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pedalboard
import pytest
import soundfile

from neural_fx.errors import NeuralFXError
from neural_fx.files import MARK, PREFIX
from neural_fx.pedalboard import Pedalboard
from neural_fx.render import (
    RUNNERS,
    BoardRecipe,
    Callbacks,
    Interrupted,
    Job,
    Output,
    Progress,
    Report,
    Runner,
    render_all,
)
from neural_fx.render import workers as workers_module
from neural_fx.render.runners import find_runner
from tests.conftest import noise

Run = Callable[[Sequence[Job], int, Callbacks], None]


def gain() -> Pedalboard:
    return Pedalboard([pedalboard.Gain(-6)])


@pytest.fixture
def pairs(tmp_path: Path) -> list[tuple[Path, Path]]:
    names = ("a.wav", "b.wav", "c.wav")
    for seed, name in enumerate(names):
        soundfile.write(tmp_path / name, noise(70000, 1, seed=seed).T, 48000)
    return [(tmp_path / name, tmp_path / "out" / name) for name in names]


@pytest.fixture
def add() -> Iterator[Callable[[Run], str]]:
    """Register a runner for one test. Returns its name."""
    RUNNERS.names()
    before = dict(RUNNERS._members)
    yield lambda run: RUNNERS.add(Runner("mine", "for a test", run)).name
    RUNNERS._members = before


def backwards(jobs: Sequence[Job], workers: int, callbacks: Callbacks) -> None:
    """Run jobs that have travelled, last one first."""
    for job in reversed(pickle.loads(pickle.dumps(jobs))):
        callbacks.finished(job.number, job.run(callbacks.advance, callbacks.stop))


# -- any runner --------------------------------------------------------------------------------------------------


def test_reports_are_in_order_whatever_the_runner_does(
    pairs: list[tuple[Path, Path]], add: Callable[[Run], str]
) -> None:
    seconds: list[float] = []
    finished: list[Report] = []
    make = partial(Pedalboard, [])
    reports = render_all(pairs, make, Output(), 2, seconds.append, finished.append, runner=add(backwards))
    assert [report.input for report in reports] == [str(source) for source, _ in pairs]
    assert finished == reports[::-1]
    assert sum(seconds) == pytest.approx(3 * 70000 / 48000)


@pytest.mark.parametrize(("runner", "jobs"), [("here", 1), ("here", 3), ("processes", 1), ("auto", 2)])
def test_built_in_runners_write_the_same_bytes(pairs: list[tuple[Path, Path]], runner: str, jobs: int) -> None:
    render_all(pairs, gain)
    expected = [target.read_bytes() for _, target in pairs]
    seconds: list[float] = []
    finished: list[Report] = []
    again = Output(overwrite=True)
    reports = render_all(pairs, gain, again, jobs, seconds.append, finished.append, runner=runner)
    assert [report.error for report in reports] == [None] * 3
    assert [report.input for report in reports] == [str(source) for source, _ in pairs]
    assert sorted(report.input for report in finished) == [report.input for report in reports]
    assert sum(seconds) == pytest.approx(3 * 70000 / 48000)
    assert [target.read_bytes() for _, target in pairs] == expected


def test_a_runner_gets_the_jobs_and_how_many_at_a_time(
    pairs: list[tuple[Path, Path]], add: Callable[[Run], str]
) -> None:
    calls: list[tuple[list[int], int]] = []

    def run(jobs: Sequence[Job], workers: int, callbacks: Callbacks) -> None:
        calls.append(([job.number for job in jobs], workers))

    name = add(run)
    for jobs in (0, 2, 99):
        render_all(pairs, gain, jobs=jobs, runner=name)
    assert calls == [([0, 1, 2], 1), ([0, 1, 2], 2), ([0, 1, 2], 3)]
    assert render_all([], gain, runner=name) == []
    assert len(calls) == 3


@pytest.mark.parametrize("error", [None, Interrupted()])
def test_a_job_without_a_report_has_failed(
    pairs: list[tuple[Path, Path]], add: Callable[[Run], str], error: Exception | None
) -> None:
    """Also if a runner is interrupted though nobody asked, as by a signal to one of its processes."""

    def run(jobs: Sequence[Job], workers: int, callbacks: Callbacks) -> None:
        callbacks.finished(1, jobs[1].run())
        if error is not None:
            raise error

    first, second, third = render_all(pairs, gain, runner=add(run))
    assert second.error is None
    for report, (source, _) in ((first, pairs[0]), (third, pairs[2])):
        assert report.error == f"{source}: the process that rendered it died; there may be too little memory"


@pytest.mark.parametrize("raises", [False, True])
def test_a_stop_interrupts_the_render(pairs: list[tuple[Path, Path]], add: Callable[[Run], str], raises: bool) -> None:
    """However the runner ends, and although `stop` is true only once. Temporary files of dead workers are removed."""
    answers = iter([False, True])

    def run(jobs: Sequence[Job], workers: int, callbacks: Callbacks) -> None:
        callbacks.finished(0, jobs[0].run())
        (jobs[1].target.parent / f"{PREFIX}b{MARK}1").touch()
        assert [callbacks.stop() for _ in range(4)] == [False, True, True, True]
        if raises:
            raise Interrupted

    with pytest.raises(Interrupted):
        render_all(pairs, gain, stop=lambda: next(answers), runner=add(run))
    assert [path.name for path in pairs[0][1].parent.iterdir()] == ["a.wav"]


@pytest.mark.parametrize(("runner", "jobs"), [("here", 1), ("processes", 2)])
def test_built_in_runners_stop(pairs: list[tuple[Path, Path]], runner: str, jobs: int) -> None:
    finished: list[Report] = []
    with pytest.raises(Interrupted):
        render_all(pairs, gain, jobs=jobs, finished=finished.append, stop=lambda: len(finished) > 0, runner=runner)
    written = {path.name for path in pairs[0][1].parent.iterdir()}
    assert written <= {"a.wav", "b.wav", "c.wav"}, "a temporary file is left"
    assert len(finished) == 1
    if runner == "here":
        assert written == {"a.wav"}


def test_errors_of_a_runner_are_raised(pairs: list[tuple[Path, Path]], add: Callable[[Run], str]) -> None:
    def run(jobs: Sequence[Job], workers: int, callbacks: Callbacks) -> None:
        raise NeuralFXError("the cluster cannot be reached")

    with pytest.raises(NeuralFXError, match="the cluster cannot be reached"):
        render_all(pairs, gain, runner=add(run))


# -- names -------------------------------------------------------------------------------------------------------


def test_runners_are_found_by_name() -> None:
    assert find_runner("auto").name == "here"
    assert find_runner("auto", 2).name == "processes"
    assert find_runner("here", 2).name == "here"
    assert RUNNERS.names()[:2] == ["here", "processes"]
    with pytest.raises(ValueError, match="no runner can have the name 'auto'"):
        Runner("auto", "", backwards)


def test_an_unknown_runner_is_reported_before_the_board_is_made(pairs: list[tuple[Path, Path]]) -> None:
    made: list[int] = []

    def make() -> Pedalboard:
        made.append(1)
        return gain()

    words = r"unknown runner 'proceses' \(did you mean 'processes'\?\); known: auto, here, processes"
    with pytest.raises(NeuralFXError, match=words):
        render_all(pairs, make, runner="proceses")
    assert made == []


# -- what travels ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("travel", [copy.deepcopy, lambda jobs: pickle.loads(pickle.dumps(jobs))])
def test_jobs_that_travel_together_share_a_board_of_their_own(
    tmp_path: Path, travel: Callable[[list[Job]], list[Job]]
) -> None:
    recipe = BoardRecipe(gain)
    board = recipe.board()
    assert recipe.board() is board
    output = Output(subtype="PCM_16")
    jobs = [Job(number, tmp_path / "a.wav", tmp_path / "b.wav", recipe, output) for number in range(2)]
    first, second = travel(jobs)
    assert first.recipe is second.recipe
    assert first.recipe.board() is second.recipe.board()
    assert first.recipe.board() is not board
    assert (first.number, first.source, first.target, first.output) == (0, jobs[0].source, jobs[0].target, output)


def test_a_board_that_cannot_be_made_elsewhere_is_an_error_of_the_file(pairs: list[tuple[Path, Path]]) -> None:
    def make() -> Pedalboard:
        raise NeuralFXError("amp.nam: no such file")

    report = Job(0, *pairs[0], BoardRecipe(make), Output()).run()
    assert (report.input, report.error) == (str(pairs[0][0]), "amp.nam: no such file")


def test_progress_is_sent_a_few_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    sent: list[float] = []
    monkeypatch.setattr(workers_module.time, "perf_counter", lambda: now)
    progress = Progress(sent.append)
    for _ in range(100):
        now += 1 / 64
        progress(1.0)
    assert sent == [16.0] * 6
    progress.flush()
    assert np.sum(sent) == 100
