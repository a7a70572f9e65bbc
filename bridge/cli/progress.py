"""Show the progress of a long command: a bar on a terminal, otherwise a line every few seconds.

The lines come from a thread, so that a long step does not stop them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

LINE_SECONDS = 5.0


def say(console: Console, sentence: str) -> None:
    """Print a line. Ignores a full disk or a closed pipe behind the console, so that the work continues."""
    with contextlib.suppress(OSError):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


class Standing:
    """Show progress while the block runs.

    Args:
        console: console to print on.
        what: name of the work, such as ``training``.
        seconds: time between two lines if the console is not a terminal; None for `LINE_SECONDS`.
    """

    def __init__(self, console: Console, what: str, seconds: float | None = None) -> None:
        self.console = console
        self.what = what
        self.seconds = seconds or LINE_SECONDS
        self._fraction = 0.0
        self._text = "at the first step"
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._lines, name="progress", daemon=True)
        columns = (
            SpinnerColumn(),
            TextColumn(what),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[text]}"),
        )
        self._bar = Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task(what, total=1.0, text=self._text)

    def show(self, fraction: float, text: str) -> None:
        """Update the progress. Takes microseconds, so it can be called after every step.

        Args:
            fraction: share of the work that is done, 0 to 1.
            text: details to show beside it.
        """
        self._fraction = fraction
        self._text = text
        if self.console.is_terminal:
            self._bar.update(self._task, completed=fraction, text=text)

    def __enter__(self) -> Standing:
        self._began = time.monotonic()
        if self.console.is_terminal:
            self._bar.start()
        else:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self.console.is_terminal:
            with contextlib.suppress(OSError):
                self._bar.stop()
        else:
            self._thread.join()

    def _lines(self) -> None:
        while not self._ended.wait(self.seconds):
            spent = time.monotonic() - self._began
            say(self.console, f"{self.what}: {100 * self._fraction:.0f} %, {spent:.0f} s: {self._text}")
