"""Check the values of a checkpoint's metadata, which may come from anywhere, before anything is computed with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

LONGEST_S = 3600.0  # of an observation and a horizon
MOST_FRAMES, MOST_LABELS, LONGEST_TEXT = 1000, 100_000, 100_000  # frames, labels, characters
LARGEST_SIDE_PX = 65_535
MOST_GAPS = 100_000  # entries of the belief's times between actions


class BadValue(ValueError):
    """A value is none that a checkpoint can have; the text names it."""


def check_values(values: dict[str, Any]) -> None:
    """Raise BadValue for the first value of a gaze_vlm.json that cannot be. Fields that are missing are not checked."""
    for name, (is_right, expected) in _RULES.items():
        if name in values:
            _require(is_right, values[name], name, expected)
    labels = values.get("labels") or []
    if len(set(labels)) < len(labels):
        raise BadValue("labels has one label twice")
    for name in ("verbs", "object_classes", "time_to_start_s"):
        if (given := values.get(name)) and len(given) != len(labels):
            raise BadValue(f"{name} has {len(given)} entries, expected one for each of {len(labels)} labels")
    if values.get("stream") is not None:
        _check_stream(values["stream"], len(labels))
    if values.get("now") is not None:
        now = values["now"]
        if not isinstance(now, dict):
            raise BadValue(f"now is {_shown(now)}, expected an object")
        for name in ("question", "nothing_words"):
            _require(_text, now.get(name), f"now.{name}", "a text")
        for name in ("temperature", "calibrated_on"):
            is_right, expected = _RULES[name]
            if name in now:
                _require(is_right, now[name], f"now.{name}", expected)


def _check_stream(stream: Any, actions: int) -> None:
    if not isinstance(stream, dict):
        raise BadValue(f"stream is {_shown(stream)}, expected an object")
    _require(_texts, stream.get("when_words"), "stream.when_words", "a list of texts")
    _require(_text, stream.get("nothing_words"), "stream.nothing_words", "a text")
    points = stream.get("operating_points", [])
    if not isinstance(points, list) or not all(isinstance(p, dict) and _finite(list(p.values())) for p in points):
        raise BadValue("stream.operating_points is no list of numbers by name")
    losses = stream.get("calibration_losses", {})
    if not isinstance(losses, dict) or not _numbers(list(losses.values())):
        raise BadValue("stream.calibration_losses is no number by name")
    belief = stream.get("belief")
    if belief is None:
        return
    parts = len(stream["when_words"])
    prior = belief["prior"]
    is_right = (
        _shares(belief["frequencies"]) and len(belief["frequencies"]) == actions
        and _shares(belief["gaps"]) and len(belief["gaps"]) <= MOST_GAPS
        and isinstance(prior, list) and len(prior) == actions
        and all(_finite(row) and len(row) == parts and min(row) >= 0 for row in prior)
        and all(isinstance(entry, list) and len(entry) == 3 and all(type(number) is int for number in entry)
                and all(0 <= row < actions for row in entry[:2]) and entry[2] >= 0 for entry in belief["followed"])
        and 0 < belief["horizon_s"] <= LONGEST_S
        and all(0 <= belief.get(name, 0) <= 1 for name in ("leaving", "prior_nothing", "power", "forgetting"))
        and 0 <= belief.get("pseudocount", 1) < 1e9
    )  # fmt: skip
    if not is_right:
        raise BadValue("stream.belief has a number or a length that cannot be")


def _require(is_right: Callable[[Any], bool], value: Any, name: str, expected: str) -> None:
    if not is_right(value):
        raise BadValue(f"{name} is {_shown(value)}, expected {expected}")


def _shown(value: Any) -> str:
    return ascii(value)[:80]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300 if not _is_nan(value) else False


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT and not any("\ud800" <= c <= "\udfff" for c in value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MOST_LABELS and all(map(_text, value))


def _finite(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(_is_number(entry) or _is_nan(entry) for entry in value)


def _shares(value: Any) -> bool:
    return _finite(value) and bool(value) and min(value) >= 0 and 0 < sum(value) < math.inf


def _one_of(*words: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: isinstance(value, str) and value in words, f"one of {', '.join(words)}"


_A_TEXT, _TEXTS = (_text, "a text"), (_texts, "a list of texts")
_A_TIME = (lambda value: _is_number(value) and 0 < value <= LONGEST_S, f"more than 0 and at most {LONGEST_S:g} s")
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(
        ("question", "label_set_id", "base_model", "model_id", "revision", "data_hash", "gaze_use", "objective",
         "time_to_start_source"), _A_TEXT,
    ),
    **dict.fromkeys(("labels", "verbs", "object_classes", "trained_on"), _TEXTS),
    **dict.fromkeys(("observation_s", "horizon_s"), _A_TIME),
    "task": _one_of("future", "current"),
    "score_kind": _one_of("calibrated", "uncalibrated", "rank_only"),
    "frames": (lambda value: type(value) is int and 0 < value <= MOST_FRAMES, f"a number from 1 to {MOST_FRAMES}"),
    "frame_size": (
        lambda value: isinstance(value, list) and len(value) == 2
        and all(type(side) is int and 0 < side <= LARGEST_SIDE_PX for side in value), "width and height, px",
    ),
    "temperature": (lambda value: _is_number(value) and value > 0, "a number above 0"),
    "gaze_block": (lambda value: isinstance(value, bool), "true or false"),
    "other_share": (lambda value: value is None or (_is_number(value) and 0 <= value <= 1), "a share or null"),
    "abstain_thresholds": (
        lambda value: isinstance(value, list) and all(_finite(row) and len(row) == 3 for row in value),
        "a list of three numbers each",
    ),
    "time_to_start_s": (_numbers, "a list of numbers"),
    "time_to_start_error_s": (
        lambda value: value is None or _is_number(value) or _is_nan(value), "a number or null"
    ),
    "calibrated_on": (lambda value: type(value) is int and value >= 0, "a number of windows"),
}  # fmt: skip
