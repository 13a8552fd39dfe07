"""The label prior: answer with the most frequent labels of training, whatever the camera shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gaze_vlm_ros.labels.label_set import collect_labels
from training.data.action_split import part_of_split
from training.data.recordings import Recording
from training.settings import Settings


def label_prior(
    train: Sequence[Recording], test: Sequence[Recording], settings: Settings
) -> dict[str, dict[str, list[int]]]:
    """Return person -> answer -> [windows, hits among the first, hits among the first five] of the label prior.

    The same windows and the same form as the scores of a model (evaluation/scores.py). Labels of equal frequency are in
    the order of the label set.
    """
    train, _ = part_of_split(train, settings.split_file, "train")
    test, _ = part_of_split(test, settings.split_file, "test")
    texts = [window.answer for recording in train for window in recording.windows]
    labels = collect_labels((text, "", "") for text in texts)
    counts = Counter(labels.row(text) for text in texts)
    ranked = [labels.texts[row] for row, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    found: dict[str, dict[str, list[int]]] = {}
    for recording in test:
        for window in recording.windows:
            row = labels.row(window.answer)
            text = labels.texts[row] if row >= 0 else window.answer
            counted = found.setdefault(recording.person or recording.name, {}).setdefault(text, [0, 0, 0])
            counted[0] += 1
            counted[1] += text in ranked[:1]
            counted[2] += text in ranked[:5]
    return found
