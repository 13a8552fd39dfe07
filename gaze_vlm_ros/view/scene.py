"""What a view of a bag shows, independent of the viewer: gaze with its trail, current label, predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.bags.reader import Bag
from gaze_vlm_ros.bags.topic_stream import TopicStream
from gaze_vlm_ros.gaze.distribution import scaled
from gaze_vlm_ros.gaze.validity import sample_faults
from gaze_vlm_ros.labels.track import current_label
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.session.session import LabelTrack, Session

PREDICTION_TYPE = "gaze_vlm_msgs/msg/ActionPrediction"
TRAIL_S = 0.5  # one or two fixations
# Texts of gaze_vlm_msgs/ActionPrediction's status, in the order of its constants.
STATUSES = ("ok", "abstains", "stale input", "no input", "error", "nothing")


@dataclass(frozen=True)
class GazeOnPicture:
    """Gaze in px of the frames, and the faults of each sample."""

    stamps_ns: NDArray[np.int64]  # (N,)
    xy: NDArray[np.float64]  # (N, 2); NaN = no estimate
    usable: NDArray[np.bool_]  # (N,) accepted by training's defaults
    faults: dict[str, NDArray[np.bool_]]  # (N,) by reason
    spacing_ns: int  # median time between samples

    def trail(self, at_ns: int) -> NDArray[np.float64]:
        """Return (n, 2) the usable samples of the last TRAIL_S before `at_ns`, oldest first."""
        first, stop = np.searchsorted(self.stamps_ns, [at_ns - round(TRAIL_S * 1e9), at_ns], side="right")
        return self.xy[first:stop][self.usable[first:stop]]

    def fault_texts(self, row: int) -> list[str]:
        """Return the reasons why training would not use a sample."""
        return [reason for reason, mask in self.faults.items() if mask[row]]


def gaze_on_picture(gaze: GazeTrack, size: tuple[int, int]) -> GazeOnPicture:
    """Return gaze scaled to frames of `size` (width, height) px; the tracker may use a larger image."""
    faults = sample_faults(gaze, size)
    points = scaled(gaze.xy, gaze.image_size, size)
    spacing_ns = int(np.median(np.diff(gaze.stamps_ns))) if len(gaze) > 1 else 0
    return GazeOnPicture(gaze.stamps_ns, points, ~np.logical_or.reduce(list(faults.values())), faults, spacing_ns)


def label_at(labels: LabelTrack | None, at_ns: int) -> str:
    """Return what the person does at a time; empty = unlabelled."""
    if labels is None:
        return ""
    row = current_label(labels.starts_ns, at_ns)
    return labels.texts[row] if row >= 0 else ""


@dataclass(frozen=True)
class PredictionTrack:
    """Predictions of one topic, at the stamp of the last frame that each used."""

    topic: str
    stamps_ns: NDArray[np.int64]  # (N,) ascending
    probabilities: dict[str, NDArray[np.float64]]  # (N,) by candidate text; NaN = not a candidate
    other: NDArray[np.float64]  # (N,) probability of everything else; NaN = no candidates at all
    best: list[str]  # (N,) text of the best candidate if the status is OK, else empty
    texts: list[str]  # (N,) the best candidate with its probability, or the status in words
    changes: list[int]  # rows whose status or best candidate differs from the row before
    focus: NDArray[np.float64]  # (N, 2) px; NaN = unknown
    unstamped: int  # number of predictions without a frame, which have no time


def prediction_tracks(bag: Bag) -> list[PredictionTrack]:
    """Return the predictions of every topic that has at least one with a stamp."""
    tracks = map(_read_predictions, bag.streams_of(PREDICTION_TYPE))
    return [track for track in tracks if len(track.stamps_ns)]


def _read_predictions(stream: TopicStream) -> PredictionTrack:
    stamps_ns = stream.stamps_ns
    order = [int(row) for row in np.argsort(stamps_ns, kind="stable") if stamps_ns[row] > 0]
    messages = [stream.message(row) for row in order]
    names = sorted({candidate.text for message in messages for candidate in message.candidates})
    probabilities = {name: np.full(len(messages), np.nan) for name in names}
    for row, message in enumerate(messages):
        for candidate in message.candidates:
            probabilities[candidate.text][row] = candidate.probability
    answers = [(message.status, message.candidates[0].text if message.candidates else "") for message in messages]
    return PredictionTrack(
        stream.topic,
        stamps_ns[order],
        probabilities,
        np.array([message.other_probability if message.candidates else np.nan for message in messages], float),
        [message.candidates[0].text if message.candidates and not message.status else "" for message in messages],
        [_in_words(message) for message in messages],
        [row for row, answer in enumerate(answers) if not row or answer != answers[row - 1]],
        np.array([(message.focus_x, message.focus_y) for message in messages], float).reshape(-1, 2),
        len(stamps_ns) - len(order),
    )


def _in_words(message: Any) -> str:
    best = f"{message.candidates[0].text} ({message.candidates[0].probability:.2f})" if message.candidates else ""
    if not message.status:
        return best
    status = STATUSES[message.status] if message.status < len(STATUSES) else f"status {message.status}"
    return ": ".join(filter(None, [status, message.status_text, best and f"best {best}"]))


def summary_of(session: Session, tracks: list[PredictionTrack]) -> str:
    """Return one line that says what the view shows."""
    gaze = f"{len(session.gaze)} gaze samples" if session.gaze else "no gaze"
    labels = f"{sum(map(bool, session.labels.texts))} labels" if session.labels else "no labels"
    if session.label_file is not None:
        labels += f" beside the bag ({session.label_file.origin()})"
    parts = [f"{len(session.frames)} frames", gaze, labels]
    for track in tracks:
        parts.append(f"{len(track.stamps_ns)} predictions of {track.topic}")
        if track.unstamped:
            parts[-1] += f" ({track.unstamped} more without a frame are left out)"
    return ", ".join(parts)
