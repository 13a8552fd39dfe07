"""Answers of the stream as tokens, and data sets of the stream."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_bags import COLOURS, write_small_bag

from gaze_vlm_ros.labels.answer_words import NOTHING, AnswerWords, UnclearWords
from gaze_vlm_ros.labels.label_set import collect_labels
from gaze_vlm_ros.vlm.tiny import build_tiny
from training.data.batch import IGNORED
from training.data.preparation import prepare
from training.data.recordings import load_recording
from training.data.stream_answers import when_tokens
from training.model.forward import answer_losses
from training.settings import Settings

WORDS = AnswerWords(("now", "soon"), "nothing")
SETTINGS = Settings(
    frames=2, observation_s=1.0, horizon_s=2.0, moments_every_s=0.25, leads_s=(), gaze_window_s=0.1,
    when_words=WORDS.when, nothing_words=WORDS.nothing,
)  # fmt: skip


def test_answers_say_when_at_their_first_different_token() -> None:
    answers = [[7, 1, 4, 0], [7, 1, 5, 0], [7, 2, 4, 0], [7, 2, 5, 0], [7, 3, 0]]
    position, tokens = when_tokens(answers, WORDS)
    assert (position, tokens.tolist()) == (1, [1, 2, 3])


@pytest.mark.parametrize(
    "answers",
    [
        [[1, 4, 0], [1, 5, 0], [1, 6, 4, 0], [1, 6, 5, 0], [3, 0]],  # both parts begin alike
        [[1, 0], [8, 0], [2, 4, 0], [2, 5, 0], [3, 0]],  # "now take" is one token
    ],
)
def test_words_without_a_token_of_their_own_are_refused(answers: list[list[int]]) -> None:
    with pytest.raises(UnclearWords, match="begins two of the words"):
        when_tokens(answers, WORDS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("stream")
    labels = collect_labels((text, "take", "") for text in COLOURS)
    tiny = build_tiny("tiny:smolvlm", [SETTINGS.question, *WORDS.texts(labels.texts)], image_size=32, hidden=32)
    recording = load_recording(write_small_bag(folder / "bag", 0, takes=4), SETTINGS)
    *known, last = recording.windows  # as if labels stopped half a second after it
    last = replace(last, answer="", answer_start_ns=0, known_s=0.5)
    recording = replace(recording, windows=(*known, last))
    return tiny[0], prepare([recording], labels, SETTINGS, *tiny, folder / "cache")


def test_the_truth_of_each_window(data) -> None:
    """A disc is taken every 3 s, so within the horizon of 2 s in two of three moments."""
    _, found = data
    stream = found.stream
    for row, window in enumerate(found.windows):
        assert found.answers[found.answer_index[row]] == (
            f"{WORDS.when[stream.parts[row]]} {window.answer}" if window.answer else "nothing"
        )
        assert (stream.actions[row] == NOTHING) == np.isnan(stream.to_start_s[row]) == (not window.answer)
        assert stream.censored[row] == (window.known_s is not None)
    assert {*stream.parts.tolist()} == {0, 1, NOTHING}
    assert stream.censored.sum() == 1


def test_a_censored_window_ends_where_answers_say_when(data) -> None:
    model, found = data
    stream = found.stream
    rows = np.r_[np.flatnonzero(stream.censored)[:1], np.flatnonzero(stream.actions >= 0)[:2]]
    batch = found.batch(rows)
    assert (batch.answer_tokens != IGNORED).sum(dim=1).tolist()[0] == stream.when_position + 1
    assert batch.when.remaining.any(dim=1).tolist() == [True, False, False]
    loss, _ = answer_losses(model, batch, SETTINGS, with_attention=False)
    assert torch.isfinite(loss)


def test_shares_that_sampling_changed_are_known(data) -> None:
    _, found = data
    stream = found.stream
    rows = np.arange(len(found.windows))
    assert stream.adjustment(rows, rows).tolist() == [0, 0, 0]
    nothing = np.flatnonzero((stream.actions == NOTHING) & ~stream.censored)
    used = np.setdiff1d(rows, nothing[::2])
    share = [len(set(nothing) & set(some)) / (~stream.censored[some]).sum() for some in (used, rows)]
    assert stream.adjustment(used, rows)[-1] == pytest.approx(np.log(share[0] / share[1]), rel=1e-5)
