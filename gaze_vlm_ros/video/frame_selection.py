"""Choose the camera frames of one observation. Trainer and predictor share this code, so both see the same frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pick_frames(stamps_ns: NDArray[np.int64], at_ns: int, observation_s: float, frames: int) -> NDArray[np.int64]:
    """Return indices (frames,) of the frames that show the `observation_s` seconds up to `at_ns`, oldest first.

    (at_ns - observation, at_ns] is cut into `frames` equal parts, and each part gives its last frame. No frame after
    `at_ns` is used, no frame twice, and frames outside the observation change nothing: a buffer that holds only the
    observation gives the same frames as the whole recording.
    Returns an empty array if a part has no frame: the camera stalled, has just started, or is slower than
    frames / observation_s.

    stamps_ns: (N,) acquisition times, ascending. Raises ValueError unless frames >= 1 and observation_s > 0.
    """
    if frames < 1 or observation_s <= 0:
        raise ValueError(f"need frames >= 1 and observation_s > 0, not {frames} and {observation_s}")
    stamps_ns = np.asarray(stamps_ns, dtype=np.int64)
    observation_ns = round(observation_s * 1e9)
    # Integers throughout: at 1e18 ns a float64 is off by up to 128 ns, and a frame on an edge would change sides.
    edges_ns = at_ns - np.arange(frames, -1, -1, dtype=np.int64) * observation_ns // frames
    positions = np.searchsorted(stamps_ns, edges_ns, side="right") - 1
    if np.any(positions[1:] == positions[:-1]):
        return np.empty(0, dtype=np.int64)
    return positions[1:].astype(np.int64)


def prefer_known(
    stamps_ns: NDArray[np.int64],
    picked: NDArray[np.int64],
    known: NDArray[np.bool_],
    observation_s: float,
    slack_s: float,
) -> NDArray[np.int64]:
    """Return `picked`, each frame but the last replaced by a known frame that is at most `slack_s` older.

    Known frames are those that a vision tower has already encoded: without this, a window that ends a little later than
    the one before would have entirely different frames. Each frame stays in its part of the observation, which keeps
    order and number.

    stamps_ns: (N,) acquisition times, ascending. picked: (frames,) of pick_frames. known: (N,).
    """
    observation_ns, slack_ns = round(observation_s * 1e9), round(slack_s * 1e9)
    at_ns, frames = int(stamps_ns[picked[-1]]), len(picked)
    chosen = picked.copy()
    for part, index in enumerate(picked[:-1].tolist()):
        begins_ns = at_ns - (frames - part) * observation_ns // frames
        oldest_ns = max(begins_ns + 1, int(stamps_ns[index]) - slack_ns)
        first = int(np.searchsorted(stamps_ns, oldest_ns))
        near = np.flatnonzero(known[first : index + 1])
        if len(near):
            chosen[part] = first + near[-1]
    return chosen
