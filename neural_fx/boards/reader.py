"""Read board files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neural_fx.boards.plan import BoardPlan, SlotPlan
from neural_fx.boards.registry import SLOTS, FieldError, SlotKind
from neural_fx.boards.schema import BoardFields, MacroFields, Slot
from neural_fx.boards.source import Place, Source
from neural_fx.errors import BoardError
from neural_fx.foreign import Rules
from neural_fx.inputs import content_problem, read_bytes
from neural_fx.interruption import checkpoint
from neural_fx.pedalboard import Pedalboard
from neural_fx.values import shown, suggestion
from neural_fx.yaml_text import YamlError, read_yaml

MAX_BYTES = 2**20
MAX_DEPTH = 16

_COMMON = tuple(Slot.model_fields)
"""Fields of every slot."""


def load_board(path: str | Path, text: bytes | None = None, rules: Rules | None = None) -> Pedalboard:
    """Load a board from a YAML file.

    Args:
        path: the file. Paths in it are relative to its folder.
        text: what to read instead of its content.
        rules: what it may use, for boards from the network; None for anything.

    Raises:
        BoardError: the file does not fit the schema, or a slot cannot be filled. Names the line and the field.
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
    source = Source(path, rules=rules)
    problem = content_problem(text[:256])
    if problem is not None:
        source.fail((), problem)
    value = _parse(text, source, most)
    if not isinstance(value, dict):
        source.fail((), "expected a board: a mapping with `slots`")
    board = source.validate(BoardFields, value, ())
    files: list[Path] = []
    slots = _plan(board.slots, source, ("slots",), files)
    if rules is not None and _count(slots) > rules.most_slots:
        source.fail(("slots",), f"{_count(slots)} slots; a board from the network may have {rules.most_slots}")
    macros = tuple(_planned_macro(raw, source, ("macros", i)) for i, raw in enumerate(board.macros))
    return BoardPlan(tuple(files), source, board, slots, macros)


def _count(slots: Iterable[SlotPlan]) -> int:
    return sum(1 + _count(slot.inside) for slot in slots)


def _planned_macro(raw: object, source: Source, place: Place) -> MacroFields:
    found = source.validate(MacroFields, raw, place)
    if source.rules is not None and len(found.to) > source.rules.most_targets:
        most = source.rules.most_targets
        source.fail((*place, "to"), f"{len(found.to)} parameters; a macro of a board from the network may have {most}")
    return found


def _parse(data: bytes, source: Source, most: int) -> object:
    """Return plain YAML data of at most so many bytes. The line of every field goes into `source`."""
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


def _plan(slots: list[Any], source: Source, where: Place, files: list[Path]) -> tuple[SlotPlan, ...]:
    """Return the slots of a list as far as the file alone decides. The files that they name are added to `files`."""
    if len(where) > 2 * MAX_DEPTH:
        source.fail(where, f"slots nested more than {MAX_DEPTH} deep")
    names: set[str] = set()
    planned = []
    for i, raw in enumerate(slots):
        checkpoint()
        place = (*where, i)
        kind = _kind(raw, source, place)
        slot = source.validate(kind.model, raw, place)
        if source.rules is not None:
            slot = _located(kind, slot, source, source.rules, place, files)
        if slot.name is not None:
            if slot.name == "macro":
                source.fail((*place, "name"), "'macro' is how the board's own knobs are called; choose another name")
            if slot.name in names:
                source.fail((*place, "name"), f"another slot is called {slot.name!r} already")
            names.add(slot.name)
        try:
            kind.check(slot)
        except FieldError as error:
            source.fail((*place, *error.field), str(error))
        inner = getattr(slot, kind.name) if kind.container else []
        planned.append(SlotPlan(kind, slot, place, _plan(inner, source, (*place, kind.name), files) if inner else ()))
    return tuple(planned)


def _kind(raw: object, source: Source, place: Place) -> SlotKind:
    known = SLOTS.names()
    found = [name for name in known if isinstance(raw, dict) and name in raw]
    if len(found) != 1:
        unknown = [str(k) for k in raw if k not in _COMMON] if isinstance(raw, dict) and not found else []
        hint = next(filter(None, (suggestion(key, known) for key in unknown)), "")
        source.fail(place, f"expected a slot with one of: {', '.join(known)}{hint}")
    return SLOTS[found[0]]


def _located(kind: SlotKind, slot: Slot, source: Source, rules: Rules, place: Place, files: list[Path]) -> Slot:
    """Return a slot of a board from the network, with the files that it names in place of their names."""
    if slot.name is not None and not slot.name.isprintable():
        source.fail((*place, "name"), "has characters that cannot be printed")
    if kind.native and not rules.plugins:
        source.fail(
            place,
            f"a {kind.name} slot runs code of other people; a board from the network may have one only if the worker "
            "was started with --allow-plugins, and no file outside the folders that this board may use",
        )
    found: dict[str, str] = {}
    for name, mark in slot.file_fields().items():
        value = getattr(slot, name)
        bundled = mark.bundled()
        if value is None or value in bundled:
            continue
        file = rules.locate(value, source.folder, kind.native)
        if file is None:
            plain = [known for known in bundled if ":" not in known]
            hint = f"{suggestion(value, plain)}; bundled: {', '.join(plain)}" if bundled else ""
            problem = "no such file, or it is outside the folders that this board may use"
            source.fail((*place, name), f"{shown(value)}: {problem}{hint}")
        files.append(file)
        found[name] = str(file)
    return slot.model_copy(update=found)
