"""Stamps that cannot be of one session: a clock that was not set, or another clock."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.terminal.text import instant_text

# One frame of 1970 beside those of today would make a video of 133 GiB, and 1.8 thousand million windows.
LONGEST_SESSION_S = 7 * 86400.0


class NotOneSession(GazeVlmError):
    """Some stamps are days away from the frames."""


def require_one_session(where: object, frames_ns: NDArray[np.int64], others: dict[str, NDArray[np.int64]]) -> None:
    """Raise NotOneSession where a stamp is further than LONGEST_SESSION_S from the median of the frames' stamps.

    where: the recording, named in the error. frames_ns: (N,), N > 0. others: (M,) stamps of other streams by name.
    """
    middle_ns = int(np.sort(frames_ns)[len(frames_ns) // 2])
    for name, stamps_ns in {"frames": frames_ns, **others}.items():
        far = np.abs(stamps_ns - middle_ns) > LONGEST_SESSION_S * 1e9
        if far.any():
            raise NotOneSession(
                f"{where}: the stamps of {np.count_nonzero(far)} of {len(far)} {name} are wrong, such as "
                f"{instant_text(int(stamps_ns[far][0]))}, expected at most {LONGEST_SESSION_S / 86400:g} days from "
                f"{instant_text(middle_ns)}, when most frames are; record again with every stamp set, or leave it out"
            )
