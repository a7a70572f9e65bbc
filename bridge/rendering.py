"""Render files on an OSC request, one at a time on a thread. A render stops if it is cancelled or its peer leaves."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bridge import limits
from bridge.errors import BridgeError
from bridge.host import BoardHost
from bridge.media import Media
from neural_fx.audio import open_audio
from neural_fx.errors import reason
from neural_fx.foreign import not_streaming
from neural_fx.inputs import printable
from neural_fx.processor import Spec
from neural_fx.render import Interrupted, Output, render_file
from neural_fx.render.plans import FORMATS
from neural_fx.values import shown, suggestion


def never() -> bool:
    """Return False, for a peer that does not leave."""
    return False


@dataclass(eq=False)
class Render:
    """A render that waits or runs.

    Attributes:
        number: number of the render in this process.
        source: input file.
        target: output file.
        name: the peer's name for the output file.
        board: name of the board.
        reply: sends a message to the peer.
        abandoned: returns whether the peer is gone.
        peer: the peer that requested it.
        cancelled: set to stop it.
    """

    number: int
    source: Path
    target: Path
    name: str
    board: str
    reply: Callable[..., None]
    abandoned: Callable[[], bool] = never
    peer: object = None
    cancelled: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> bool:
        """Return whether the render was cancelled or its peer is gone."""
        return self.cancelled.is_set() or self.abandoned()


class Renders:
    """A queue of renders.

    Args:
        media: folders of inputs and outputs.
        boards: boards by name. A render uses a copy with the present parameters.
    """

    def __init__(self, media: Media, boards: dict[str, BoardHost]) -> None:
        self.media, self.boards = media, boards
        self.pool = ThreadPoolExecutor(1, "render")
        self.renders: dict[int, Render] = {}
        self.lock = threading.Lock()

    def start(
        self,
        source: str,
        target: str,
        board: str,
        reply: Callable[..., None],
        abandoned: Callable[[], bool] = never,
        peer: object = None,
    ) -> None:
        """Queue a render.

        The replies are ``/render/progress`` while it runs, ``/render/remark`` for defects of the input, and at the end
        ``/render/done`` or ``/render/error``. The first argument of each is the render's number.

        Args:
            source: name of an audio file in the media folders.
            target: name of the audio file to write there.
            board: name of the board.
            reply: sends a message to the peer.
            abandoned: called between blocks. If it returns True, the render stops and leaves no file.
            peer: the peer, with at most `limits.RENDERS_OF_ONE_PEER` renders in the queue. None has no limit.

        Raises:
            BridgeError: the board is unknown, a file may not be read or written, or too many renders wait.
        """
        if board not in self.boards:
            raise BridgeError(
                f"no board {shown(board)}{suggestion(board, self.boards)}; there is: {', '.join(self.boards) or 'none'}"
            )
        path, out = self.media.existing(source), self.media.new(target, tuple(FORMATS))
        render = Render(next(_NUMBERS), path, out, target, board, reply, abandoned, peer)
        with self.lock:
            if len(self.renders) >= limits.RENDERS_WAITING:
                raise BridgeError(f"{limits.RENDERS_WAITING} renders are waiting already")
            if peer is not None and sum(r.peer == peer for r in self.renders.values()) >= limits.RENDERS_OF_ONE_PEER:
                raise BridgeError(f"{limits.RENDERS_OF_ONE_PEER} renders of yours are waiting already")
            self.renders[render.number] = render
        try:
            self.pool.submit(self._run, render)
        except RuntimeError:  # shut down
            self._forget(render)
            raise BridgeError("the worker is about to end; no more renders") from None

    def cancel(self, which: str | int) -> list[int]:
        """Cancel renders that wait or run. No file is written, and the peer gets ``/render/error``.

        Args:
            which: number of a render, or name of its output file.

        Returns:
            The numbers of the cancelled renders.

        Raises:
            BridgeError: there is no such render.
        """
        with self.lock:
            found = [render for render in self.renders.values() if which in (render.number, render.name)]
        if not found:
            raise BridgeError(f"no render {shown(which)} waits or runs; give the name of its output, or its number")
        for render in found:
            render.cancelled.set()
        return [render.number for render in found]

    def close(self) -> None:
        """Cancel all renders. The one that runs stops at its next block."""
        with self.lock:
            for render in self.renders.values():
                render.cancelled.set()
        self.pool.shutdown(wait=False)

    def _run(self, render: Render) -> None:
        try:
            if render.stop():
                raise Interrupted
            for remark in self._rendered(render):
                render.reply("/render/remark", render.number, self._readable(remark))
            render.reply("/render/done", render.number, render.name)
        except Interrupted:
            with suppress(Exception):
                render.reply("/render/error", render.number, "cancelled; no file was written")
        except Exception as error:  # files and plugins can raise anything, and the next render must run
            with suppress(Exception):
                render.reply("/render/error", render.number, self._readable(reason(error)))
        finally:
            self._forget(render)

    def _rendered(self, render: Render) -> list[str]:
        """Render a file, and return remarks about defects of the input.

        Raises:
            NeuralFXError: the file cannot be rendered.
            Interrupted: the render was cancelled, or its peer is gone.
        """
        with open_audio(render.source) as reader:
            total = reader.frames / reader.sample_rate
            spec = Spec(reader.sample_rate, reader.channels)
        _check_length(total, limits.RENDER_SECONDS, "a render on request")
        board = self.boards[render.board].copy(spec)
        for name in not_streaming(board):
            _check_length(total, limits.RENDER_SECONDS_AT_ONCE, f"a render with {name}, which needs all audio at once,")
        done = 0.0

        def advance(seconds: float) -> None:
            nonlocal done
            done += seconds
            render.reply("/render/progress", render.number, min(1.0, done / max(total, 1e-9)))

        output = Output(overwrite=self.media.overwrite)
        return render_file(render.source, render.target, board, output, advance, render.stop).remarks

    def _readable(self, text: str) -> str:
        return printable(self.media.without_folders(" ".join(text.split())))

    def _forget(self, render: Render) -> None:
        with self.lock:
            self.renders.pop(render.number, None)


def _check_length(seconds: float, most: float, what: str) -> None:
    if seconds > most:
        raise BridgeError(
            f"the input lasts {seconds / 60:.0f} minutes; {what} may be of {most / 60:g} minutes; cut it into parts"
        )


_NUMBERS = itertools.count(1)
