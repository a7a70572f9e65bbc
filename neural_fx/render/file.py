"""Render one file through a board.

Memory does not grow with length, and the result is sample-exact with processing the whole file in one call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from neural_fx import blocks
from neural_fx.arrays import Audio
from neural_fx.audio import Reader, open_audio, writer
from neural_fx.boards.files import board_files
from neural_fx.errors import AudioError, NeuralFXError, reason
from neural_fx.files import replacing
from neural_fx.inputs import printable
from neural_fx.outputs import check_output
from neural_fx.pedalboard import Pedalboard
from neural_fx.placement import in_batches
from neural_fx.processor import Spec
from neural_fx.render.output import DEFAULT_OUTPUT, UNBOUNDED, Output, encoding
from neural_fx.render.report import Interrupted, Report
from neural_fx.render.writing import write_block


def render_file(
    source: Path,
    target: Path,
    board: Pedalboard,
    output: Output = DEFAULT_OUTPUT,
    advance: Callable[[float], None] = lambda seconds: None,
    stop: Callable[[], bool] = lambda: False,
) -> Report:
    """Render one file through a board.

    The output file exists only if all of it was written.

    Args:
        source: input file.
        target: output file.
        board: processes the audio. No other thread can use it meanwhile.
        output: sample rate, sample format, tail, and whether to replace a file.
        advance: called with the seconds of audio done since its last call.
        stop: called between blocks. Once it returns true, the render ends.

    Raises:
        AudioError: the input cannot be read, the output exists or cannot be written, or the board's output is not
            finite.
        Interrupted: `stop` returned true.
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
    """Write the output of a board for an open file, and fill in the report. The rest is as for `render_file`."""
    rate = output.sample_rate or reader.sample_rate
    samples = int((reader.frames / reader.sample_rate + output.tail_seconds) * rate)
    format, subtype = encoding(target, output, reader.channels, samples)
    bounded = subtype not in UNBOUNDED
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
            write_block(file, block, target)
            report.seconds += block.shape[1] / rate
            advance(block.shape[1] / rate)
    report.peak_db = 20 * float(np.log10(peak)) if peak > 0 else None


def _processed(reader: Reader, board: Pedalboard, output: Output) -> Iterator[Audio]:
    """Yield the board's output block by block, with the tail and the samples that it held back.

    Raises:
        AudioError: a plugin of the board refuses the audio, or the file cannot be read.
    """
    rate, channels = reader.sample_rate, reader.channels
    tail = round(output.tail_seconds * rate)
    on_gpu = in_batches(board)
    size = blocks.GPU_RENDER_BLOCK if on_gpu else blocks.RENDER_BLOCK
    silence = (np.zeros((channels, min(size, tail - at)), np.float32) for at in range(0, tail, size))
    try:
        board.open_stream(Spec(rate, channels, size) if on_gpu else Spec(rate, channels))
        for block in chain(reader.blocks(size), silence):
            yield from board.push(block)
        yield from board.rest()
    except (ValueError, RuntimeError) as error:
        if isinstance(error, NeuralFXError):
            raise
        raise AudioError(f"{reader.path}: cannot be processed: {' '.join(str(error).split())}") from None


def _converted(audio: Iterator[Audio], rate: float, to: float, channels: int) -> Iterator[Audio]:
    """Yield blocks at another sample rate (soxr, very high quality)."""
    if rate == to:
        yield from audio
        return
    import soxr

    stream = soxr.ResampleStream(rate, to, channels, "float32", "VHQ")
    for block in audio:
        yield stream.resample_chunk(np.ascontiguousarray(block.T)).reshape(-1, channels).T
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).reshape(-1, channels).T
