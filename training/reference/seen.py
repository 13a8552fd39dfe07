"""What pixels hold of a simulated session, with stated noise, and what is true: for rules and for the ceiling."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaze_vlm_ros.labels.answer_words import NOTHING
from gaze_vlm_ros.prediction.believed_stream import BelievedStream, Floats, Ints
from gaze_vlm_ros.sim.bench2 import person_of
from gaze_vlm_ros.sim.bench_scene import View
from gaze_vlm_ros.sim.bench_session import script_of
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from gaze_vlm_ros.sim.person import FIXATION
from gaze_vlm_ros.sim.truth import Actions


@dataclass(frozen=True)
class Noise:
    """Standard deviations of what is measured in pictures, in units: px of a 640 px wide view, 1/8 degree each."""

    hand: float = 3.0  # a detector's error on fingertips; the hand's own straying comes on top
    head: float = 1.0  # the shift between frames is estimated from all of the picture
    gaze_offset: float = 4.5  # constant in a session, on each axis: 0.8 degrees together, the simulated tracker's
    gaze: float = 2.0  # of single samples


@dataclass(frozen=True)
class Question:
    """What is asked at each moment: which action begins next, in which part of the horizon, or nothing."""

    horizon_s: float = 2.0
    parts: int = 4
    every_s: float = 0.2
    from_s: float = 3.0  # earlier moments have less than 3 s before them, which is what a model sees


@dataclass(frozen=True)
class Seen:
    """One session as pictures show it: T frames. Lengths in units of the bench."""

    settings: BenchSettings
    times_s: Floats  # (T,)
    places: Floats  # (T, objects, 2)
    hand: Floats  # (T, 2) fingertips; NaN where they are not seen
    head: Floats  # (T, 2) shift of the view, without the camera's tilt
    camera: Floats  # (T, 3) the same with the tilt, and the roll: where the picture's edges are on the bench
    view: View
    hint: Ints  # (T,) colour of the sign
    doing: Ints  # (T,) object that is held or moved, -1 none
    ended_s: Floats  # (T,) last time an object was put down; the session's beginning before the first
    gaze: Floats  # (T, 2) where the person looks; NaN in saccades and blinks. No pixels: for those who may see it
    actions: Actions  # what was done: the truth


@dataclass(frozen=True)
class Table:
    """Beliefs at M moments: P(action, part of the horizon) (M, A, K), and P(nothing) (M,). Rows sum to 1."""

    begins: Floats
    nothing: Floats


def see(settings: BenchSettings, noise: Noise | None = None) -> Seen:
    """Return a session as pictures show it. The same settings give the same noise."""
    noise = noise or Noise()
    script = script_of(settings)
    times_s = np.arange(int(settings.duration_s * settings.frame_rate_hz)) / settings.frame_rate_hz
    track = script.truth_at(times_s)
    rng = np.random.default_rng([settings.seed, 31])
    hand = track.hand + rng.normal(0, noise.hand, track.hand.shape)
    head = track.head[:, :2] + rng.normal(0, noise.head, (len(times_s), 2))
    if settings.bench == 2:
        head[:, 1] -= person_of(settings.person).tilt
    gaze = track.gaze + rng.normal(0, noise.gaze, track.gaze.shape) + rng.normal(0, noise.gaze_offset, 2)
    ends_s = np.append(0.0, script.actions.ends_s)
    return Seen(
        settings, times_s, track.places, np.where(track.hand_seen[:, None], hand, np.nan), head, track.head,
        script.view, track.hint, track.doing, ends_s[np.searchsorted(script.actions.ends_s, times_s, side="right")],
        np.where((track.eye_state == FIXATION)[:, None], gaze, np.nan), script.actions,
    )  # fmt: skip


def stream_rows(seen: Seen, question: Question) -> Ints:
    """Return (M,) frames of a session at which it is asked: all whose answer is known."""
    rate_hz = seen.settings.frame_rate_hz
    first, step = round(question.from_s * rate_hz), max(1, round(question.every_s * rate_hz))
    return np.arange(first, int((seen.settings.duration_s - question.horizon_s) * rate_hz), step)


def lead_rows(seen: Seen, lead_s: float, question: Question) -> tuple[Ints, Ints]:
    """Return the last frame at least `lead_s` before each action (B,), and the action (B,).

    Actions whose frame falls into the action before them, or into the first `from_s`, are left out.
    """
    actions = seen.actions
    rows = np.floor((actions.starts_s - lead_s) * seen.settings.frame_rate_hz + 1e-6).astype(int)
    used = (rows >= round(question.from_s * seen.settings.frame_rate_hz)) & (rows < len(seen.times_s))
    before = np.append(-np.inf, actions.starts_s)[: len(rows)]
    used &= rows / seen.settings.frame_rate_hz >= before
    return rows[used], actions.targets[used]


def truth_of(seen: Seen, rows: Ints, question: Question) -> tuple[Ints, Floats]:
    """Return (M,) the action that begins next within the horizon, NOTHING = none, and (M,) s until then, NaN = none."""
    target, start_s = seen.actions.following(seen.times_s[rows])
    to_start_s = start_s - seen.times_s[rows]
    due = to_start_s <= question.horizon_s + 1e-9
    return np.where(due, target, NOTHING), np.where(due, to_start_s, np.nan)


def believed(sessions: Sequence[Seen], tables: Sequence[Table], question: Question) -> BelievedStream:
    """Return the beliefs about some sessions at all their stream_rows, for prediction.stream_scores.

    tables: one for each session.
    """
    rows = [stream_rows(seen, question) for seen in sessions]
    truths = [truth_of(seen, at, question) for seen, at in zip(sessions, rows, strict=True)]
    begun = [seen.actions.starts_s < seen.settings.duration_s for seen in sessions]
    count = [len(at) for at in rows]
    return BelievedStream(
        session=np.repeat(np.arange(len(sessions)), count),
        stamps_s=np.concatenate([seen.times_s[at] for seen, at in zip(sessions, rows, strict=True)]),
        table=np.concatenate([table.begins for table in tables]),
        nothing=np.concatenate([table.nothing for table in tables]),
        action=np.concatenate([action for action, _ in truths]),
        to_start_s=np.concatenate([to_start_s for _, to_start_s in truths]),
        known_s=np.full(sum(count), np.inf),
        horizon_s=question.horizon_s,
        begun_session=np.repeat(np.arange(len(sessions)), [int(own.sum()) for own in begun]),
        begun_s=np.concatenate([seen.actions.starts_s[own] for seen, own in zip(sessions, begun, strict=True)]),
        begun_action=np.concatenate([seen.actions.targets[own] for seen, own in zip(sessions, begun, strict=True)]),
        persons=tuple(seen.settings.person for seen in sessions),
    )


def settings_of(bench: int, seeds: Iterable[int], **changes: Any) -> list[BenchSettings]:
    """Return the settings of one session of 50 s for each seed, each of another person; tasks take turns.

    changes: of fields of BenchSettings.
    """
    tasks = ("tidy", "sort", "assemble")
    return [
        dataclasses.replace(
            BenchSettings(
                bench=bench, seed=seed, person=f"person_{seed:04d}", task=tasks[seed % len(tasks)], duration_s=50.0
            ),
            **changes,
        )
        for seed in seeds
    ]


def sessions_of(bench: int, seeds: Iterable[int], **changes: Any) -> list[Seen]:
    """Return the sessions of settings_of, as pictures show them."""
    return [see(settings) for settings in settings_of(bench, seeds, **changes)]
