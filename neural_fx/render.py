"""Files through a board: streamed in blocks, written beside and renamed, several at a time.

Memory does not grow with length, and the result is sample-exact with processing the whole file in one call.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import chain
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neural_fx.audio import Audio, Reader, open_audio, subtypes, writer
from neural_fx.boards.files import board_files
from neural_fx.errors import AudioError, NeuralFXError, reason
from neural_fx.files import remove_stale_parts, replacing
from neural_fx.inputs import printable
from neural_fx.layout import channels_first
from neural_fx.outputs import check_output
from neural_fx.parameters import Parameter
from neural_fx.pedalboard import Pedalboard
from neural_fx.placement import in_batches
from neural_fx.plans import file_format, plan
from neural_fx.processor import Spec
from neural_fx.values import positive_number, whole_number

if TYPE_CHECKING:
    import soundfile

__all__ = ["Interrupted", "Output", "Report", "file_format", "plan", "render_all", "render_file", "write_audio"]

BLOCK = 65536
"""Samples read at a time; a multiple of the processors' buffer size, so the cuts are those of one long call."""
_PATIENCE = 30.0
"""Seconds that a worker process has to end: it looks between blocks, and may still be loading a model."""
GPU_BLOCK = 1 << 22
"""The same for boards with captures on a GPU, which cut it up again and run the pieces as a batch."""

_DEFAULT_SUBTYPE = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}
_UNBOUNDED = ("FLOAT", "DOUBLE")
"""Sample formats that hold more than full scale. The others are given no more: mu-law crashes at 46, MP3 at 1e10."""
WRITE_FRAMES = 65536
"""Samples written at a time. libsndfile's Vorbis encoder crashes when it is given some millions at once."""
_BYTES = {"PCM_U8": 1, "PCM_S8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}


class Interrupted(Exception):  # noqa: N818 - no error, the user's wish
    """The render was asked to stop; its output does not exist."""


_TAIL = Parameter("tail_seconds", 0, 3600, 0, "s")


@dataclass(frozen=True)
class Output:
    """How to write: None means as the input (rate) or the format's best (subtype, PCM_24 where there is a choice).

    Raises:
        ParameterError: a sample rate that is not a positive number, or a tail that is not 0 to 3600 seconds.
    """

    sample_rate: float | None = None
    subtype: str | None = None
    tail_seconds: float = 0.0
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.sample_rate is not None:
            positive_number(self.sample_rate, "sample_rate")
        _TAIL.check(self.tail_seconds)


@dataclass
class Report:
    """The result of one file.

    Attributes:
        input: the file that was read, and `output` the one that was written; bytes that are not UTF-8 as ``\\xNN``.
        seconds: of audio written.
        wall_seconds: time it took.
        speed: in multiples of real time.
        peak_db: dBFS, before any clipping; None for silence.
        clipped_samples: samples above full scale.
        remarks: what a user should know, although the file was rendered.
        error: why there is no output.
    """

    input: str
    output: str
    seconds: float = 0.0
    wall_seconds: float = 0.0
    speed: float = 0.0
    peak_db: float | None = None
    clipped_samples: int = 0
    remarks: list[str] = field(default_factory=list)
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _encoding(path: Path, output: Output, channels: int, samples: int) -> tuple[str, str]:
    """(format, subtype) for an output; a WAV that would pass 4 GB becomes RF64."""
    format = file_format(path)
    known = subtypes(format)
    subtype = (output.subtype or _DEFAULT_SUBTYPE.get(format, "PCM_24")).upper()
    if subtype not in known:
        raise AudioError(f"{path}: {format} has no subtype {subtype}; it has: {', '.join(known)}")
    if format == "WAV" and channels * samples * _BYTES.get(subtype, 8) > 4e9:
        format = "RF64"
    return format, subtype


# -- one file ----------------------------------------------------------------------------------------------------


def render_file(
    source: Path,
    target: Path,
    board: Pedalboard,
    output: Output = Output(),
    advance: Callable[[float], None] = lambda seconds: None,
    stop: Callable[[], bool] = lambda: False,
) -> Report:
    """One file through a board.

    Args:
        advance: told the seconds of audio done since it was last called.
        stop: asked between blocks; once it says True, the render ends with `Interrupted`.

    Raises:
        AudioError: the input cannot be read, the output exists or cannot be written, or the board's output is not
            finite. The output file exists only if all of it was written.
        Interrupted: `stop` said so.
    """
    began = time.perf_counter()
    report = Report(printable(source), printable(target))
    check_output(target, output.overwrite, (source, *board_files(board)))
    with board.exclusive(), open_audio(source) as reader:
        board.reset()
        try:
            report.remarks += [f"{printable(source)}: {remark}" for remark in reader.remarks]
            _render_to(report, reader, target, board, output, advance, stop)
        except OSError as error:
            raise AudioError(f"{target}: cannot be written: {reason(error)}") from None
        finally:
            board.reset()
    report.wall_seconds = time.perf_counter() - began
    report.speed = report.seconds / max(report.wall_seconds, 1e-9)
    return report


def _render_to(
    report: Report,
    reader: Reader,
    target: Path,
    board: Pedalboard,
    output: Output,
    advance: Callable[[float], None],
    stop: Callable[[], bool],
) -> None:
    """Write what a board makes of an open file, and keep count in the report; the rest as for `render_file`."""
    rate = output.sample_rate or reader.sample_rate
    samples = int((reader.frames / reader.sample_rate + output.tail_seconds) * rate)
    format, subtype = _encoding(target, output, reader.channels, samples)
    bounded = subtype not in _UNBOUNDED
    peak = 0.0
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as part, writer(part, round(rate), reader.channels, format, subtype) as file:
        for block in _converted(_processed(reader, board, output), reader.sample_rate, rate, reader.channels):
            if stop():
                raise Interrupted
            size = float(np.abs(block).max(initial=0.0))
            if not np.isfinite(size):
                raise AudioError(f"{reader.path}: the board's output is not finite")
            peak = max(peak, size)
            if bounded and size > 1:
                report.clipped_samples += int(np.count_nonzero(np.abs(block) > 1))
                block = np.clip(block, -1, 1)
            _write(file, block, target)
            report.seconds += block.shape[1] / rate
            advance(block.shape[1] / rate)
    report.peak_db = 20 * float(np.log10(peak)) if peak > 0 else None


def write_audio(path: str | Path, audio: Audio, sample_rate: int, subtype: str | None = None) -> None:
    """Write audio to a file, whole or not at all.

    Args:
        path: the file; its suffix says the format.
        audio: (samples,), (channels, samples) or (samples, channels), 32- or 64-bit floats, as processors take it.
        sample_rate: Hz, a whole number.
        subtype: sample format, such as ``PCM_24``; None for the format's own.

    Raises:
        AudioError: an unknown format or subtype, NaN or infinite samples, or it cannot be written.
        TypeError: not a numpy array of floats.
        RuntimeError: not one- or two-dimensional, or square.
        ParameterError: a sample rate that is not a whole number above 0.
    """
    path = Path(path)
    audio = channels_first(audio)
    sample_rate = whole_number(sample_rate, "sample_rate")
    if not np.isfinite(audio).all():
        raise AudioError(f"{path}: not written: the audio contains NaN or infinite samples")
    format, subtype = _encoding(path, Output(subtype=subtype), *audio.shape)
    if subtype not in _UNBOUNDED:
        audio = np.clip(audio, -1, 1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part, writer(part, sample_rate, len(audio), format, subtype) as file:
            _write(file, audio, path)
    except OSError as error:
        raise AudioError(f"{path}: cannot be written: {reason(error)}") from None


def _write(file: soundfile.SoundFile, block: Audio, target: Path) -> None:
    try:
        for start in range(0, block.shape[1], WRITE_FRAMES):
            file.write(block[:, start : start + WRITE_FRAMES].T)
    except (OSError, RuntimeError, AssertionError) as error:  # what a full disk makes soundfile raise
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or "the disk may be full"
        raise AudioError(f"{target}: cannot be written: {reason}") from None


def _processed(reader: Reader, board: Pedalboard, output: Output) -> Iterator[Audio]:
    """The board's output, block by block, the tail and held samples included.

    Raises:
        AudioError: a plugin of the board refuses the audio, or the file cannot be read.
    """
    rate, channels = reader.sample_rate, reader.channels
    tail = round(output.tail_seconds * rate)
    size = GPU_BLOCK if in_batches(board) else BLOCK
    silence = (np.zeros((channels, min(size, tail - at)), np.float32) for at in range(0, tail, size))
    try:
        board.open_stream(Spec(rate, channels, GPU_BLOCK) if size == GPU_BLOCK else Spec(rate, channels))
        for block in chain(reader.blocks(size), silence):
            yield from board.push(block)
        yield from board.rest()
    except (ValueError, RuntimeError) as error:
        if isinstance(error, NeuralFXError):
            raise
        raise AudioError(f"{reader.path}: cannot be processed: {' '.join(str(error).split())}") from None


def _converted(blocks: Iterator[Audio], rate: float, to: float, channels: int) -> Iterator[Audio]:
    """Blocks at another rate (soxr, very high quality)."""
    if rate == to:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(rate, to, channels, "float32", "VHQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block.T)).reshape(-1, channels).T
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).reshape(-1, channels).T


# -- many files --------------------------------------------------------------------------------------------------


def render_all(
    pairs: list[tuple[Path, Path]],
    make_board: Callable[[], Pedalboard],
    output: Output = Output(),
    jobs: int = 1,
    advance: Callable[[float], None] = lambda seconds: None,
    finished: Callable[[Report], None] = lambda report: None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Report]:
    """Files through a board, `jobs` at a time. A bad file is reported and does not stop the others.

    Args:
        make_board: makes a board. With `jobs` over 1 it is sent to processes of their own and must be picklable:
            threads would share one interpreter, and two of them run no faster than one (measured).
        advance: told seconds of audio done.
        finished: told each report as it comes.
        stop: asked several times a second; once it says True, all renders end.

    Returns:
        reports in the order of `pairs`; `error` is set where a file failed.

    Raises:
        NeuralFXError: the board cannot be made.
        Interrupted: `stop` said so; every output in progress was removed.
    """
    board = make_board()  # before any process starts: if it cannot be made, that is told once
    jobs = max(1, min(jobs, len(pairs)))
    if jobs > 1:
        return _in_processes(pairs, make_board, output, jobs, advance, finished, stop)
    reports = []
    for source, target in pairs:
        if stop():
            raise Interrupted
        reports.append(_attempt(source, target, board, output, advance, stop))
        finished(reports[-1])
    return reports


def _attempt(
    source: Path,
    target: Path,
    board: Pedalboard,
    output: Output,
    advance: Callable[[float], None],
    stop: Callable[[], bool] = lambda: False,
) -> Report:
    """Call `render_file` and put its errors into the report.

    Any error counts: whatever a file, a plugin or the system raises must not stop the other files.
    """
    try:
        return render_file(source, target, board, output, advance, stop)
    except Interrupted:
        raise
    except NeuralFXError as error:
        return _failed(source, target, str(error))
    except OSError as error:
        return _failed(source, target, f"{source}: cannot be rendered: {reason(error)}")
    except Exception as error:
        text = " ".join(str(error).split())
        return _failed(source, target, f"{source}: cannot be rendered: {type(error).__name__}: {text}".rstrip(": "))


def _failed(source: Path, target: Path, error: str) -> Report:
    return Report(printable(source), printable(target), error=printable(error))


def _in_processes(
    pairs: list[tuple[Path, Path]],
    make_board: Callable[[], Pedalboard],
    output: Output,
    jobs: int,
    advance: Callable[[float], None],
    finished: Callable[[Report], None],
    stop: Callable[[], bool],
) -> list[Report]:
    _start_resource_tracker()
    context = multiprocessing.get_context("spawn")
    tasks, news, stopping = context.Queue(), context.Queue(), context.Event()
    for task in [*enumerate(pairs), *[None] * jobs]:
        tasks.put(task)
    workers = [
        context.Process(target=_work, args=(make_board, output, tasks, news, stopping), daemon=True)
        for _ in range(jobs)
    ]
    reports: dict[int, Report] = {}
    try:
        for worker in workers:
            worker.start()
        while len(reports) < len(pairs):
            if stop():
                raise Interrupted
            alive = any(worker.is_alive() for worker in workers)
            try:
                index, item = news.get(timeout=0.2)
            except queue.Empty:
                if alive:
                    continue
                break
            if isinstance(item, Report):
                reports[index] = item
                finished(item)
            else:
                advance(item)
    finally:
        stopping.set()
        _end(workers)
    lost = "the process that rendered it died; there may be too little memory"
    for index, (source, target) in enumerate(pairs):
        if index not in reports:
            remove_stale_parts(target.parent)
            reports[index] = _failed(source, target, f"{source}: {lost}")
    return [reports[index] for index in range(len(pairs))]


def _start_resource_tracker() -> None:
    """Start multiprocessing's helper with SIGHUP blocked, which it inherits.

    It ignores SIGINT and SIGTERM by itself. A closing terminal sends SIGHUP to all processes, and without the helper
    the others end in tracebacks.
    """
    if not hasattr(signal, "SIGHUP"):
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    try:
        resource_tracker.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(workers: list[Any]) -> None:
    """Wait until all worker processes have ended; they were asked to. Kill those that do not."""
    deadline = time.monotonic() + _PATIENCE
    for worker in workers:
        if worker.pid is not None:
            worker.join(timeout=max(0.1, deadline - time.monotonic()))
            if worker.is_alive():
                worker.kill()
                worker.join()


class _Progress:
    """Seconds done of a file, told four times a second: each message takes the time of a block."""

    def __init__(self, news: Any, index: int) -> None:
        self.news, self.index = news, index
        self.told, self.waiting = time.perf_counter(), 0.0

    def __call__(self, seconds: float) -> None:
        self.waiting += seconds
        if time.perf_counter() - self.told >= 0.25:
            self.catch_up()

    def catch_up(self) -> None:
        self.news.put((self.index, self.waiting))
        self.told, self.waiting = time.perf_counter(), 0.0


class _Ending:
    """Whether a worker process should end: it was asked to, it received a signal, or its parent is gone."""

    def __init__(self, asked: Any) -> None:
        self.asked = asked
        self.signalled = False
        self.parent = multiprocessing.parent_process()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent as well, which asks
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._note)

    def _note(self, number: int, frame: object) -> None:
        # No exception: it could be raised inside a queue, while that holds a lock of all processes.
        self.signalled = True

    def __call__(self) -> bool:
        return self.signalled or self.asked.is_set() or (self.parent is not None and not self.parent.is_alive())


def _work(make_board: Callable[[], Pedalboard], output: Output, tasks: Any, news: Any, stop: Any) -> None:
    """Render files from `tasks` until None comes, in a worker process; put seconds done and reports into `news`."""
    ending = _Ending(stop)
    board = make_board()
    while not ending():
        try:
            task = tasks.get(timeout=0.2)
        except queue.Empty:
            continue
        if task is None:
            break
        index, (source, target) = task
        advance = _Progress(news, index)
        with suppress(Interrupted):
            report = _attempt(source, target, board, output, advance, ending)
            advance.catch_up()
            news.put((index, report))
    if ending():
        news.cancel_join_thread()  # nobody reads any more
