"""Assess gaze while it comes: what is known at one moment, and whether it may be said."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.assessment.baseline import Baseline, Standing, standing
from gaze_vlm_ros.assessment.current_action import CurrentAction
from gaze_vlm_ros.assessment.moments import RATE_HZ, WINDOW_S, Moments, gaze_at, window_measures
from gaze_vlm_ros.gaze.distribution import WORN_NO
from gaze_vlm_ros.gaze.validity import usable_samples
from gaze_vlm_ros.session.gaze_track import GazeTrack

KEPT_S = WINDOW_S + 5.0  # of gaze: attention on a frame comes an inference later than gaze on it
# Attention comes after its frame by the time of an inference, gaze after its samples by far less. Stamps further apart
# are of two clocks.
MOST_APART_S = 3.0
MOST_SAMPLES = 20_000  # of gaze: 15 s at more than 1 kHz
MOST_PENDING = 50  # maps that wait for the gaze of their time
_STEP_NS = round(0.9e9 / RATE_HZ)  # nearer maps are left out: a baseline is made at RATE_HZ


class AssessmentStatus(IntEnum):
    """The numbers of gaze_vlm_msgs/GazeAssessment.STATUS_*."""

    OK = 0
    ABSTAIN = 1
    STALE_INPUT = 2
    NO_INPUT = 3
    ERROR = 4


@dataclass(frozen=True)
class Sample:
    """One gaze sample, fields as in gaze_vlm_msgs/GazeStamped."""

    stamp_ns: int
    x: float
    y: float
    confidence: float
    worn: int
    eye_state: int
    size: tuple[int, int]  # px
    frame_id: str


@dataclass(frozen=True)
class Assessment:
    """What may be said at one moment. `row` and `standing` are None unless the status is OK."""

    status: AssessmentStatus
    text: str
    stamp_ns: int = 0  # of the last frame whose attention was used; 0 = none
    row: dict[str, float] | None = None  # MEASURES of the window
    standing: Standing | None = None
    looked_first_s: float = math.nan  # of the action that goes on; NaN = unknown, see CurrentAction


@dataclass
class Monitor:
    """Gaze and attention of the last seconds. Times of arrival are of a steady clock, s; stamps are acquisition times.

    stale_after_s: without gaze or attention for longer, nothing is said.
    """

    baseline: Baseline | None
    stale_after_s: float
    valid_s: float
    model_id: str = ""  # of the predictor; "" = not known yet
    frame_id: str = ""  # of the camera that attention is on
    action: CurrentAction = field(default_factory=lambda: CurrentAction(KEPT_S))
    _gaze: deque[Sample] = field(default_factory=lambda: deque(maxlen=MOST_SAMPLES))
    _pending: deque[tuple[int, NDArray[np.float64]]] = field(default_factory=lambda: deque(maxlen=MOST_PENDING))
    _moments: Moments | None = None
    _gaze_came_s: float = -math.inf
    _attention_came_s: float = -math.inf
    _attention_ns: int = 0  # newest stamp
    _known: tuple[int, dict[str, float]] | None = None  # the newest window

    def add_gaze(self, sample: Sample, now_s: float) -> None:
        """Take one gaze sample. Samples before the newest one by more than KEPT_S: the clock was set back."""
        if self._gaze and sample.stamp_ns < self._gaze[-1].stamp_ns - KEPT_S * 1e9:
            self.reset()
        if self._gaze and (sample.size != self._gaze[-1].size or sample.frame_id != self._gaze[-1].frame_id):
            self.reset()
        self._gaze_came_s = now_s
        if self._gaze and sample.stamp_ns <= self._gaze[-1].stamp_ns:
            return  # sent twice, or too late to be put in order
        self._gaze.append(sample)
        while self._gaze[0].stamp_ns < sample.stamp_ns - KEPT_S * 1e9:
            self._gaze.popleft()

    def add_attention(self, stamp_ns: int, attention: NDArray[np.float64], frame_id: str, now_s: float) -> None:
        """Take attention on one frame: (rows, columns) shares. Raises ValueError where they are no distribution."""
        if attention.ndim != 2 or not attention.size or not np.isfinite(attention).all() or (attention < 0).any():
            raise ValueError(f"attention of shape {attention.shape} is no map of shares")
        total = float(attention.sum())
        if not total > 0:
            raise ValueError("attention without any mass")
        if stamp_ns < self._attention_ns or (self._attention_ns and frame_id != self.frame_id):
            self.reset()
        self.frame_id = frame_id
        self._attention_came_s = now_s
        if stamp_ns >= self._attention_ns + (_STEP_NS if self._attention_ns else 0):
            self._attention_ns = stamp_ns
            self._pending.append((stamp_ns, attention / total))

    def reset(self) -> None:
        """Forget all evidence."""
        self._gaze.clear()
        self._pending.clear()
        self.action.reset()
        self._moments, self._known, self._attention_ns = None, None, 0

    def assess(self, now_ns: int, now_s: float) -> Assessment:
        """Return what may be said. now_ns: by the clock of the stamps. now_s: by that of arrivals."""
        problem = self._problem(now_ns, now_s)
        if problem is not None:
            return problem
        self._take_pending()
        if self._known is None:
            since = 0.0
            if self._moments is not None and self._moments.stamps_ns:
                since = (self._moments.stamps_ns[-1] - self._moments.stamps_ns[0]) / 1e9
            text = f"{since:.0f} s of gaze and attention, expected {WINDOW_S:g} s"
            return Assessment(AssessmentStatus.NO_INPUT, text, self._attention_ns)
        stamp_ns, row = self._known
        if (age_s := (now_ns - stamp_ns) / 1e9) > self.valid_s:
            return Assessment(AssessmentStatus.STALE_INPUT, f"the newest evidence is {age_s:.1f} s old", stamp_ns)
        if not math.isfinite(row["surprise"]):
            known_s = (self._moments.stamps_ns[-1] - self._moments.stamps_ns[0]) / 1e9 if self._moments else 0.0
            if known_s < WINDOW_S - 1 / RATE_HZ:
                text = f"{known_s:.0f} s of gaze and attention, expected {WINDOW_S:g} s"
                return Assessment(AssessmentStatus.NO_INPUT, text, stamp_ns)
            text = f"gaze is known for less than half of the last {WINDOW_S:g} s"
            return Assessment(AssessmentStatus.ABSTAIN, text, stamp_ns)
        if self.baseline is None:
            text = "no baseline: nothing is said about what is normal"
            return Assessment(AssessmentStatus.ABSTAIN, text, stamp_ns)
        looked_first_s = self.action.looked_first(lambda: self._track(0), self._gaze[-1].frame_id, stamp_ns)
        return Assessment(AssessmentStatus.OK, "", stamp_ns, row, standing(row, self.baseline), looked_first_s)

    def _problem(self, now_ns: int, now_s: float) -> Assessment | None:
        """Return why the inputs say nothing at this moment; None where they do."""

        def found(status: AssessmentStatus, text: str) -> Assessment:
            return Assessment(status, text, self._attention_ns)

        for what, came_s, cause in (
            ("gaze", self._gaze_came_s, "is the eye tracker running?"),
            ("attention", self._attention_came_s, "is the predictor running, with a model of its own?"),
        ):
            if came_s == -math.inf:
                return found(AssessmentStatus.NO_INPUT, f"no {what} yet; {cause}")
            if now_s - came_s > self.stale_after_s:
                return found(AssessmentStatus.STALE_INPUT, f"no {what} for {now_s - came_s:.1f} s; {cause}")
        if not self._gaze:  # forgotten by a reset since it came
            return found(AssessmentStatus.NO_INPUT, "inputs began again")
        newest = self._gaze[-1]
        for what, apart_s in (
            ("attention", (newest.stamp_ns - self._attention_ns) / 1e9 if self._attention_ns else 0.0),
            ("this computer's clock", (newest.stamp_ns - now_ns) / 1e9),
        ):
            if abs(apart_s) > MOST_APART_S:
                side = "after" if apart_s > 0 else "before"
                text = f"clocks are apart: gaze is stamped {abs(apart_s):.1f} s {side} {what}"
                return found(AssessmentStatus.ERROR, text)
        if newest.frame_id and self.frame_id and newest.frame_id != self.frame_id:
            text = (
                f"gaze is on camera {newest.frame_id!r:.60}, attention on {self.frame_id!r:.60}; give both one camera"
            )
            return found(AssessmentStatus.ERROR, text)
        if not newest.size[0] or not newest.size[1]:
            return found(AssessmentStatus.ERROR, "gaze does not say the size of its image (image_width, image_height)")
        if newest.worn == WORN_NO:
            return found(AssessmentStatus.ABSTAIN, "the glasses are not worn")
        recent = self._track(newest.stamp_ns - round(self.stale_after_s * 1e9))
        if not usable_samples(recent, newest.size).any():
            return found(AssessmentStatus.ABSTAIN, f"gaze is lost: no usable sample for {self.stale_after_s:g} s")
        if self.baseline is not None and self.model_id and not self._is_the_model():
            text = f"the baseline is of {self.baseline.model_id:.60}, and {self.model_id:.60} predicts"
            return found(AssessmentStatus.ABSTAIN, text)
        return None

    def _is_the_model(self) -> bool:
        assert self.baseline is not None
        return self.model_id.rpartition("@")[2] == self.baseline.revision[:8]

    def _take_pending(self) -> None:
        """Add moments whose gaze has come: those up to the newest sample."""
        newest_ns = self._gaze[-1].stamp_ns
        if not self._pending or self._pending[0][0] > newest_ns:
            return
        track = self._track(0)
        size = self._gaze[-1].size
        if self._moments is None:
            self._moments = Moments(size)
        while self._pending and self._pending[0][0] <= newest_ns:
            stamp_ns, attention = self._pending.popleft()
            self._moments.add(stamp_ns, gaze_at(track, stamp_ns, size), attention)
            self._moments.drop_before(stamp_ns - round((WINDOW_S + 1.0) * 1e9))
            self._known = stamp_ns, window_measures(self._moments, track, stamp_ns)

    def _track(self, after_ns: int) -> GazeTrack:
        kept = [sample for sample in self._gaze if sample.stamp_ns > after_ns]
        return GazeTrack(
            np.array([sample.stamp_ns for sample in kept], np.int64),
            np.array([(sample.x, sample.y) for sample in kept], float).reshape(-1, 2),
            np.array([sample.confidence for sample in kept], float),
            np.array([sample.worn for sample in kept], np.uint8),
            np.array([sample.eye_state for sample in kept], np.uint8),
            self._gaze[-1].size,
        )
