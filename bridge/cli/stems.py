"""Write the channels of a song to files of their own, all of them or none."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from neural_fx.arrays import Audio
from neural_fx.audio import writer
from neural_fx.errors import AudioError, NeuralFXError, reason
from neural_fx.files import replacing
from neural_fx.outputs import check_output
from neural_fx.render.output import Output, encoding
from neural_fx.render.writing import write_block


class StemFolder:
    """Files of the channels, in 32-bit float. They get their names when the context ends without an error.

    Args:
        folder: made if it does not exist.
        names: of the files, by channel.
        sample_rate: Hz.
    """

    def __init__(self, folder: Path, names: Mapping[int, str], sample_rate: int) -> None:
        self.paths = {channel: folder / name for channel, name in names.items()}
        self._folder = folder
        self._sample_rate = sample_rate
        self._unfinished = ExitStack()

    def check(self, overwrite: bool, song: Path, mix: Path) -> None:
        """Check that all files may be written, and make the folder.

        Args:
            overwrite: whether they may replace existing files.
            song: the input, which no file may replace.
            mix: the output, which no file may replace.

        Raises:
            NeuralFXError: one of them may not be written.
        """
        for path in self.paths.values():
            check_output(path, overwrite, [song])
            if path.absolute() == mix.absolute():
                raise AudioError(f"{path}: is the name of a stem; choose another output")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            text = reason(error) if isinstance(error, OSError) else str(error)
            raise NeuralFXError(f"{self._folder}: cannot be created: {text}") from None

    def write(self, channel: int, audio: Audio) -> None:
        """Write one channel.

        Args:
            channel: counted from 0.
            audio: (2, samples).

        Raises:
            AudioError: the file cannot be written.
        """
        path = self.paths[channel]
        format, subtype = encoding(path, Output(subtype="FLOAT"), *audio.shape)
        try:
            part = self._unfinished.enter_context(replacing(path))
            with writer(part, self._sample_rate, len(audio), format, subtype) as file:
                write_block(file, audio, path)
        except OSError as error:
            raise AudioError(f"{path}: cannot be written: {reason(error)}") from None

    def __enter__(self) -> StemFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unfinished.__exit__(kind, error, trace)
