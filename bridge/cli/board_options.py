"""Make a board from the options of `neural-fx render`."""

from __future__ import annotations

from dataclasses import dataclass

from neural_fx.errors import NeuralFXError
from neural_fx.neural import load
from neural_fx.pedalboard import Pedalboard
from neural_fx.pedals import make_pedal
from neural_fx.placement import place
from neural_fx.slots import apply_settings


@dataclass(frozen=True)
class BoardOptions:
    """Options that describe a board. Calling the object makes the board, in this or another process.

    Attributes:
        model: capture file.
        pedal: name of a bundled pedal.
        board: board file.
        settings: ``SLOT.PARAM=VALUE`` texts.
        mix: dry/wet mix, 0 to 1; None leaves the board's own.
        level: output level of a capture or pedal: ``raw``, ``normalized`` or ``calibrated``; None is ``raw``.
        timbre: name or file of a timbre.
        device: where to run; ``auto`` leaves it to the board.
        oversample: 1, 2, 4 or 8 times the model's sample rate.

    Raises:
        NeuralFXError: not exactly one of model, pedal, timbre and board is given, or an option does not fit it.
    """

    model: str | None = None
    pedal: str | None = None
    board: str | None = None
    settings: tuple[str, ...] = ()
    mix: float | None = None
    level: str | None = None
    timbre: str | None = None
    device: str = "auto"
    oversample: int = 1

    def __post_init__(self) -> None:
        if sum(option is not None for option in (self.model, self.pedal, self.timbre, self.board)) != 1:
            raise NeuralFXError("expected one of --model FILE, --pedal NAME, --timbre NAME or --board FILE")
        if self.level is not None and (self.board is not None or self.timbre is not None):
            raise NeuralFXError("--level goes with --model or --pedal; a board has `level:` for each of its models")
        if self.oversample != 1 and (self.board is not None or self.timbre is not None):
            raise NeuralFXError("--oversample goes with --model or --pedal; a board has `oversample:` for each of them")

    def __call__(self) -> Pedalboard:
        if self.board is not None:
            board = Pedalboard.from_file(self.board)
        elif self.timbre is not None:
            from neural_fx.timbre import TimbreTransfer

            board = Pedalboard([TimbreTransfer(self.timbre)])
        elif self.pedal is not None:
            board = Pedalboard([make_pedal(self.pedal, self.level or "raw", self.oversample)])
        else:
            board = Pedalboard([load(str(self.model), level=self.level or "raw", oversample=self.oversample)])
        apply_settings(board, self.settings)
        if self.mix is not None:
            board.mix = self.mix
        if self.device != "auto":
            place(board, self.device)
        return board
