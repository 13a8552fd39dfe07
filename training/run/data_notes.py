"""Notes on the data of a fit: what a person should know before training starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.gaze.summary import GazeSummary
from gaze_vlm_ros.labels.answer_words import NOTHING
from gaze_vlm_ros.labels.label_set import spellings
from gaze_vlm_ros.windows.cutting import reasons_text
from training.data.dataset import Dataset
from training.data.gaze_targets import unseen_share
from training.data.recordings import Recording
from training.data.region_targets import REGION_GAZE
from training.data.split import Split
from training.run.job import Parts
from training.settings import Settings

_FEW_WITH_GAZE = 0.5  # share of training windows with usable gaze below which a note says so
_TRIED = 200  # windows whose gaze is compared with what the model sees
_LISTED = 5  # names in a note


class NoUsableGaze(GazeVlmError):
    """Gaze is to supervise training, and no window has any."""


def notes_on_data(
    data: Dataset, parts: Parts, split: Split, recordings: Sequence[Recording], settings: Settings
) -> list[str]:
    """Return notes on the data, one line each.

    recordings: all of them; split holds indices into it. Raises NoUsableGaze if gaze is to supervise training and no
    training window has any.
    """
    notes = []
    with_windows = {data.sessions[index].digest for index in {window.session for window in data.windows}}
    begun = data.stream.actions[parts.training] if data.stream else data.answer_index[parts.training]
    counts = Counter(begun[begun != NOTHING].tolist())
    unused = [text for number, text in enumerate(data.labels.texts) if not counts[number]]
    if unused:
        notes.append(f"{len(unused)} of {len(data.labels.texts)} labels have no window to train on: {_some(unused)}")
    for several in spellings(text for index in split.training for text in recordings[index].labels.texts):
        row = data.labels.row(several[0])
        notes.append(f"{_quoted(several)} are taken for one label, {data.labels.texts[row]!r}")
    if len(counts) == 1 and (begun != NOTHING).all() and not data.asks_now:
        notes.append(f"every training window has the answer {data.labels.texts[next(iter(counts))]!r}")
    now = data if data.asks_now else data.now
    if now and not (now.answer_index[parts.training] == len(data.labels.texts)).any():
        notes.append("a label holds at every moment to train on, so now_nothing_words is never right")
    if data.stream and not (begun == NOTHING).any():
        notes.append("an action begins within the horizon after every training window, so nothing_words is never right")
    if data.dropped:
        notes.append("left out: " + reasons_text(data.dropped))
    people = [
        {recordings[i].person for i in chosen} - {""}
        for chosen in (split.training, split.validation + split.calibration + split.test)
    ]
    if both := sorted(people[0] & people[1]):
        notes.append(
            f"{_some(both)}, as a person, is in training and in held-out sessions: scores "
            "are of known people; for new ones --set split_by=person"
        )
    for part, chosen in (
        ("train on", split.training),
        ("choose by", split.validation),
        ("calibrate on", split.calibration),
    ):
        if empty := [recordings[i].name for i in chosen if recordings[i].digest not in with_windows]:
            notes.append(f"{_some(empty)}, of the sessions to {part}, gives no window; see what is left out")
    if split.validation and not len(parts.validation):
        uncalibrated = "" if split.calibration else ", and probabilities stay uncalibrated"
        notes.append(f"no window is left to choose by: the last weights are kept{uncalibrated}")
    if split.calibration and not len(parts.calibration):
        notes.append("no window is left to calibrate on: probabilities stay uncalibrated")
    if settings.gaze != "none" and settings.kl_weight > 0:
        share = float(data.has_gaze[parts.training].mean())
        samples = _gaze_samples([recordings[i] for i in split.training])
        if not share and settings.gaze in REGION_GAZE:
            raise NoUsableGaze(
                f"no training window shows a box for gaze: {settings.gaze}; its images have other stamps"
            )
        if not share:
            raise NoUsableGaze(
                f"no training window has usable gaze ({samples}); check the tracker and camera with `gaze-vlm bag "
                "check`, or train without it: --gaze none"
            )
        if settings.gaze in REGION_GAZE:
            return notes
        if share < _FEW_WITH_GAZE:
            notes.append(f"gaze is usable in {share:.0%} of the training windows ({samples}); the others train without")
        shown = parts.training[np.linspace(0, len(parts.training) - 1, _TRIED).round().astype(int)]
        gaze = (data.gaze_points(row) for row in np.unique(shown).tolist())
        sigma_px = settings.gaze_sigma * data.frame_size[0]
        if unseen := unseen_share(gaze, data.frame_of_token, data.boxes, sigma_px):
            notes.append(
                f"{unseen:.1%} of the usable gaze is on parts of the frame that {settings.model} does not see, and is "
                "no target"
            )
        rows_of_each = [data.rows_of([index]) for index in range(len(split.training))]
        blind = [i for i, rows in enumerate(rows_of_each) if len(rows) and not data.has_gaze[rows].any()]
        if blind:
            sessions = [data.sessions[index] for index in blind]
            notes.append(
                f"no window of {_some([session.name for session in sessions])} has usable gaze "
                f"({_gaze_samples(sessions)}); see `gaze-vlm bag check`"
            )
        if pointless := sum(session.gaze.no_estimate for session in data.sessions if session.gaze):
            notes.append(f"{pointless} gaze samples are left out: their x or y is NaN or infinite")
    return notes


def _gaze_samples(recordings: Sequence[Recording]) -> str:
    """Return in words how many gaze samples there are, and why some are not usable."""
    summaries = [recording.gaze for recording in recordings if recording.gaze is not None]

    def total(name: str) -> int:
        return sum(getattr(summary, name) for summary in summaries)

    reasons = {
        "off_image": "off the image or none", "unsure": "unsure", "not_worn": "not worn",
        "blink_or_saccade": "blink or saccade",
    }  # fmt: skip
    assert set(reasons) < set(GazeSummary.__dataclass_fields__)
    counts = [f"{total(name)} {what}" for name, what in reasons.items() if total(name)]
    return f"of {total('samples')} samples {', '.join(counts) or 'all are valid, and flow or time drops them'}"


def _quoted(texts: Sequence[str]) -> str:
    return ", ".join(map(repr, texts))


def _some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    rest = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + rest
