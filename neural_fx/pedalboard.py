"""Combine neural processors, native plugins and VST3s: `Pedalboard`, `Chain` and `Mix`.

They are used like Spotify's `pedalboard.Pedalboard`, which accepts native plugins only. Here, consecutive native
plugins go to one native board in one call. Everything else is a `Processor`.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterable, Iterator, MutableSequence
from contextlib import AbstractContextManager
from pathlib import Path
from reprlib import recursive_repr
from typing import Any, Self, TypeAlias, overload
from weakref import WeakKeyDictionary

import numpy as np
import pedalboard

from neural_fx import blocks
from neural_fx.arrays import Audio
from neural_fx.audio_queue import Queue
from neural_fx.dry_wet import DryWet
from neural_fx.impulse import check_native
from neural_fx.interruption import checkpoint
from neural_fx.macros import Macro
from neural_fx.native_runs import NativeRun, native_kind
from neural_fx.parameters import Parameter, Ramp
from neural_fx.processor import Passed, Processor, Spec
from neural_fx.sharing import Locks, everything_in, freeze, refuse_duplicates, thaw, used_elsewhere

Plugin: TypeAlias = "Processor | pedalboard.Plugin"


class Container(Processor, MutableSequence[Plugin]):
    """A list of plugins that is itself a processor.

    Each place needs a plugin of its own. If one object is in two places, in nested containers too, an error is raised
    when a stream begins, as pedalboard does.
    """

    _edits = 0
    """Number of changes to any container's list so far. It tells whether a cached set of locks is still valid."""

    def __init__(self, plugins: Iterable[Plugin] = (), **values: float) -> None:
        """Add plugins and set parameters.

        Args:
            plugins: in order.
            values: parameters by name.

        Raises:
            TypeError: something in `plugins` is neither a processor nor a pedalboard plugin.
            AudioError: a convolution has an impulse response that cannot be used.
        """
        super().__init__(**values)
        self._plugins: list[Plugin] = []
        self._names: WeakKeyDictionary[Plugin, str] = WeakKeyDictionary()
        self._locks: tuple[int, Locks] | None = None
        for plugin in plugins:
            self.append(plugin)

    @overload
    def __getitem__(self, index: int) -> Plugin: ...
    @overload
    def __getitem__(self, index: slice) -> list[Plugin]: ...
    def __getitem__(self, index: int | slice) -> Plugin | list[Plugin]:
        return self._plugins[index]

    def __setitem__(self, index: Any, plugin: Any) -> None:
        if isinstance(index, slice):
            plugin = [_checked(p, self) for p in plugin]
        else:
            plugin = _checked(plugin, self)
        with self.exclusive():
            self._plugins[index] = plugin
            self._edited()

    def __delitem__(self, index: int | slice) -> None:
        with self.exclusive():
            del self._plugins[index]
            self._edited()

    def __len__(self) -> int:
        return len(self._plugins)

    def __bool__(self) -> bool:
        return True

    def insert(self, index: int, plugin: Plugin) -> None:
        """Insert a plugin before `index`. A running stream starts again."""
        with self.exclusive():
            self._plugins.insert(index, _checked(plugin, self))
            self._edited()

    def _edited(self) -> None:
        """End the stream, because the list of plugins has changed."""
        Container._edits += 1
        self._end()
        self._passed = Passed()

    def reset(self) -> None:
        with self.exclusive():
            super().reset()
            for plugin in self._plugins:
                plugin.reset()

    def exclusive(self) -> AbstractContextManager[object]:
        """Return a context in which only the current thread can use this container and everything in it."""
        known = self._locks
        if known is None or known[0] != Container._edits:
            known = self._locks = (Container._edits, Locks(everything_in(self)))
        return known[1]

    def name_slot(self, plugin: Plugin, name: str) -> None:
        """Name a slot, for settings, board files and OSC addresses.

        Args:
            plugin: in the slot.
            name: of the slot.
        """
        self._names[plugin] = name

    def given_name(self, plugin: Plugin) -> str | None:
        """Return the name that a plugin of this container was given, or None; see `neural_fx.slots.slot_names`."""
        return self._names.get(plugin)

    # -- the stream --------------------------------------------------------------------------------------------------

    def prepare(self, spec: Spec) -> None:
        refuse_duplicates(self)
        self._stages = self._make_stages()
        for stage in self._stages:
            stage.open_stream(spec)
        self._opened = [stage._passed for stage in self._stages]

    @abstractmethod
    def _make_stages(self) -> list[Processor]:
        """Return the processors that do the work, in order."""

    def _continues(self, rate: float, channels: int) -> bool:
        """Return whether the running stream can continue. It cannot if a member was reset or edited.

        Raises:
            RuntimeError: a member was called directly or by another board in the meantime.
        """
        if not super()._continues(rate, channels):
            return False
        for stage, opened in zip(self._stages, self._opened, strict=True):
            if stage._passed is opened:
                if not stage._continues(rate, channels):
                    return False
            elif stage._spec is None and stage._passed.taken == 0:
                return False
            else:
                raise used_elsewhere(stage)
        return True

    # -- copies ------------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["_plugins"], state["_names"], state["_locks"]
        return {**state, "_slots": [(freeze(plugin), self.given_name(plugin)) for plugin in self._plugins]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        slots = state.pop("_slots")
        super().__setstate__({**state, "_locks": None})
        self._plugins = [thaw(plugin) for plugin, _ in slots]
        self._names = WeakKeyDictionary()
        for plugin, (_, name) in zip(self._plugins, slots, strict=True):
            if name is not None:
                self._names[plugin] = name

    def __copy__(self) -> Self:
        """Return a container with a list of its own, which holds the same plugins."""
        made = type(self).__new__(type(self))
        state = super().__getstate__()
        made.__dict__.update({**state, "_plugins": list(self._plugins), "_values": dict(self._values), "_locks": None})
        made.__dict__.update(_names=WeakKeyDictionary(self._names), _lock=threading.RLock())
        return made

    def __iter__(self) -> Iterator[Plugin]:
        return iter(self._plugins)

    @recursive_repr()
    def __repr__(self) -> str:
        inside = ", ".join(map(repr, self._plugins))
        return f"<neural_fx.{type(self).__name__} with {len(self)} plugin{'s' * (len(self) != 1)}: [{inside}]>"


def _checked(plugin: object, owner: Container) -> Any:
    if not isinstance(plugin, (Processor, pedalboard.Plugin)):
        raise TypeError(
            f"{type(owner).__name__} takes neural_fx processors and pedalboard plugins, got {type(plugin).__name__}"
            + ("; load a model file with neural_fx.load" if isinstance(plugin, (str, Path)) else "")
        )
    if plugin.is_instrument and not plugin.is_effect:
        raise ValueError(f"{plugin!r} is an instrument; a {type(owner).__name__} holds effects")
    if plugin is owner:
        raise ValueError("a chain cannot contain itself")
    if isinstance(plugin, pedalboard.Plugin):
        check_native(plugin)
    return plugin


def as_stages(plugins: Iterable[Plugin]) -> list[Processor]:
    """Return the processors for a list of plugins. Consecutive native plugins become one processor."""
    stages: list[Processor] = []
    run: list[pedalboard.Plugin] = []
    kind: type[NativeRun] = NativeRun
    for plugin in plugins:
        wanted = None if isinstance(plugin, Processor) else native_kind(plugin)
        if run and wanted is not kind:
            stages.append(kind(run))
            run = []
        kind = wanted or kind
        if isinstance(plugin, Processor):
            stages.append(plugin)
        else:
            run.append(plugin)
    return [*stages, kind(run)] if run else stages


class Chain(Container):
    """Plugins one after another."""

    def _make_stages(self) -> list[Processor]:
        return as_stages(self._plugins)

    def process_block(self, block: Audio) -> Audio:
        for stage in self._stages:
            if block.shape[1] == 0:
                break
            checkpoint()
            block = stage.feed(block)
        return self._out(block)

    def rest(self) -> Iterator[Audio]:
        """Yield what each member still holds, processed by the members after it."""
        for i, stage in enumerate(self._stages):
            for block in stage.rest():
                for later in self._stages[i + 1 :]:
                    block = later.feed(block) if block.shape[1] else block
                yield self._out(block)

    def _out(self, block: Audio) -> Audio:
        """Return a block that has passed all members, as it leaves the chain."""
        return block

    @property
    def latency_samples(self) -> int:
        """Sum of its members' latencies."""
        return sum(stage.latency_samples for stage in self._stages) if self._spec else 0


class Mix(Container):
    """Plugins in parallel. Each gets the input, and their outputs are added, aligned in time."""

    def prepare(self, spec: Spec) -> None:
        super().prepare(spec)
        self._channels = spec.channels
        self._queues = [Queue(spec.channels) for _ in self._stages]

    def _make_stages(self) -> list[Processor]:
        return [stage for plugin in self._plugins for stage in as_stages([plugin])] or [Chain()]

    def process_block(self, block: Audio) -> Audio:
        for stage, queue in zip(self._stages, self._queues, strict=True):
            queue.put(stage.feed(block))
        return self._sum()

    def rest(self) -> Iterator[Audio]:
        """Yield the sum of what the members still hold."""
        for stage, queue in zip(self._stages, self._queues, strict=True):
            for block in stage.rest():
                queue.put(block)
        yield self._sum()

    def _sum(self) -> Audio:
        ready = min(len(queue) for queue in self._queues)
        total = np.zeros((self._channels, ready), np.float32)
        for queue in self._queues:
            total += queue.take(ready)
        return total

    @property
    def latency_samples(self) -> int:
        """The largest latency of its members."""
        return max((stage.latency_samples for stage in self._stages), default=0) if self._spec else 0


class Pedalboard(Chain):
    """A chain with a dry/wet `mix`, which can be saved to a file and loaded from one.

    Args:
        plugins: processors, native plugins, VST3 plugins, chains and mixes, in order.
        mix: 0 (dry) to 1 (wet). Both are aligned in time.

    Raises:
        TypeError: something in `plugins` is neither a processor nor a pedalboard plugin.
    """

    name: str | None = None
    macros: tuple[Macro, ...] = ()
    PARAMETERS = (Parameter("mix", 0, 1, 1, description="0 is the dry input, 1 the board"),)
    mix: float

    def prepare(self, spec: Spec) -> None:
        super().prepare(spec)
        self._mix = Ramp(self._values["mix"], int(spec.sample_rate * blocks.SMOOTHING_SECONDS))
        self._dry_wet = DryWet(spec.channels)

    def process_block(self, block: Audio) -> Audio:
        self._dry_wet.put(block)
        return super().process_block(block)

    def _out(self, wet: Audio) -> Audio:
        self._mix.aim(self._values["mix"])
        return self._dry_wet.blend(wet, self._mix.next(wet.shape[1]))

    @classmethod
    def from_file(cls, path: str | Path) -> Pedalboard:
        """Load a board from a YAML file; see `neural_fx.boards`.

        Args:
            path: the file.

        Raises:
            BoardError: the file does not fit the schema. Names the line and the field.
        """
        # Imported here, because boards that are made in Python need neither the schema nor YAML.
        from neural_fx.boards import load_board

        return load_board(path)

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Save the board to a YAML file, which `from_file` loads. Paths in it are relative to the file.

        Args:
            path: the file.
            overwrite: whether to replace an existing file.

        Raises:
            BoardError: a board file cannot describe a plugin, or the file exists and `overwrite` is False.
        """
        from neural_fx.boards import save_board

        save_board(self, path, overwrite)
