"""Settings files: read YAML into a dataclass, with --set key=value overrides, and refuse wrong names and types."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.atomic import write_text

SettingsType = TypeVar("SettingsType")

_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_PLURALS = {int: "whole numbers", float: "numbers", bool: "true or false", str: "texts"}


class BadSettingsFile(GazeVlmError):
    """A settings file or an override cannot be used."""


def load_settings_file(
    kind: type[SettingsType],
    paths: Sequence[Path],
    overrides: Sequence[str] = (),
    *,
    error: type[GazeVlmError] = BadSettingsFile,
    example: str,
) -> SettingsType:
    """Return a `kind` (a dataclass) filled from YAML files and `key=value` overrides; later ones win.

    paths: YAML mappings from field name to value; an empty file counts as an empty mapping.
    overrides: arguments of --set, values in YAML.
    error: class to raise. example: a file that works, named where a file cannot be read.
    Raises `error`, in one line, for a file that cannot be read or is not a YAML mapping, an unknown name, a value of
    the wrong type, and a missing value for a field without a default.
    """
    layers = [(str(path), read_settings_mapping(path, error=error, example=example)) for path in paths]
    layers.append(("--set", _parse_overrides(overrides, error)))
    values: dict[str, Any] = {}
    for source, layer in layers:
        values |= _checked(kind, layer, "", source, error)
    return _built(kind, values, "", str(paths[-1]) if paths else "--set", error)


def settings_from_values(
    kind: type[SettingsType], values: Mapping[str, Any], source: str, *, error: type[GazeVlmError] = BadSettingsFile
) -> SettingsType:
    """Return a `kind` (a dataclass) built from plain values, each checked against its field's type.

    source: named at the start of error messages. Raises `error` as load_settings_file does.
    """
    return _built(kind, _checked(kind, values, "", source, error), "", source, error)


def save_settings_file(settings: Any, path: Path) -> None:
    """Write all fields of a dataclass as YAML that load_settings_file reads back to an equal one, defaults included."""
    write_text(path, yaml.safe_dump(_plain(dataclasses.asdict(settings)), sort_keys=False, allow_unicode=True))


def read_settings_mapping(path: Path, *, error: type[GazeVlmError] = BadSettingsFile, example: str) -> dict[Any, Any]:
    """Return the plain values in a YAML file, names and types unchecked. Raises `error` as load_settings_file does."""
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise error(f"no settings from {path}: {problem.strerror}; {example} is an example") from None
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise error(f"{path} is not YAML: {' '.join(str(problem).split())}") from None
    if not isinstance(loaded, dict | None):
        raise error(f"{path} holds {type(loaded).__name__}, expected lines of key: value")
    return loaded or {}


def _plain(value: Any) -> Any:
    """Return `value` with tuples as lists: YAML knows no tuples."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def _parse_overrides(overrides: Sequence[str], error: type[GazeVlmError]) -> dict[str, Any]:
    values = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise error(f"--set {override}: expected key=value")
        try:
            values[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise error(f"--set {override}: the value is not YAML") from None
    return values


def _checked(
    kind: type[Any], values: Mapping[Any, Any], name: str, source: str, error: type[GazeVlmError]
) -> dict[str, Any]:
    """Return `values` converted to the types of `kind`'s fields. name: of the field that holds them, "" = none."""
    hints = typing.get_type_hints(kind)
    if unknown := sorted(_joined(name, key) for key in values.keys() - hints.keys()):
        raise error(f"{source}: unknown setting {', '.join(unknown)}; known are {', '.join(sorted(hints))}")
    return {key: _converted(hints[key], value, _joined(name, key), source, error) for key, value in values.items()}


def _built(
    kind: type[SettingsType], values: dict[str, Any], name: str, source: str, error: type[GazeVlmError]
) -> SettingsType:
    fields = dataclasses.fields(typing.cast(Any, kind))
    required = [f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING]
    if missing := [_joined(name, key) for key in required if key not in values]:
        raise error(f"{source}: setting {', '.join(missing)} is missing, and has no default")
    return kind(**values)


def _converted(kind: Any, value: Any, name: str, source: str, error: type[GazeVlmError]) -> Any:
    """Return `value` as type hint `kind` has it. Raises `error` that names it."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if isinstance(kind, types.UnionType):
        for option in parts:
            if _same_shape(option, value):
                return _converted(option, value, name, source, error)
    elif _same_shape(kind, value):
        if kind is float and math.isfinite(float(value)):
            return float(value)
        if kind is float:
            raise error(f"{source}: setting {name} is {value!r}, expected a finite number")
        if origin in (tuple, list):
            item = parts[0]
            entries = (_converted(item, entry, f"{name}[{i}]", source, error) for i, entry in enumerate(value))
            return origin(entries)
        if origin is dict:
            return {
                _converted(parts[0], key, f"key {key!r} of {name}", source, error): _converted(
                    parts[1], entry, _joined(name, key), source, error
                )
                for key, entry in value.items()
            }
        if dataclasses.is_dataclass(kind):
            return _built(kind, _checked(kind, value, name, source, error), name, source, error)  # type: ignore[arg-type]
        return value
    raise error(f"{source}: setting {name} is {value!r}, expected {_described(kind)}")


def _same_shape(kind: Any, value: Any) -> bool:
    """Return whether `value` is of `kind`, its entries aside. A bool is not a number; text such as "1e-3" is one."""
    if kind is float and isinstance(value, str):  # YAML 1.1 reads 1e-3, without a dot, as text
        try:
            float(value)
        except ValueError:
            return False
        return True
    if kind is float:
        return type(value) in (int, float)
    origin = typing.get_origin(kind)
    if origin in (tuple, list):
        return isinstance(value, list | tuple)
    if origin is dict or dataclasses.is_dataclass(kind):
        return isinstance(value, dict)
    return type(value) is kind


def _described(kind: Any) -> str:
    """Return `kind` in words, such as "a number or a list of texts"."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        return " or ".join(map(_described, parts))
    if origin in (tuple, list):
        return f"a list of {_PLURALS[parts[0]]}" if parts[0] in _PLURALS else "a list"
    if origin is dict or dataclasses.is_dataclass(kind):
        return "a mapping of key: value"
    return _NAMES.get(kind, str(kind))


def _joined(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)
