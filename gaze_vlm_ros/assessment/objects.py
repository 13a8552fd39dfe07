"""Looks at named things: the share of time on the task's, and how long before the hand each was looked at."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.assessment.looks import Looks
from gaze_vlm_ros.session.regions import RegionTrack

Floats = NDArray[np.float64]

# A look at a thing further before the touch than this belongs to something else: look-ahead glances come 1 to 4 s
# before (Mennie, Hayhoe and Sullivan 2007), looks that guide the hand within the last second or so.
LONGEST_LEAD_S = 2.0
MARGIN = 0.025  # picture widths around a box that count as on it: a tracker's error, 2 degrees of a view 80 wide


def looked_at(looks: Looks, regions: RegionTrack, size: tuple[int, int], margin: float = MARGIN) -> list[str]:
    """Return (F,) the name of the thing that each look is at: of the boxes around it the one whose centre is nearest.

    "" where the look is on none, or there are no boxes. Boxes are those of the last image up to the middle of the look.
    size: (width, height) px of the image that gaze refers to. margin: picture widths around each box.
    """
    names = []
    middles_ns = (looks.starts_ns + looks.ends_ns) // 2
    rows = np.searchsorted(regions.stamps_ns, middles_ns, side="right") - 1
    for row, point in zip(np.maximum(rows, 0).tolist(), looks.xy, strict=True):
        boxes = regions.at(int(regions.stamps_ns[row]), size) if len(regions.stamps_ns) else {}
        around = margin * size[0]
        near = {
            name: float(np.hypot(*(point - (box[:2] + box[2:]) / 2)))
            for name, box in boxes.items()
            if (point >= box[:2] - around).all() and (point <= box[2:] + around).all()
        }
        names.append(min(near, key=near.__getitem__) if near else "")
    return names


def time_on(names: Sequence[str], looks: Looks, things: Collection[str]) -> float:
    """Return the share of the time of all looks that is on one of `things`; NaN without looks.

    names: (F,) what each look is at. Land, Mennie and Rusted 1999 (Perception 28:1311-1328): people who do a task that
    they know look at hardly anything that it does not need.
    """
    durations_s = looks.durations_s
    if not durations_s.sum() > 0:
        return float("nan")
    return float(durations_s[[name in things for name in names]].sum() / durations_s.sum())


def looked_first_s(
    names: Sequence[str], looks: Looks, thing: str, contact_ns: int, longest_s: float = LONGEST_LEAD_S
) -> float:
    """Return how long before `contact_ns` the last visit to `thing` began, s; NaN = not looked at within longest_s.

    A visit is a run of looks at the thing without one at another. The last one that begins before the contact counts,
    as the eyes are on an object before the hand is (Johansson et al. 2001, J. Neurosci. 21(17):6917-6932; Land et al.
    1999: 0.56 s on average). A visit that begins at or after the contact is none: the hand was there first.
    names: (F,) what each look is at.
    """
    before = int(np.searchsorted(looks.starts_ns, contact_ns, side="left"))
    row = before - 1
    while row >= 0 and names[row] != thing:
        row -= 1
    if row < 0 or (contact_ns - looks.ends_ns[row]) / 1e9 > longest_s:
        return float("nan")
    while row > 0 and names[row - 1] == thing:
        row -= 1
    return float((contact_ns - looks.starts_ns[row]) / 1e9)
