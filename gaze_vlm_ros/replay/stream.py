"""What was published at each moment of a replay, beside what came: scored as evaluate.py scores a stream."""

from __future__ import annotations

import math

import numpy as np

from gaze_vlm_ros.labels.answer_words import NOTHING
from gaze_vlm_ros.labels.label_set import LabelSet, label_key
from gaze_vlm_ros.labels.track import current_label, next_label
from gaze_vlm_ros.prediction.believed_stream import BelievedStream
from gaze_vlm_ros.prediction.now_scores import NowStream
from gaze_vlm_ros.prediction.published import Published, PublishedBelief, PublishedNow
from gaze_vlm_ros.session.session import Session, require_labels
from gaze_vlm_ros.windows.cutting import without_action


def published_stream(published: Published, session: Session) -> BelievedStream | None:
    """Return the beliefs of all moments whose future is known, as evaluation/stream_evaluation.py does for windows.

    None where the messages do not say when actions begin. Moments before an action that is not in the label set are
    left out, as the model cannot know it.
    """
    labels = labels_of(published)
    track = require_labels(session)
    starts_ns, texts = np.asarray(track.starts_ns, np.int64), track.texts
    origin_ns, last_frame_ns = int(starts_ns[0]), int(session.frames.stamps_ns[-1])
    rows: list[tuple[PublishedBelief, float, int, float, float]] = []
    for moment, belief in zip(published.moments, published.beliefs, strict=True):
        if belief is None:
            continue
        at_s = (moment.stamp_ns - origin_ns) / 1e9
        row = next_label(starts_ns, texts, moment.stamp_ns, published.horizon_s)
        if row >= 0:
            action = labels.row(texts[row])
            if action >= 0:
                rows.append((belief, at_s, action, (int(starts_ns[row]) - moment.stamp_ns) / 1e9, math.inf))
            continue
        known_s, problem = without_action(moment.stamp_ns, last_frame_ns, starts_ns, texts, published.horizon_s)
        if not problem:
            rows.append((belief, at_s, NOTHING, math.nan, math.inf if known_s is None else known_s))
    if not rows:
        return None
    begun = [(int(s), labels.row(text)) for s, text in zip(starts_ns, texts, strict=True) if text]
    return BelievedStream(
        session=np.zeros(len(rows), np.int64),
        stamps_s=np.array([at_s for _, at_s, *_ in rows]),
        table=np.stack([belief.table for belief, *_ in rows]),
        nothing=np.array([belief.nothing for belief, *_ in rows]),
        action=np.array([action for _, _, action, _, _ in rows], np.int64),
        to_start_s=np.array([to_start_s for *_, to_start_s, _ in rows]),
        known_s=np.array([known_s for *_, known_s in rows]),
        horizon_s=published.horizon_s,
        begun_session=np.zeros(len(begun), np.int64),
        begun_s=np.array([(start_ns - origin_ns) / 1e9 for start_ns, _ in begun]),
        begun_action=np.array([action for _, action in begun], np.int64),
        persons=(session.person or session.name,),
        expected_s=np.stack([belief.expected_s for belief, *_ in rows]),
    )


def published_now(published: Published, session: Session) -> NowStream | None:
    """Return what was published of what goes on now, at all moments whose truth is known.

    None where the messages do not say it. Moments before the first label, and those at which a label holds that is not
    in the label set, are left out.
    """
    labels, track = labels_of(published), require_labels(session)
    starts_ns = np.asarray(track.starts_ns, np.int64)
    rows: list[tuple[PublishedNow, int]] = []
    for moment, now in zip(published.moments, published.now, strict=True):
        held = current_label(starts_ns, moment.stamp_ns)
        if now is None or held < 0:
            continue
        action = labels.row(track.texts[held]) if track.texts[held] else NOTHING
        if action >= 0 or not track.texts[held]:
            rows.append((now, action))
    if not rows:
        return None
    return NowStream(
        np.zeros(len(rows), np.int64),
        np.stack([now.probabilities for now, _ in rows]),
        np.array([now.nothing for now, _ in rows]),
        np.array([action for _, action in rows], np.int64),
        (session.person or session.name,),
    )


def labels_of(published: Published) -> LabelSet:
    """Return the labels that the model can answer; of open answers, those that it gave, each in one spelling."""
    given = {label_key(moment.answer): moment.answer for moment in published.moments if moment.answer}
    return LabelSet(published.labels or tuple(given.values()), (), ())


def spelled(labels: LabelSet, text: str) -> str:
    """Return a text as it is spelled in the label set, or as it is where it is not in the set."""
    row = labels.row(text)
    return labels.texts[row] if row >= 0 else text
