"""Share plugins between threads, boards and processes: locks, duplicates, and copies of native plugins."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import pedalboard

from neural_fx.impulse import Convolution, response_path
from neural_fx.native_ranges import native_knobs
from neural_fx.processor import Processor

_native_locks: WeakKeyDictionary[pedalboard.Plugin, threading.RLock] = WeakKeyDictionary()
_native_locks_lock = threading.Lock()
_native_users: WeakKeyDictionary[pedalboard.Plugin, object] = WeakKeyDictionary()


class Locks:
    """The locks of several plugins as one context.

    Every thread acquires them in the same order. So two boards that share plugins cannot deadlock.

    Args:
        plugins: whose locks are acquired. A plugin that occurs twice counts once.
    """

    def __init__(self, plugins: Iterable[object]) -> None:
        unique = {id(lock): lock for lock in map(_lock_of, plugins)}
        self._locks = [unique[key] for key in sorted(unique)]

    def __enter__(self) -> Locks:
        for lock in self._locks:
            lock.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        for lock in reversed(self._locks):
            lock.release()


def _lock_of(plugin: object) -> threading.RLock:
    """Return the lock of a plugin. Locks of native plugins are kept in this module."""
    if isinstance(plugin, Processor):
        return plugin._lock
    with _native_locks_lock:
        return _native_locks.setdefault(plugin, threading.RLock())


def everything_in(plugin: object) -> list[Any]:
    """Return a plugin and everything inside it, at any depth. A plugin that occurs twice is listed twice.

    The content of a container that contains itself is listed once.
    """
    found: list[Any] = []
    _collect(plugin, found, set())
    return found


def _collect(plugin: object, found: list[Any], around: set[int]) -> None:
    found.append(plugin)
    if id(plugin) in around or not isinstance(plugin, (Sequence, pedalboard.PluginContainer)):
        return
    for inner in plugin:
        _collect(inner, found, around | {id(plugin)})


def refuse_duplicates(container: Processor) -> None:
    """Raise if a plugin has two places in a container, or in containers inside it.

    Raises:
        RuntimeError: it has two places. They would share one state, and the sound would be wrong.
    """
    seen: set[int] = set()
    for plugin in everything_in(container):
        if id(plugin) in seen:
            raise RuntimeError(
                f"the same plugin is used more than once in this {type(container).__name__}, which would mix up its "
                f"state: {_short_repr(plugin)}; give each place its own, for example copy.deepcopy(plugin)"
            )
        seen.add(id(plugin))


def used_elsewhere(plugin: object) -> RuntimeError:
    """Return the error for a stream whose plugin was used by another board or call in the meantime.

    Args:
        plugin: that was used.
    """
    return RuntimeError(
        f"{_short_repr(plugin)} was used by another board or call in the middle of this stream; give each its own copy "
        "(copy.deepcopy), or call reset() to start again"
    )


class NativeClaims:
    """Records which stream used native plugins last, because pedalboard does not.

    Args:
        plugins: native plugins that one stream uses.
    """

    def __init__(self, plugins: Iterable[pedalboard.Plugin]) -> None:
        self._plugins = list(plugins)
        self._token = object()

    def take(self) -> None:
        """Record that this stream uses them from now on."""
        for plugin in self._plugins:
            _native_users[plugin] = self._token

    def lost(self) -> pedalboard.Plugin | None:
        """Return a plugin that another stream has used in the meantime, or None."""
        return next((plugin for plugin in self._plugins if _native_users.get(plugin) is not self._token), None)


def _short_repr(plugin: object) -> str:
    text = repr(plugin)
    return text if len(text) <= 120 else text[:117] + "..."


# -- copies of native plugins, which pedalboard cannot copy itself ---------------------------------------------------


@dataclass(frozen=True)
class NativeRecipe:
    """Everything that is needed to rebuild a native plugin.

    Attributes:
        kind: its class.
        arguments: of the constructor, by name.
        values: parameters by name.
        state: of a VST3 or Audio Unit, as the plugin itself saves it.
        inside: the plugins in a native chain or mix.
    """

    kind: type[pedalboard.Plugin]
    arguments: dict[str, Any]
    values: dict[str, Any]
    state: bytes | None = None
    inside: tuple[NativeRecipe, ...] | None = None


def freeze(plugin: Any) -> Any:
    """Return a copy of a native plugin's settings, which can be pickled.

    Plugins that can be pickled themselves are returned unchanged.

    Raises:
        TypeError: pedalboard does not show some setting of the plugin. The message says what to do.
    """
    if isinstance(plugin, (Processor, Convolution)):
        return plugin
    kind = type(plugin)
    if isinstance(plugin, pedalboard.PluginContainer):
        return NativeRecipe(kind, {}, {}, inside=tuple(freeze(inner) for inner in plugin))
    if isinstance(plugin, pedalboard.ExternalPlugin):
        return _external_recipe(plugin)
    if isinstance(plugin, pedalboard.Convolution):
        path = response_path(plugin)
        if path is None:
            raise TypeError(
                "a pedalboard.Convolution made from an array cannot be copied, because pedalboard does not report its "
                "sample rate; use neural_fx.Convolution"
            )
        return NativeRecipe(kind, {"impulse_response_filename": str(path)}, {"mix": float(plugin.mix)})
    return NativeRecipe(kind, {}, {name: getattr(plugin, name) for name in native_knobs(kind)})


def _external_recipe(plugin: pedalboard.ExternalPlugin) -> NativeRecipe:
    known = vars(plugin)
    if not known.get("path_to_plugin_file"):
        raise TypeError(
            f"{plugin!r} cannot be copied: pedalboard does not report its file; load it from a board, or set its "
            "path_to_plugin_file"
        )
    names = ("path_to_plugin_file", "name_in_plugin_file")
    return NativeRecipe(type(plugin), {name: known.get(name) for name in names}, {}, bytes(plugin.raw_state))


def thaw(recipe: Any) -> Any:
    """Return the plugin for what `freeze` returned.

    Args:
        recipe: a `NativeRecipe`, or a plugin, which is returned unchanged.
    """
    if not isinstance(recipe, NativeRecipe):
        return recipe
    if recipe.inside is not None:
        return recipe.kind([thaw(inner) for inner in recipe.inside])
    if recipe.state is not None:
        path, name = recipe.arguments["path_to_plugin_file"], recipe.arguments["name_in_plugin_file"]
        plugin = pedalboard.load_plugin(path, plugin_name=name)
        plugin.path_to_plugin_file = path
        plugin.name_in_plugin_file = name
        plugin.raw_state = recipe.state
        return plugin
    plugin = recipe.kind(**recipe.arguments)
    for name, value in recipe.values.items():
        setattr(plugin, name, value)
    return plugin
