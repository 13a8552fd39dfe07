"""Draw a camera frame with its prediction: attention and gaze on the frame, the best answers as bars below it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.bags.stamps import duration_s, nanoseconds
from gaze_vlm_ros.prediction.types import STATUS_NAMES, WITH_CANDIDATES, Status
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.video.images import RGB
from gaze_vlm_ros.view.drawn_text import Colour, blank, cut, text_width, write, write_chip
from gaze_vlm_ros.view.pictures import USABLE_RGB, draw_gaze
from gaze_vlm_ros.view.scene import TRAIL_S, GazeOnPicture, gaze_on_picture

MIN_WIDTH = 480  # px; text below a smaller picture would be too small to read
EMPTY_SIZE = (640, 480)  # px, (width, height) of the picture without a frame
STATUS_WORDS = tuple(name.replace("_", " ") for name in STATUS_NAMES)
MAX_CLOCK_DIFFERENCE_S = 0.5  # far above the difference of synchronized clocks; beyond it expiry is unknown
LONGEST_TEXT = 300  # characters; more than fit into the strip, and few enough to be measured quickly
SLACK = 0.01  # by which sums of rounded probabilities may miss 0 or 1
MAX_HEIGHT = 8192  # px; a frame that would be drawn higher is squeezed
SCORES = ("", "uncalibrated", "rank only")  # in the order of ActionPrediction.SCORE_*
# Attention on a patch, as a multiple of an even spread: it begins to show at FAINT and is drawn strongest at STRONG.
# The scale is fixed, so that a model that looks everywhere is not drawn like one that looks at something.
FAINT, STRONG = 2.0, 32.0
MAX_OPACITY = 0.5  # the scene stays visible underneath
OUTLINED = 0.5  # strength at which an outline is drawn, which is visible on any colour

GROUND, TRACK, TEXT, QUIET = (24, 24, 24), (52, 52, 52), (240, 240, 240), (150, 150, 150)
ATTENTION = (255, 120, 0)
OTHERS = (112, 128, 144)  # bars of all but the best answer
BEST = {
    "OK": (40, 167, 90),
    "ABSTAIN": (200, 130, 20),
    "NOTHING": (90, 110, 160),
}  # colour of the status chip and of the bar of the best answer
CHIPS = {**BEST, "ERROR": (178, 46, 46)}
NOT_CURRENT = (104, 104, 104)  # chip and bars of a prediction that must not be used


@dataclass(frozen=True)
class PredictionState:
    """What the newest prediction is worth at one moment, in words."""

    word: str
    text: str
    current: bool  # False = the prediction must not be used and is drawn in grey
    age_s: float = math.nan  # since the frame that the prediction is about; NaN = unknown


@dataclass(frozen=True)
class Marks:
    """Marks to draw on the frame itself."""

    attention: NDArray[np.float32] | None = None  # (rows, columns) shares on this frame, see attention_map
    focus: tuple[float, float] | None = None  # centre of the patch with most attention, as a share of (width, height)
    gaze: GazeOnPicture | None = None  # in px of the drawn picture
    at_ns: int = 0  # acquisition time of the frame, needed to draw gaze


def prediction_state(prediction: Any | None, now_ns: int, silent_s: float) -> PredictionState:
    """State of a gaze_vlm_msgs/ActionPrediction at `now_ns`; prediction None = no message arrived.

    now_ns: by the clock that predictions are stamped with. silent_s: time since the message arrived.
    """
    if prediction is None:
        return PredictionState("NO PREDICTION", "no message arrived; is the predictor running?", False)
    word = STATUS_WORDS[prediction.status] if prediction.status < len(STATUS_WORDS) else f"STATUS {prediction.status}"
    if prediction.status not in WITH_CANDIDATES:
        # The predictor repeats this several times a second while it holds.
        since = f" ({silent_s:.0f} s ago)" if silent_s > 1 else ""
        return PredictionState(word, shown_text(prediction.status_text) + since, False)
    late_s = (now_ns - nanoseconds(prediction.valid_until)) / 1e9
    if late_s > 0:
        return PredictionState("EXPIRED", f"the last prediction was valid until {late_s:.0f} s ago", False)
    age_s = (now_ns - nanoseconds(prediction.header.stamp)) / 1e9
    if age_s < -MAX_CLOCK_DIFFERENCE_S:
        return PredictionState(
            "OTHER CLOCK", f"stamped {-age_s:.0f} s after now; a bag needs --clock and use_sim_time", False
        )
    horizon_s = duration_s(prediction.horizon)
    now = now_text(prediction)
    within = "now" if prediction.current_action and not now else f"within {horizon_s:g} s"
    what = shown_text(prediction.status_text) or within
    score = SCORES[prediction.score_kind] if prediction.score_kind < len(SCORES) else ""
    return PredictionState(word, ", ".join(filter(None, [now, what, score])), True, age_s)


def now_text(prediction: Any) -> str:
    """What an ActionPrediction with a second question says of what goes on now, in words; "" for others."""
    if not prediction.current_candidates:
        return ""
    text, probability = prediction.current_action, prediction.current_probability
    if not text:
        text, probability = "nothing", prediction.current_nothing_probability
    return f"now {shown_text(text)} {100 * probability:.0f} %"


def gaze_near_frame(
    samples: Iterable[tuple[int, Any]], at_ns: int, frame_id: str, frame_size: tuple[int, int], size: tuple[int, int]
) -> GazeOnPicture | None:
    """Gaze around a frame's acquisition time, in px of the drawn picture; None where there is none of this camera.

    samples: acquisition time (ns) and gaze_vlm_msgs/GazeStamped of each. frame_id: of the frame; a sample with another
    one is left out, unless either is empty. frame_size, size: (width, height) px of the frame and of the picture.
    """
    near_ns = round(2e9 * TRAIL_S)
    near = [
        (stamp_ns, sample)
        for stamp_ns, sample in samples
        if abs(stamp_ns - at_ns) < near_ns and (not frame_id or sample.header.frame_id in ("", frame_id))
    ]
    if not near:
        return None
    near.sort(key=lambda entry: entry[0])
    last = near[-1][1]
    track = GazeTrack(
        np.array([stamp_ns for stamp_ns, _ in near]),
        np.array([(sample.x, sample.y) for _, sample in near]),
        np.array([sample.confidence for _, sample in near]),
        np.array([sample.worn for _, sample in near], np.uint8),
        np.array([sample.eye_state for _, sample in near], np.uint8),
        (last.image_width, last.image_height) if last.image_width else frame_size,
    )
    return gaze_on_picture(track, size)


def shown_text(text: str) -> str:
    """The beginning of a peer's text."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


def focus_share(prediction: Any, frame_size: tuple[int, int]) -> tuple[float, float] | None:
    """Focus of an ActionPrediction as a share of the frame; None where it is unknown or not on the frame.

    frame_size: (width, height) px.
    """
    share = prediction.focus_x / frame_size[0], prediction.focus_y / frame_size[1]
    return share if all(0.0 <= part <= 1.0 for part in share) else None


def shown_answers(prediction: Any) -> list[tuple[str, float]]:
    """Candidates of an ActionPrediction with their probabilities, and that nothing begins; the best comes first."""
    answers = [(shown_text(candidate.text), float(candidate.probability)) for candidate in prediction.candidates]
    nothing = float(prediction.nothing_probability)
    if not answers or not nothing > 0:  # NaN: not estimated
        return answers
    least = int(prediction.status != Status.NOTHING)  # an answer that is given stays first
    place = next((row for row in range(least, len(answers)) if answers[row][1] < nothing), len(answers))
    return [*answers[:place], ("nothing", nothing), *answers[place:]]


def drawn_size(width: int, height: int, max_width: int) -> tuple[int, int]:
    """(width, height) px at which a frame is drawn: reduced to max_width, or enlarged to MIN_WIDTH.

    A frame that would be higher than MAX_HEIGHT is squeezed.
    """
    drawn = max(min(width, max_width), MIN_WIDTH)
    return drawn, min(max(1, round(height * drawn / width)), MAX_HEIGHT)


def draw_overlay(
    rgb: RGB | None,
    size: tuple[int, int],
    state: PredictionState,
    answers: list[tuple[str, float]],
    other: float,
    rows: int,
    marks: Marks,
) -> RGB:
    """Draw the frame at `size` (width, height) px with marks, and a strip with the answers below it; (H, W, 3).

    A state that is not current is drawn in grey and without attention. rgb: None = black. answers: texts and
    probabilities, best first, of which `rows` are shown. other: probability of everything that is not in the list.
    """
    frame = blank(size[1], size[0], 0)
    if rgb is not None:
        cv2.resize(rgb, size, dst=frame, interpolation=cv2.INTER_AREA)
    unit = size[0] / 640
    legend: list[tuple[str, Colour]] = []
    if state.current and marks.attention is not None:
        frame = _with_attention(frame, marks.attention, unit)
        legend.append(("attention", ATTENTION))
    elif state.current and marks.focus is not None:
        centre = round(marks.focus[0] * size[0]), round(marks.focus[1] * size[1])
        _marker(frame, centre, unit)
        legend.append(("focus", ATTENTION))
    if marks.gaze is not None:
        fault = draw_gaze(frame, marks.gaze, marks.at_ns, unit)
        legend.append((fault or "gaze", USABLE_RGB if state.current and not fault else QUIET))
    if not state.current:
        frame[:] = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[:, :, None]
    return np.vstack([frame, _strip(size[0], unit, state, answers, other, rows, legend)])


def _with_attention(frame: RGB, shares: NDArray[np.float32], unit: float) -> RGB:
    """Colour the frame by attention relative to an even spread, on a logarithmic scale, with an outline."""
    height, width, _ = frame.shape
    even = np.maximum(np.nan_to_num(shares, posinf=0.0) * shares.size, 1e-6)
    strength = np.clip(np.log(even / FAINT) / np.log(STRONG / FAINT), 0, 1).astype(np.float32)
    strength = cv2.resize(strength, (width, height), interpolation=cv2.INTER_LINEAR)
    mixed = frame + MAX_OPACITY * strength[:, :, None] * (np.array(ATTENTION, np.float32) - frame)
    picture = np.asarray(mixed.round(), np.uint8)
    outlines, _ = cv2.findContours((strength >= OUTLINED).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    line = max(1, round(1.5 * unit))
    cv2.drawContours(picture, outlines, -1, (0, 0, 0), line + 2, cv2.LINE_AA)
    cv2.drawContours(picture, outlines, -1, ATTENTION, line, cv2.LINE_AA)
    return picture


def _marker(frame: RGB, centre: tuple[int, int], unit: float) -> None:
    size, line = round(24 * unit), max(1, round(2 * unit))
    cv2.drawMarker(frame, centre, (0, 0, 0), cv2.MARKER_DIAMOND, size, line + max(2, round(2 * unit)))
    cv2.drawMarker(frame, centre, ATTENTION, cv2.MARKER_DIAMOND, size, line)


def _strip(
    width: int,
    unit: float,
    state: PredictionState,
    answers: list[tuple[str, float]],
    other: float,
    rows: int,
    legend: list[tuple[str, Colour]],
) -> RGB:
    """Draw the strip of fixed height: status in the first line, then one answer per line, all others in the last."""
    line, edge, gap = round(22 * unit), round(10 * unit), round(6 * unit)
    strip = blank(line * (rows + 2) + 2 * gap, width, GROUND)
    start_px = write_chip(strip, state.word, CHIPS.get(state.word, NOT_CURRENT), edge, gap, line, unit) + edge
    right = width - edge
    for word, colour in reversed(legend):
        right -= text_width(word, unit)
        write(strip, word, (right, gap), line, colour, unit)
        right -= edge
    if not answers:
        _write_lines(strip, state.text, (start_px, right), (edge, width - edge), gap, line, unit)
        return strip
    text = f"{state.text}, {state.age_s:.1f} s old" if math.isfinite(state.age_s) else state.text
    write(strip, cut(text, right - start_px, unit), (start_px, gap), line, TEXT, unit)
    shown = answers[:rows]
    rest = other + sum(probability for _, probability in answers[rows:])
    best = BEST.get(state.word, NOT_CURRENT) if state.current else NOT_CURRENT
    for row, (text, probability) in enumerate([*shown, ("anything else", rest)]):
        top = gap + line * (row + 1) + round(3 * unit)
        is_rest = row == len(shown)
        colour = best if not row and not is_rest else OTHERS if state.current else NOT_CURRENT
        ink = QUIET if is_rest or not state.current else TEXT
        write(strip, cut(text, round(0.45 * width) - edge, unit), (edge, top), line, ink, unit)
        start, stop = round(0.47 * width), round(0.89 * width)
        inset = round(4 * unit)
        cv2.rectangle(strip, (start, top + inset), (stop, top + line - inset), TRACK, cv2.FILLED)
        is_known = -SLACK <= probability <= 1.0 + SLACK  # otherwise, or where it is NaN, the sender is at fault
        end = start + round((stop - start) * min(max(probability, 0.0), 1.0)) if is_known else start
        if end > start:
            cv2.rectangle(strip, (start, top + inset), (end, top + line - inset), colour, cv2.FILLED)
        percent = f"{100 * max(probability, 0.0):.0f} %" if is_known else "?"
        write(strip, percent, (width - edge - text_width(percent, unit), top), line, ink, unit)
    return strip


def _write_lines(
    strip: RGB, text: str, first: tuple[int, int], others: tuple[int, int], top: int, line: int, unit: float
) -> None:
    """Write words on the first line between the px `first`, and on the lines below it between `others`."""
    words = text.split()
    left, right = first
    while words and top + line <= len(strip):
        count = next((n for n in range(len(words), 0, -1) if text_width(" ".join(words[:n]), unit) <= right - left), 0)
        last = top + 2 * line > len(strip)
        written = " ".join(words if last else words[: count or 1])
        if count or (left, right) == others:  # a first word that is too long goes on the next line
            write(strip, cut(written, right - left, unit), (left, top), line, TEXT, unit)
            words = words[count or 1 :]
        left, right = others
        top += line + round(2 * unit)
