"""Results as JSON knows them."""

import json
import math

import numpy as np

from gaze_vlm_ros.storage.json_values import json_ready


def test_nan_is_null() -> None:
    assert json_ready({"a": math.nan, "b": (1.0, 2)}) == {"a": None, "b": [1.0, 2]}
    assert json_ready({"a": -math.inf, "b": [np.float64("nan"), None]}) == {"a": None, "b": [None, None]}


def test_numpy_values_are_plain() -> None:
    found = json_ready({"a": np.arange(2), "b": np.float32(0.5), "c": {"d": (np.int64(3), True)}})
    assert json.dumps(found) == '{"a": [0, 1], "b": 0.5, "c": {"d": [3, true]}}'


def test_floats_are_rounded_where_asked_to() -> None:
    assert json_ready({"a": [0.12345678, math.nan, 7]}, digits=6) == {"a": [0.123457, None, 7]}
