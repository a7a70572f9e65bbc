"""Board files: YAML, one schema, errors with line and field, and a round trip.

board: 1                      # version of the format
name: Lead
mix: 1.0                      # dry to wet, 0..1
slots:
  - pedal: klon-gain-stage    # a bundled pedal
    set: {output_gain_db: -3}
  - model: amps/jcm.nam       # any capture; relative to this file
    level: normalized         # raw (default), normalized, calibrated; for pedals, too, but for calibrated
    oversample: 4             # 1 (default), 2, 4 or 8, against aliasing; pedals, too
    name: amp
  - ir: cabs/celestion.wav    # an impulse response
    mix: 1.0
  - plugin: Reverb            # any native pedalboard plugin, with its keywords
    set: {room_size: 0.3}
  - vst3: /path/to/Plugin.vst3
    set: {threshold: 0.4}     # raw values, 0..1
  - chain: [...]              # slots in series, as one
  - parallel: [...]           # slots side by side, added
macros:                       # knobs of the whole board, eight at most: see `neural_fx.macros`
  - {name: Gain, to: amp/input_gain_db, min: -6, max: 12}
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NoReturn, get_args

import pedalboard
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, model_validator

from neural_fx.errors import BoardError, ModelError, NeuralFXError, ParameterError, reason
from neural_fx.files import replacing, same_file
from neural_fx.foreign import Rules, stored_values
from neural_fx.impulse import Convolution, response_path
from neural_fx.inputs import content_problem, read_bytes
from neural_fx.interruption import checkpoint
from neural_fx.macros import MOST_MACROS, Macro, Target
from neural_fx.neural import NeuralProcessor, load
from neural_fx.outputs import board_files
from neural_fx.parameters import Parameter, unknown_parameter
from neural_fx.pedalboard import Chain, Container, Mix, Pedalboard, Plugin
from neural_fx.processor import Processor
from neural_fx.schema import EmptyList, EmptyMapping, Number, Setting, field_problem
from neural_fx.slots import find_slot, native_knobs, native_value, parameter_table, parameter_values
from neural_fx.values import is_finite_number, shown, suggestion
from neural_fx.yaml_text import YamlError, read_yaml, write_yaml

MAX_BYTES = 2**20
MAX_DEPTH = 16


def path_text(value: object) -> str:
    """Accept text, also with bytes that are not UTF-8, which pydantic's own strings refuse."""
    if not isinstance(value, str):
        raise ValueError("Input should be a valid string")
    return value.strip()


@dataclass(frozen=True)
class NamesFile:
    """Marks the fields of a slot that name files, so that boards from elsewhere are held to their folders.

    Attributes:
        bundled: returns the names that stand for something that comes with the package, and not for a file.
    """

    bundled: Callable[[], Sequence[str]] = tuple


FileName = Annotated[str, PlainValidator(path_text), NamesFile()]
"""The name of a file in a board."""


def _timbres() -> tuple[str, ...]:
    from neural_fx.timbre.library import TIMBRES

    return TIMBRES


TimbreName = Annotated[str, PlainValidator(path_text), NamesFile(_timbres)]
"""The name of a bundled timbre or of a timbre file in a board."""


class Strict(BaseModel):
    """A part of a board file; unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Slot(Strict):
    """What every slot may say.

    Attributes:
        NATIVE: whether it loads native code of somebody else.
    """

    NATIVE: ClassVar[bool] = False

    name: str | None = Field(None, pattern=r"^[^\s./*?\[\]{},#]+$", max_length=64)
    set: Annotated[dict[str, Setting], EmptyMapping] = {}

    @classmethod
    def file_fields(cls) -> dict[str, NamesFile]:
        """Return the fields that name files: those of the types `FileName` and `TimbreName`."""
        marks = {name: [*info.metadata, *_marks(info.annotation)] for name, info in cls.model_fields.items()}
        return {name: mark for name, found in marks.items() for mark in found if isinstance(mark, NamesFile)}


def _marks(annotation: Any) -> Iterator[object]:
    """Yield what the parts of a type are annotated with."""
    yield from getattr(annotation, "__metadata__", ())
    for part in get_args(annotation):
        yield from _marks(part)


class _PedalSlot(Slot):
    pedal: str
    oversample: Literal[1, 2, 4, 8] = 1
    level: Literal["raw", "normalized"] = "raw"


class _ModelSlot(Slot):
    model: FileName
    oversample: Literal[1, 2, 4, 8] = 1
    level: Literal["raw", "normalized", "calibrated"] = "raw"
    interface_dbu: Number = 12.0


class _IrSlot(Slot):
    ir: FileName
    mix: Number = Field(1.0, ge=0, le=1)


class _TimbreSlot(Slot):
    timbre: TimbreName
    morph_to: TimbreName | None = None


class _PluginSlot(Slot):
    plugin: str


class _Vst3Slot(Slot):
    NATIVE = True

    vst3: FileName
    plugin_name: str | None = None


class _ChainSlot(Slot):
    chain: list[Any]


class _ParallelSlot(Slot):
    parallel: list[Any]


class _Target(Strict):
    parameter: str
    min: Number | None = None
    max: Number | None = None


class _Macro(Strict):
    name: str = Field(min_length=1, max_length=32)
    to: list[_Target] = Field(min_length=1)
    min: Number | None = None
    max: Number | None = None

    @model_validator(mode="before")
    @classmethod
    def _targets(cls, value: Any) -> Any:
        """Write every target as a mapping; one that is text has the macro's own limits."""
        to = value.get("to") if isinstance(value, dict) else None
        if not isinstance(to, (str, list)):
            return value
        limits = {name: value[name] for name in ("min", "max") if is_finite_number(value.get(name))}
        targets = [to] if isinstance(to, str) else to
        return {**value, "to": [{"parameter": t, **limits} if isinstance(t, str) else t for t in targets]}


class _Board(Strict):
    board: Literal[1] = 1
    name: str | None = None
    mix: Number = Field(1.0, ge=0, le=1)
    slots: Annotated[list[Any], EmptyList]
    macros: Annotated[list[Any], EmptyList] = Field([], max_length=MOST_MACROS)


_SLOTS: dict[str, type[Slot]] = {
    "pedal": _PedalSlot,
    "model": _ModelSlot,
    "timbre": _TimbreSlot,
    "ir": _IrSlot,
    "plugin": _PluginSlot,
    "vst3": _Vst3Slot,
    "chain": _ChainSlot,
    "parallel": _ParallelSlot,
}


_COMMON = tuple(Slot.model_fields)


_LONGEST_KEY = 64
"""Characters of a field's name that an error quotes."""


def _short(key: str) -> str:
    return key if len(key) <= _LONGEST_KEY else key[: _LONGEST_KEY - 3] + "..."


@dataclass
class _Source:
    """A board file while it is read: where it is, and on which line every field stands.

    `stored` counts the numbers in the plugins that are built, for `Rules.check_size`.
    """

    path: Path
    lines: dict[tuple[str | int, ...], int] = field(default_factory=dict)
    rules: Rules | None = None
    stored: int = 0

    def fail(self, where: tuple[str | int, ...], problem: str) -> NoReturn:
        known = where
        while known and known not in self.lines:
            known = known[:-1]
        spelled = "".join(f"[{p}]" if isinstance(p, int) else f".{_short(p)}" for p in where).lstrip(".")
        line = f"line {self.lines.get(known, 1)}"
        raise BoardError(": ".join(part for part in (f"{self.path}, {line}", spelled, problem) if part))

    def validate(self, model: type[BaseModel], value: object, where: tuple[str | int, ...]) -> Any:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            place, problem = field_problem(error, model)
            self.fail((*where, *place), problem)


@dataclass(frozen=True)
class _Planned:
    """A slot that fits the schema, before its plugin is built."""

    kind: str
    slot: Slot
    place: tuple[str | int, ...]
    inside: tuple[_Planned, ...] = ()


@dataclass(frozen=True)
class BoardPlan:
    """A board file that fits the schema. Nothing of it is built yet, and of its files nothing is read.

    Attributes:
        files: those that a board from elsewhere names, without links.
    """

    files: tuple[Path, ...]
    _source: _Source
    _board: _Board
    _slots: tuple[_Planned, ...]
    _macros: tuple[_Macro, ...]

    def build(self) -> Pedalboard:
        """Return the board.

        Raises:
            BoardError: a slot cannot be filled, or the board is larger than its rules allow.
        """
        result = Pedalboard(mix=self._board.mix)
        result.name = self._board.name
        self._source.stored = 0
        _fill(result, self._slots, self._source)
        table = parameter_table(result)
        if self._source.rules is not None and len(table) > self._source.rules.most_parameters:
            most = self._source.rules.most_parameters
            self._source.fail(("slots",), f"{len(table)} parameters; a board from the network may have {most}")
        macros = enumerate(self._macros)
        result.macros = tuple(_macro(result, found, self._source, ("macros", i)) for i, found in macros)
        return result


def load_board(path: str | Path, text: bytes | None = None, rules: Rules | None = None) -> Pedalboard:
    """The board in a YAML file.

    Args:
        path: the file; paths in it are relative to its folder.
        text: what to read instead of its content.
        rules: what it may use, for boards that come from elsewhere; None for anything.

    Raises:
        BoardError: the file does not fit the schema, or a slot cannot be filled; names the line and the field.
    """
    return plan_board(path, text, rules).build()


def plan_board(path: str | Path, text: bytes | None = None, rules: Rules | None = None) -> BoardPlan:
    """Read a board file without building the board.

    Args:
        path, text, rules: as for `load_board`.

    Raises:
        BoardError: the file does not fit the schema, or names something that it may not use.
    """
    path = Path(path)
    most = MAX_BYTES if rules is None else rules.most_bytes
    if text is None:
        text = read_bytes(path, most, BoardError, "a board")
    source = _Source(path, rules=rules)
    problem = content_problem(text[:256])
    if problem is not None:
        source.fail((), problem)
    value = _parse(text, source, most)
    if not isinstance(value, dict):
        source.fail((), "expected a board: a mapping with `slots`")
    board: _Board = source.validate(_Board, value, ())
    files: list[Path] = []
    slots = _plan(board.slots, source, ("slots",), files)
    if rules is not None and _count(slots) > rules.most_slots:
        source.fail(("slots",), f"{_count(slots)} slots; a board from the network may have {rules.most_slots}")
    macros = tuple(_planned_macro(raw, source, ("macros", i)) for i, raw in enumerate(board.macros))
    return BoardPlan(tuple(files), source, board, slots, macros)


def _count(slots: tuple[_Planned, ...]) -> int:
    return sum(1 + _count(slot.inside) for slot in slots)


def _planned_macro(raw: object, source: _Source, place: tuple[str | int, ...]) -> _Macro:
    found: _Macro = source.validate(_Macro, raw, place)
    if source.rules is not None and len(found.to) > source.rules.most_targets:
        most = source.rules.most_targets
        source.fail((*place, "to"), f"{len(found.to)} parameters; a macro of a board from the network may have {most}")
    return found


def _macro(board: Pedalboard, found: _Macro, source: _Source, place: tuple[str | int, ...]) -> Macro:
    targets = []
    for target in found.to:
        targets.append(Target(target.parameter, target.min, target.max))
    macro = Macro(found.name, tuple(targets))
    try:
        macro.values(parameter_table(board), 0.0)
        macro.position(parameter_table(board), lambda address: _value_at(board, address))
    except ParameterError as error:
        source.fail((*place, "to"), str(error))
    return macro


def _value_at(board: Pedalboard, address: str) -> object:
    """Return the value of a parameter by its address in `parameter_table`."""
    slot, _, name = address.rpartition("/")
    return parameter_values(find_slot(board, slot))[name] if slot else getattr(board, name)


def _parse(data: bytes, source: _Source, most: int) -> object:
    """Return plain YAML data of at most so many bytes; the line of every field goes into `source`."""
    if len(data) > most:
        limit = f"{most // 2**20} MB" if most >= 2**20 else f"{most // 2**10} KB"
        source.fail((), f"is over {limit}, too large for a board" + (" from the network" if source.rules else ""))
    try:
        document = read_yaml(data)
    except YamlError as error:
        source.lines[error.place] = error.line
        if error.place:
            source.fail(error.place, error.problem)
        line = f", line {error.line}" if error.line else ""
        raise BoardError(f"{source.path}{line}: {error.problem}") from None
    if document.value is None:
        source.fail((), "is empty")
    source.lines.update(document.lines)
    return document.value


def _plan(slots: list[Any], source: _Source, where: tuple[str | int, ...], files: list[Path]) -> tuple[_Planned, ...]:
    """Return the slots of a list as far as the file alone decides; the files that they name are added to `files`."""
    if len(where) > 2 * MAX_DEPTH:
        source.fail(where, f"slots nested more than {MAX_DEPTH} deep")
    names: set[str] = set()
    planned = []
    for i, raw in enumerate(slots):
        checkpoint()
        place = (*where, i)
        kind = _kind(raw, source, place)
        slot: Slot = source.validate(_SLOTS[kind], raw, place)
        if source.rules is not None:
            slot = _located(slot, source, source.rules, place, files)
        if slot.name is not None:
            if slot.name == "macro":
                source.fail((*place, "name"), "'macro' is how the board's own knobs are called; choose another name")
            if slot.name in names:
                source.fail((*place, "name"), f"another slot is called {slot.name!r} already")
            names.add(slot.name)
        if isinstance(slot, _PluginSlot):
            _plugin_values(slot, source, place)
        inner = getattr(slot, kind) if kind in _CONTAINERS else []
        planned.append(_Planned(kind, slot, place, _plan(inner, source, (*place, kind), files) if inner else ()))
    return tuple(planned)


def _kind(raw: object, source: _Source, place: tuple[str | int, ...]) -> str:
    kinds = [k for k in _SLOTS if isinstance(raw, dict) and k in raw]
    if len(kinds) != 1:
        more = "; `import instruments` adds instrument" if "instrument" not in _SLOTS else ""
        unknown = [str(k) for k in raw if k not in _COMMON] if isinstance(raw, dict) and not kinds else []
        hint = next(filter(None, (suggestion(key, _SLOTS) for key in unknown)), "")
        source.fail(place, f"expected a slot with one of: {', '.join(_SLOTS)}{more}{hint}")
    return kinds[0]


def _located(slot: Slot, source: _Source, rules: Rules, place: tuple[str | int, ...], files: list[Path]) -> Slot:
    """Return a slot of a board from elsewhere, with the files that it names in place of their names."""
    if slot.name is not None and not slot.name.isprintable():
        source.fail((*place, "name"), "has characters that cannot be printed")
    if slot.NATIVE and not rules.plugins:
        source.fail(
            place,
            "plugins are native code; a board from the network may use them only if the worker was started with "
            "--allow-plugins, and none outside the folders that this board may use",
        )
    found: dict[str, str] = {}
    for name, mark in slot.file_fields().items():
        value = getattr(slot, name)
        bundled = mark.bundled()
        if value is None or value in bundled:
            continue
        file = rules.locate(value, source.path.parent, slot.NATIVE)
        if file is None:
            plain = [known for known in bundled if ":" not in known]
            hint = f"{suggestion(value, plain)}; bundled: {', '.join(plain)}" if bundled else ""
            problem = "no such file, or it is outside the folders that this board may use"
            source.fail((*place, name), f"{shown(value)}: {problem}{hint}")
        files.append(file)
        found[name] = str(file)
    return slot.model_copy(update=found)


def _fill(container: Container, slots: tuple[_Planned, ...], source: _Source) -> None:
    """Build the plugins of some slots into a container."""
    for planned in slots:
        checkpoint()
        plugin = _built(planned, source)
        if source.rules is not None:
            source.stored += stored_values(plugin)
            try:
                source.rules.check_size(source.stored)
            except BoardError as error:
                source.fail(planned.place, str(error))
        container.append(plugin)
        if isinstance(plugin, Container):
            _fill(plugin, planned.inside, source)
        if planned.slot.name is not None:
            container.name_slot(plugin, planned.slot.name)


def _built(planned: _Planned, source: _Source) -> Plugin:
    """Return the plugin of a slot, a container still empty."""
    if planned.kind in _CONTAINERS:
        return _CONTAINERS[planned.kind]()
    return _FILLERS[planned.kind](planned.slot, source, planned.place)


def _placed(text: str, folder: Path) -> Path:
    """Return the absolute path of a file that a board names: the working directory may change later."""
    path = Path(os.path.expanduser(text))
    return path if path.is_absolute() else folder.absolute() / path


def _file(text: str, source: _Source) -> Path:
    return _placed(text, source.path.parent)


def _settings(slot: Slot, processor: Processor, source: _Source, place: tuple[str | int, ...]) -> Processor:
    for name, value in slot.set.items():
        try:
            processor.set_parameter(name, value)
        except NeuralFXError as error:
            source.fail((*place, "set", name), str(error))
    return processor


def _pedal(slot: _PedalSlot, source: _Source, place: tuple[str | int, ...]) -> Plugin:
    from neural_fx.pedals import make_pedal

    try:
        processor = make_pedal(slot.pedal, slot.level, slot.oversample)
    except NeuralFXError as error:
        source.fail((*place, "pedal"), str(error))
    return _settings(slot, processor, source, place)


def _model(slot: _ModelSlot, source: _Source, place: tuple[str | int, ...]) -> Plugin:
    try:
        processor = load(
            _file(slot.model, source), level=slot.level, interface_dbu=slot.interface_dbu, oversample=slot.oversample
        )
    except ModelError as error:
        source.fail((*place, "model"), str(error))
    return _settings(slot, processor, source, place)


def _timbre(slot: _TimbreSlot, source: _Source, place: tuple[str | int, ...]) -> Plugin:
    from neural_fx.timbre import TimbreTransfer
    from neural_fx.timbre.library import timbre_in

    timbre, morph_to = (timbre_in(name, source.path.parent) for name in (slot.timbre, slot.morph_to))
    try:
        processor = TimbreTransfer(timbre or "", morph_to=morph_to)
    except NeuralFXError as error:
        source.fail((*place, "timbre"), str(error))
    return _settings(slot, processor, source, place)


def _ir(slot: _IrSlot, source: _Source, place: tuple[str | int, ...]) -> Plugin:
    if slot.set:
        source.fail((*place, "set"), "an impulse response has no parameters but mix")
    try:
        return Convolution(_file(slot.ir, source), slot.mix)
    except NeuralFXError as error:
        source.fail((*place, "ir"), str(error))


def native_plugins() -> dict[str, type[pedalboard.Plugin]]:
    """pedalboard's own effects by class name."""
    classes = {n: getattr(pedalboard, n) for n in dir(pedalboard)}
    skip = ("Plugin", "PluginContainer", "ExternalPlugin", "VST3Plugin", "AudioUnitPlugin", "Pedalboard", "Convolution")
    return {
        n: c
        for n, c in classes.items()
        if isinstance(c, type)
        and issubclass(c, pedalboard.Plugin)
        and not n.startswith("_")
        and n not in skip + ("Chain", "Mix", "IIRFilter")
    }


def _plugin_values(slot: _PluginSlot, source: _Source, place: tuple[str | int, ...]) -> dict[str, Any]:
    """Return the keywords of a native plugin for its class."""
    known = native_plugins()
    if slot.plugin not in known:
        hint = suggestion(slot.plugin, known)
        source.fail((*place, "plugin"), f"unknown plugin {shown(slot.plugin)}{hint}; known: {', '.join(known)}")
    kind = known[slot.plugin]
    values = {}
    for name, value in slot.set.items():
        if name not in native_knobs(kind):
            source.fail((*place, "set", name), str(unknown_parameter(slot.plugin, name, native_knobs(kind))))
        try:
            values[name] = native_value(kind, name, value)
        except ParameterError as error:
            source.fail((*place, "set", name), str(error))
    return values


def _plugin(slot: _PluginSlot, source: _Source, place: tuple[str | int, ...]) -> Plugin:
    values = _plugin_values(slot, source, place)
    try:
        return native_plugins()[slot.plugin](**values)
    except Exception as error:  # pybind raises several kinds for values it refuses
        source.fail((*place, "set"), " ".join(str(error).split())[:200])


def _vst3(slot: _Vst3Slot, source: _Source, place: tuple[str | int, ...]) -> Plugin:
    path = _file(slot.vst3, source)
    if not os.path.exists(path):
        source.fail((*place, "vst3"), f"{path}: no such plugin")
    try:
        plugin = pedalboard.load_plugin(str(path), plugin_name=slot.plugin_name)
    except Exception as error:  # a host raises whatever a plugin makes it raise
        source.fail((*place, "vst3"), " ".join(str(error).split())[:300])
    plugin.path_to_plugin_file = str(path)  # pedalboard does not keep it, and saving needs it
    plugin.name_in_plugin_file = slot.plugin_name
    for name, value in slot.set.items():
        if name not in plugin.parameters:
            source.fail((*place, "set", name), str(unknown_parameter(plugin.name, name, list(plugin.parameters))))
        try:
            plugin.parameters[name].raw_value = Parameter(name, 0, 1, 0).check(value)
        except ParameterError:
            source.fail((*place, "set", name), f"expected a raw value from 0 to 1, found {shown(value)}")
    return plugin


_CONTAINERS: dict[str, type[Container]] = {"chain": Chain, "parallel": Mix}
"""Slots with slots inside."""

_FILLERS: dict[str, Callable[[Any, _Source, tuple[str | int, ...]], Plugin]] = {
    "pedal": _pedal,
    "model": _model,
    "timbre": _timbre,
    "ir": _ir,
    "plugin": _plugin,
    "vst3": _vst3,
}


Fill = Callable[[Any, Path], Plugin]
Describe = Callable[[Plugin, Path], dict[str, Any] | None]
_describers: list[Describe] = []


def add_slot(kind: str, model: type[Slot], fill: Fill, describe: Describe) -> None:
    """Teach board files another kind of slot, as the package `instruments` does.

    Args:
        kind: the field that the slot is known by.
        model: its fields. Those that name files are of the type `FileName` or `TimbreName`.
        fill: the plugin for a slot, and the folder that paths are relative to; a `NeuralFXError` that it raises
            becomes a `BoardError` with file and line.
        describe: the slot for a plugin, without ``set``, its paths relative to a folder; None for another kind.
    """

    def filler(slot: Any, source: _Source, place: tuple[str | int, ...]) -> Plugin:
        try:
            plugin = fill(slot, source.path.parent)
        except NeuralFXError as error:
            source.fail((*place, kind), str(error))
        return _settings(slot, plugin, source, place) if isinstance(plugin, Processor) else plugin

    _SLOTS[kind], _FILLERS[kind] = model, filler
    _describers.append(describe)


# -- saving ------------------------------------------------------------------------------------------------------


def save_board(board: Pedalboard, path: str | Path, overwrite: bool = False) -> None:
    """Write a board to a YAML file; model and impulse response paths become relative to it where they can.

    Raises:
        BoardError: a plugin that a file cannot name; the file exists and `overwrite` is False; the board uses the
            file; or it cannot be written.
    """
    path = Path(path)
    if os.path.lexists(path) and not overwrite:
        raise BoardError(f"{path}: exists already; say overwrite to replace it")
    for used in board_files(board):
        if same_file(path, used):
            raise BoardError(f"{path}: is a file that the board itself uses; choose another name")
    text = board_text(board, path.parent)
    try:
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BoardError(f"{path}: cannot be written: {reason(error)}") from None


def board_text(board: Pedalboard, folder: Path) -> str:
    """The board as the YAML of a file in a folder.

    Raises:
        BoardError: a plugin that a file cannot name.
    """
    document: dict[str, Any] = {"board": 1}
    if board.name:
        document["name"] = board.name
    if board.mix != 1:
        document["mix"] = board.mix
    document["slots"] = _slots(board, folder)
    if board.macros:
        document["macros"] = [_macro_field(macro) for macro in board.macros]
    return write_yaml(document)


def _macro_field(macro: Macro) -> dict[str, Any]:
    targets = []
    for target in macro.targets:
        limits = {"min": target.minimum, "max": target.maximum}
        targets.append({"parameter": target.address, **{k: v for k, v in limits.items() if v is not None}})
    return {"name": macro.name, "to": [t["parameter"] if len(t) == 1 else t for t in targets]}


def _slots(container: Container, folder: Path) -> list[dict[str, Any]]:
    slots = []
    for plugin in container:
        slot = _describe(plugin, folder)
        name = container.given_name(plugin)
        slots.append({**slot, "name": name} if name else slot)
    return slots


def relative(path: str | Path, folder: Path) -> str:
    """Return a path as a board file in a folder writes it.

    Both folders are taken without links, because `..` after a link leads elsewhere. The file's own name is kept.
    """
    path = Path(path).absolute()
    try:
        return Path(
            os.path.relpath(os.path.realpath(path.parent) + os.sep + path.name, os.path.realpath(folder))
        ).as_posix()
    except ValueError:  # another drive
        return str(path)


def _describe(plugin: Plugin, folder: Path) -> dict[str, Any]:
    """The slot that `load_board` makes this plugin from."""
    from neural_fx.pedals import Pedal
    from neural_fx.timbre import TimbreTransfer

    if isinstance(plugin, Processor):
        changed = {n: v for n, v in parameter_values(plugin).items() if v != plugin.parameters[n].default}
        settings: dict[str, Any] = {"set": changed} if changed else {}
        for describe in _describers:
            if (found := describe(plugin, folder)) is not None:
                return {**found, **settings}
        if isinstance(plugin, NeuralProcessor) and plugin.oversample > 1:
            settings = {"oversample": plugin.oversample, **settings}
        if isinstance(plugin, Pedal):
            level = {"level": plugin.output_level} if plugin.output_level != "raw" else {}
            return {"pedal": plugin.SLUG, **level, **settings}
        if isinstance(plugin, TimbreTransfer):
            names = [name if isinstance(name, str) else relative(name, folder) for name in plugin.sources]
            return {"timbre": names[0], **({"morph_to": names[1]} if len(names) > 1 else {}), **settings}
        if isinstance(plugin, NeuralProcessor) and plugin.capture.path:
            level = {"level": plugin.output_level} if plugin.output_level != "raw" else {}
            dbu = {"interface_dbu": plugin.interface_dbu} if plugin.output_level == "calibrated" else {}
            return {"model": relative(plugin.capture.path, folder), **level, **dbu, **settings}
        if type(plugin) in (Chain, Mix) and isinstance(plugin, Container):
            return {"chain" if type(plugin) is Chain else "parallel": _slots(plugin, folder)}
    elif isinstance(plugin, pedalboard.Convolution):
        response = response_path(plugin)
        if response is not None:
            mix = {"mix": round(float(plugin.mix), 7)} if plugin.mix != 1 else {}
            return {"ir": relative(response, folder), **mix}
        raise BoardError(
            "a convolution with an array cannot be written to a board file; "
            "write the response to an audio file and use neural_fx.Convolution(file)"
        )
    elif isinstance(plugin, pedalboard.ExternalPlugin):
        location = vars(plugin).get("path_to_plugin_file")
        if location:
            name = (
                {"plugin_name": vars(plugin)["name_in_plugin_file"]} if vars(plugin).get("name_in_plugin_file") else {}
            )
            return {"vst3": relative(location, folder), **name, "set": parameter_values(plugin)}
        raise BoardError(f"{plugin!r} does not know its file; load it from a board, or set its path_to_plugin_file")
    elif type(plugin).__name__ in native_plugins():
        values = parameter_values(plugin)
        return {"plugin": type(plugin).__name__, **({"set": values} if values else {})}
    raise BoardError(f"{plugin!r} cannot be written to a board file")
