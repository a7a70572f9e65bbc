"""Slots with slots inside: `- chain: [...]` and `- parallel: [...]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neural_fx.boards.registry import SlotKind
from neural_fx.boards.schema import Slot
from neural_fx.boards.writer import slot_list
from neural_fx.pedalboard import Chain, Mix, Plugin


class ChainSlot(Slot):
    """Slots in series, as one."""

    chain: list[Any]


class ParallelSlot(Slot):
    """Slots side by side, added."""

    parallel: list[Any]


def _fill_chain(slot: ChainSlot, folder: Path) -> Plugin:
    return Chain()


def _fill_parallel(slot: ParallelSlot, folder: Path) -> Plugin:
    return Mix()


def _describe_chain(plugin: Plugin, folder: Path) -> dict[str, Any] | None:
    return {"chain": slot_list(plugin, folder)} if type(plugin) is Chain else None


def _describe_parallel(plugin: Plugin, folder: Path) -> dict[str, Any] | None:
    return {"parallel": slot_list(plugin, folder)} if type(plugin) is Mix else None


CHAIN = SlotKind("chain", ChainSlot, _fill_chain, _describe_chain, container=True)
PARALLEL = SlotKind("parallel", ParallelSlot, _fill_parallel, _describe_parallel, container=True)
