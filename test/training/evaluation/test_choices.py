"""Multiple choice: options are ranked as answers are, and the question shown is the one that was meant."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gaze_vlm_ros.prediction.checkpoint import read_checkpoint_metadata
from training.data.recordings import Recording, find_bags, load_recordings
from training.evaluation.answers import rank_windows
from training.evaluation.checkpoint_evaluation import TRUE_GAZE, TrainedOn, load_with_windows
from training.evaluation.choices import CannotAsk, Choice, answer_choices
from training.settings import SETTINGS_FILE, load_settings


def unseen(checkpoint: Path, bags: Path) -> Recording:
    settings = replace(load_settings(checkpoint / SETTINGS_FILE), **TRUE_GAZE)
    trained_on = read_checkpoint_metadata(checkpoint).trained_on
    return next(own for own in load_recordings(find_bags([bags]), settings) if own.digest not in trained_on)


def choices_of(recording: Recording, options: tuple[str, ...], text: str = "What comes next?") -> list[Choice]:
    return [
        Choice(recording, replace(window, answer="", answer_start_ns=0), text, options, 0, "next")
        for window in recording.windows[:2]
    ]


def test_labels_as_options_are_ranked_as_answers_are(small_checkpoint: Path, small_bags: Path) -> None:
    recording = unseen(small_checkpoint, small_bags)
    metadata = read_checkpoint_metadata(small_checkpoint)
    choices = choices_of(recording, tuple(metadata.labels))
    found = answer_choices(small_checkpoint, [*choices, choices[0]], device="cpu")
    settings = replace(load_settings(small_checkpoint / SETTINGS_FILE), **TRUE_GAZE)
    asked = [replace(recording, windows=recording.windows[:2], dropped=Counter())]
    model, _, data = load_with_windows(small_checkpoint, metadata, settings, asked, "cpu", None)
    expected = rank_windows(model, data, np.arange(2), "cpu")
    lengths = [len(tokens) for tokens in data.answer_tokens]
    for answered, ranked in zip(found, [*expected, expected[0]], strict=True):
        assert not isinstance(answered, str)
        np.testing.assert_allclose(answered, [ranked, ranked / lengths], atol=1e-4)

    unreadable = replace(choices[0], options=("take the mug", "take the <image>"))
    assert answer_choices(small_checkpoint, [unreadable], device="cpu") == [
        "with options that the model cannot tell apart or read"
    ]

    # Another question gives other likelihoods.
    other = answer_choices(small_checkpoint, choices, own_question=False, device="cpu")
    assert not isinstance(other[0], str)
    assert np.abs(other[0][0] - expected[0]).max() > 1e-4


def test_what_cannot_be_asked_is_refused(
    small_checkpoint: Path, small_stream_checkpoint: Path, small_bags: Path
) -> None:
    settings = replace(load_settings(small_checkpoint / SETTINGS_FILE), **TRUE_GAZE)
    trained_on = read_checkpoint_metadata(small_checkpoint).trained_on
    seen = next(own for own in load_recordings(find_bags([small_bags]), settings) if own.digest in trained_on)
    with pytest.raises(TrainedOn, match="was trained on"):
        answer_choices(small_checkpoint, choices_of(seen, ("a", "b")), device="cpu")
    with pytest.raises(CannotAsk, match="fit without a stream"):
        answer_choices(small_stream_checkpoint, choices_of(seen, ("a", "b")), device="cpu")
