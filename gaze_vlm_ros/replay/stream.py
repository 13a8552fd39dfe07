"""What was published at each moment of a replay, beside what came: scored as evaluate.py scores a stream."""

from __future__ import annotations

import math

import numpy as np

from gaze_vlm_ros.labels.answer_words import NOTHING
from gaze_vlm_ros.labels.label_set import LabelSet
from gaze_vlm_ros.labels.track import next_label
from gaze_vlm_ros.prediction.believed_stream import BelievedStream
from gaze_vlm_ros.prediction.published import Published, PublishedBelief
from gaze_vlm_ros.session.session import Session, require_labels
from gaze_vlm_ros.windows.cutting import without_action


def published_stream(published: Published, session: Session) -> BelievedStream | None:
    """Return the beliefs of all moments whose future is known, as evaluation/stream_evaluation.py does for windows.

    None where the messages do not say when actions begin. Moments before an action that is not in the label set are
    left out, as the model cannot know it.
    """
    labels = LabelSet(published.labels, ("",) * len(published.labels), ("",) * len(published.labels))
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
