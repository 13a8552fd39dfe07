"""Windows as EPIC-KITCHENS-100 evaluates anticipation (Damen et al. 2022, arXiv 2006.13256, section 4.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

LEAD_S = 1.0  # from the last frame to the action: the benchmark's anticipation time


def moments_before_actions(
    stamps_ns: NDArray[np.int64], starts_ns: NDArray[np.int64], texts: Sequence[str]
) -> Iterator[tuple[int, int, int]]:
    """Yield (stamp of the last frame, requested time, row of the action) LEAD_S before each action with a text.

    The action is the answer even where another one starts in between. A moment before the first frame has its stamp,
    and so no frames before it.
    """
    for row, text in enumerate(texts):
        if text:
            requested_ns = int(starts_ns[row]) - round(LEAD_S * 1e9)
            at = max(int(np.searchsorted(stamps_ns, requested_ns, side="right")) - 1, 0)
            yield int(stamps_ns[at]), requested_ns, row
