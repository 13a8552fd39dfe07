"""How long before the current action its object was looked at, while gaze, boxes and labels come."""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.assessment.looks import looks_of
from gaze_vlm_ros.assessment.objects import looked_at, looked_first_s
from gaze_vlm_ros.gaze.fixations import MIN_DURATION_S
from gaze_vlm_ros.labels.label_set import one_spelling
from gaze_vlm_ros.labels.track import current_label
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.session.regions import RegionTrack

MOST_LABELS = 100
MOST_BOXED = 1000  # images: 15 s at more than 60 Hz


@dataclass(frozen=True)
class BoxedImage:
    """The boxes of one image, as in gaze_vlm_msgs/ImageRegions. Raises ValueError where they are none."""

    stamp_ns: int
    names: list[str]
    boxes: NDArray[np.float64]  # (N, 4) x0, y0, x1, y1, px
    size: tuple[int, int]  # px
    frame_id: str

    def __post_init__(self) -> None:
        if self.boxes.shape != (len(self.names), 4) or not np.isfinite(self.boxes).all() or not all(self.size):
            raise ValueError(
                f"{len(self.names)} names, boxes of shape {self.boxes.shape}, an image of {self.size} px; expected "
                "4 finite numbers for each name, and the image's size"
            )


@dataclass
class CurrentAction:
    """Labels and boxes of the last seconds. Stamps are acquisition times.

    The value is that of `sessions.assess` on a recording of the same: it is computed once, as soon as the look during
    which the action begins has ended, and nothing that comes later changes it.
    """

    kept_s: float  # of boxes
    _starts_ns: list[int] = field(default_factory=list)  # of labels, ascending
    _things: list[str] = field(default_factory=list)  # object_class of each; "" = none, or unlabelled
    _boxed: deque[BoxedImage] = field(default_factory=lambda: deque(maxlen=MOST_BOXED))
    _found: tuple[int, float] | None = None  # start of the action and its value

    def add_label(self, start_ns: int, text: str, thing: str) -> None:
        """Take one label, which holds until the next. An empty text: nothing is done from there on."""
        place = bisect.bisect_right(self._starts_ns, start_ns)  # of two at the same time the second holds
        self._starts_ns.insert(place, start_ns)
        self._things.insert(place, one_spelling(thing) if one_spelling(text) else "")
        del self._starts_ns[:-MOST_LABELS], self._things[:-MOST_LABELS]
        if self._found is not None and self._found[0] == start_ns:
            self._found = None

    def add_boxes(self, image: BoxedImage) -> None:
        """Take the boxes of one image. An image before the newest is left out, unless the clock was set back."""
        if self._boxed and image.stamp_ns < self._boxed[-1].stamp_ns - self.kept_s * 1e9:
            self._boxed.clear()
        if self._boxed and image.stamp_ns <= self._boxed[-1].stamp_ns:
            return
        self._boxed.append(image)
        while self._boxed[0].stamp_ns < image.stamp_ns - self.kept_s * 1e9:
            self._boxed.popleft()

    def reset(self) -> None:
        """Forget all."""
        self._starts_ns.clear()
        self._things.clear()
        self._boxed.clear()
        self._found = None

    def looked_first(self, gaze: Callable[[], GazeTrack], frame_id: str, at_ns: int) -> float:
        """Return objects.looked_first_s of the action that goes on at `at_ns`, s; NaN = unknown, or not looked at.

        gaze: makes the track of the last seconds, with an image size. frame_id: of its camera; boxes of another one do
        not count. Unknown too: no action or object is named, the object has no box, or the visit may have begun before
        what is kept.
        """
        row = current_label(np.array(self._starts_ns, np.int64), at_ns)
        if row < 0 or not self._things[row]:
            return math.nan
        start_ns, thing = self._starts_ns[row], self._things[row]
        if self._found is None or self._found[0] != start_ns:
            value = self._measured(gaze(), frame_id, start_ns, thing)
            if value is None:
                return math.nan
            self._found = start_ns, value
        return self._found[1]

    def _measured(self, gaze: GazeTrack, frame_id: str, start_ns: int, thing: str) -> float | None:
        """Return the value; None = not yet."""
        boxed = [image for image in self._boxed if not (frame_id and image.frame_id not in ("", frame_id))]
        if not boxed or not len(gaze) or gaze.stamps_ns[-1] <= start_ns + MIN_DURATION_S * 1e9:
            return None
        looks = looks_of(gaze, gaze.image_size)
        before = int(np.searchsorted(looks.starts_ns, start_ns))
        # The look that is the last before the start goes on with the newest sample, or has no boxes yet.
        if before and looks.ends_ns[before - 1] >= min(gaze.stamps_ns[-1], boxed[-1].stamp_ns):
            return None
        regions = RegionTrack(
            Path(),
            np.array([image.stamp_ns for image in boxed], np.int64),
            [dict(zip(image.names, image.boxes, strict=True)) for image in boxed],
            [image.size for image in boxed],
        )
        lead_s = looked_first_s(looked_at(looks, regions, gaze.image_size), looks, thing, start_ns)
        known_ns = max(int(gaze.stamps_ns[0]), boxed[0].stamp_ns)
        return lead_s if start_ns - lead_s * 1e9 > known_ns else math.nan
