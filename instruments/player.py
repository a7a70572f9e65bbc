"""Play an instrument in a board: a processor that ignores its input and plays the notes that are sent to it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import mido
import numpy as np

from instruments.base import Instrument
from instruments.performance import Performance
from neural_fx import blocks
from neural_fx.arrays import Audio
from neural_fx.parameters import unknown_parameter
from neural_fx.processor import Processor, Spec


class InstrumentPlayer(Processor):
    """Plays an instrument as part of a board. Its parameters are those of the instrument.

    Any thread may call `send`. Only one thread may call `process_block`.

    Args:
        instrument: that plays.
    """

    is_instrument = True

    def __init__(self, instrument: Instrument) -> None:
        super().__init__()
        self.instrument = instrument
        self._table.update(instrument.parameters)
        self._values.update({name: getattr(instrument, name) for name in instrument.parameters})
        self._sent: deque[mido.Message] = deque(maxlen=blocks.MOST_WAITING_MESSAGES)
        self._performance: Performance | None = None

    if TYPE_CHECKING:  # the parameters are the instrument's, which type checkers cannot know

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings without the messages that wait."""
        return {**super().__getstate__(), "_sent": deque(maxlen=blocks.MOST_WAITING_MESSAGES)}

    def set_parameter(self, name: str, value: object) -> None:
        if name not in self._table:
            raise unknown_parameter(type(self.instrument).__name__, name, self._table)
        self.instrument.set_parameter(name, value)
        self._values[name] = getattr(self.instrument, name)

    def send(self, message: mido.Message) -> None:
        """Send a message, which acts at the beginning of the next block."""
        self._sent.append(message)

    def prepare(self, spec: Spec) -> None:
        self._performance = Performance(self.instrument, spec.sample_rate)

    def process_block(self, block: Audio) -> Audio:
        assert self._performance is not None
        if block.shape[1] == 0:  # messages wait for a block that has samples
            return block
        # Other threads may send meanwhile. Their messages wait for the next block.
        messages = [(0.0, self._sent.popleft()) for _ in range(len(self._sent))]
        mono = self._performance.play(messages, block.shape[1], block.shape[1])
        return np.repeat(mono[None], block.shape[0], 0)
