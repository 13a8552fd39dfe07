"""Results as values that JSON knows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def json_ready(value: Any, digits: int | None = None) -> Any:
    """Return `value` with plain Python numbers and lists, and None in place of NaN, which JSON does not have.

    digits: round floats to so many decimal places; None = as they are.
    """
    if isinstance(value, Mapping):
        return {key: json_ready(entry, digits) for key, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [json_ready(entry, digits) for entry in value]
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            return None
        return float(value) if digits is None else round(float(value), digits)
    return value
