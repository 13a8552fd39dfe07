"""Labels of a session as a label file stores them."""

from __future__ import annotations

from gaze_vlm_ros.labels.label_file import Label
from gaze_vlm_ros.labels.track import actions_of
from gaze_vlm_ros.session.session import Session, require_labels


def labels_of_session(session: Session) -> list[Label]:
    """Return the labels from the file beside the bag, or else from the bag (source "bag"). Raises NoLabels."""
    if session.label_file is not None:
        return list(session.label_file.labels)
    actions = actions_of(require_labels(session))
    return [Label(x.start_ns, x.end_ns, x.text, x.verb, x.object_class, "bag") for x in actions]
