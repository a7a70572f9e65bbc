"""Files through a board: streamed in blocks, written beside and renamed, several at a time.

Memory does not grow with length, and the result is sample-exact with processing the whole file in one call.
"""

from __future__ import annotations

import glob
import multiprocessing
import queue
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neural_fx.audio import SUFFIXES, Audio, Reader, open_audio, subtypes, writer
from neural_fx.errors import AudioError, NeuralFXError
from neural_fx.files import replacing
from neural_fx.layout import channels_first
from neural_fx.parameters import Parameter
from neural_fx.pedalboard import Pedalboard
from neural_fx.placement import in_batches
from neural_fx.processor import Spec
from neural_fx.values import positive_number, suggestion, whole_number

if TYPE_CHECKING:
    import soundfile

BLOCK = 65536
"""Samples read at a time; a multiple of the processors' buffer size, so the cuts are those of one long call."""
GPU_BLOCK = 1 << 22
"""The same for boards with captures on a GPU, which cut it up again and run the pieces as a batch."""

FORMATS = {
    ".wav": "WAV",
    ".flac": "FLAC",
    ".aif": "AIFF",
    ".aiff": "AIFF",
    ".ogg": "OGG",
    ".mp3": "MP3",
    ".w64": "W64",
    ".caf": "CAF",
    ".rf64": "RF64",
    ".au": "AU",
}
_DEFAULT_SUBTYPE = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}
_LOSSY = ("OGG", "MP3")
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
    """What became of one file. `speed` is in multiples of real time; `peak_db` in dBFS, before any clipping."""

    input: str
    output: str
    seconds: float = 0.0
    wall_seconds: float = 0.0
    speed: float = 0.0
    peak_db: float | None = None
    clipped_samples: int = 0
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


# -- which files -------------------------------------------------------------------------------------------------


def plan(inputs: Iterable[str | Path], out: str | Path) -> list[tuple[Path, Path]]:
    """Pairs of input and output files.

    Args:
        inputs: files, folders (searched for audio, with their folders), and glob patterns.
        out: a file if there is one input file, else a folder that mirrors the names. A lossy input (mp3, ogg) gets
            a `.wav` in a folder.

    Raises:
        AudioError: nothing found, two inputs with one output, an output that is an input, an unknown output format.
    """
    out = Path(out)
    given = list(inputs)
    found = [pair for name in given for pair in _find(name)]
    if not found:
        raise AudioError("no audio files found in " + ", ".join(map(str, given)))
    single = len(found) == 1 and not Path(given[0]).is_dir()
    if single and not out.is_dir() and not str(out).endswith(("/", "\\")):
        file_format(out)
        pairs = [(found[0][0], out)]
    else:
        if out.is_file():
            raise AudioError(f"{out}: is a file; several inputs need a folder")
        pairs = [(source, out / _mirrored(relative)) for source, relative in found]
    taken: dict[Path, Path] = {}
    for source, target in pairs:
        place = target.resolve()
        if place in taken and taken[place] != source:
            raise AudioError(f"{taken[place]} and {source} would both be written to {target}")
        if place == source.resolve():
            raise AudioError(f"{source}: would be overwritten by its own output")
        taken[place] = source
    return list(dict.fromkeys(pairs))


def _find(given: str | Path) -> list[tuple[Path, Path]]:
    """(file, path to mirror) for a file, folder or pattern."""
    path = Path(given)
    if path.is_dir():
        files = sorted(f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
        return [(f, f.relative_to(path)) for f in files if not f.name.startswith(".")]
    if path.exists():
        return [(path, Path(path.name))]
    matches = sorted(glob.glob(str(given), recursive=True))
    if not matches:
        raise AudioError(f"{given}: no such file, folder, or match")
    return [pair for match in matches for pair in _find(match)]


def _mirrored(relative: Path) -> Path:
    format = FORMATS.get(relative.suffix.lower())
    return relative.with_suffix(".wav") if format is None or format in _LOSSY else relative


def file_format(path: Path) -> str:
    """libsndfile's name for the format of an output file.

    Raises:
        AudioError: no suffix or an unknown one; lists the known.
    """
    format = FORMATS.get(path.suffix.lower())
    if format is None:
        hint = suggestion(path.suffix, FORMATS)
        raise AudioError(f"{path}: unknown output format {path.suffix!r}{hint}; known: {', '.join(FORMATS)}")
    return format


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
    report = Report(str(source), str(target))
    if target.exists() and not output.overwrite:
        raise AudioError(f"{target}: exists already; --overwrite replaces it")
    board.reset()
    with open_audio(source) as reader:
        rate = output.sample_rate or reader.sample_rate
        samples = int((reader.frames / reader.sample_rate + output.tail_seconds) * rate)
        format, subtype = _encoding(target, output, reader.channels, samples)
        bounded = subtype.startswith("PCM")
        peak = 0.0
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as part, writer(part, round(rate), reader.channels, format, subtype) as file:
                for block in _converted(_processed(reader, board, output), reader.sample_rate, rate, reader.channels):
                    if stop():
                        raise Interrupted
                    size = float(np.abs(block).max(initial=0.0))
                    if not np.isfinite(size):
                        raise AudioError(f"{source}: the board's output is not finite")
                    peak = max(peak, size)
                    if bounded and size > 1:
                        report.clipped_samples += int(np.count_nonzero(np.abs(block) > 1))
                    _write(file, block, target)
                    report.seconds += block.shape[1] / rate
                    advance(block.shape[1] / rate)
        except OSError as error:
            raise AudioError(f"{target}: cannot be written: {error.strerror or error}") from None
        finally:
            board.reset()
    report.wall_seconds = time.perf_counter() - began
    report.speed = report.seconds / max(report.wall_seconds, 1e-9)
    report.peak_db = 20 * float(np.log10(peak)) if peak > 0 else None
    return report


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
    try:
        with replacing(path) as part, writer(part, sample_rate, len(audio), format, subtype) as file:
            _write(file, audio, path)
    except OSError as error:
        raise AudioError(f"{path}: cannot be written: {error.strerror or error}") from None


def _write(file: soundfile.SoundFile, block: Audio, target: Path) -> None:
    try:
        file.write(block.T)
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
) -> list[Report]:
    """Files through a board, `jobs` at a time. A bad file is reported and does not stop the others.

    Args:
        make_board: makes a board. With `jobs` over 1 it is sent to processes of their own and must be picklable:
            threads would share one interpreter, and two of them run no faster than one (measured).
        advance: told seconds of audio done.
        finished: told each report as it comes.

    Returns:
        reports in the order of `pairs`; `error` is set where a file failed.

    Raises:
        NeuralFXError: the board cannot be made.
        KeyboardInterrupt: after every output in progress was removed.
    """
    board = make_board()  # before any process starts: if it cannot be made, that is told once
    jobs = max(1, min(jobs, len(pairs)))
    if jobs > 1:
        return _in_processes(pairs, make_board, output, jobs, advance, finished)
    reports = []
    for source, target in pairs:
        reports.append(_attempt(source, target, board, output, advance))
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
    """`render_file`, with its errors in the report."""
    try:
        return render_file(source, target, board, output, advance, stop)
    except NeuralFXError as error:
        return Report(str(source), str(target), error=str(error))


def _in_processes(
    pairs: list[tuple[Path, Path]],
    make_board: Callable[[], Pedalboard],
    output: Output,
    jobs: int,
    advance: Callable[[float], None],
    finished: Callable[[Report], None],
) -> list[Report]:
    context = multiprocessing.get_context("spawn")
    tasks, news, stop = context.Queue(), context.Queue(), context.Event()
    for task in [*enumerate(pairs), *[None] * jobs]:
        tasks.put(task)
    workers = [
        context.Process(target=_work, args=(make_board, output, tasks, news, stop), daemon=True) for _ in range(jobs)
    ]
    reports: dict[int, Report] = {}
    try:
        for worker in workers:
            worker.start()
        while len(reports) < len(pairs):
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
        stop.set()
        for worker in workers:
            if worker.pid is not None:
                worker.join(timeout=30)
    lost = "the process that rendered it died; is there enough memory?"
    return [reports.get(i) or Report(str(a), str(b), error=f"{a}: {lost}") for i, (a, b) in enumerate(pairs)]


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


def _work(make_board: Callable[[], Pedalboard], output: Output, tasks: Any, news: Any, stop: Any) -> None:
    """A worker process: files from `tasks` until None; seconds done and reports into `news`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    board = make_board()
    for task in iter(tasks.get, None):
        if stop.is_set():
            break
        index, (source, target) = task
        advance = _Progress(news, index)
        with suppress(Interrupted):
            report = _attempt(source, target, board, output, advance, stop.is_set)
            advance.catch_up()
            news.put((index, report))
    if stop.is_set():
        news.cancel_join_thread()  # nobody reads any more
