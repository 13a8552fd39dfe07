"""Data sets that ask what goes on now, beside what is next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_bags import COLOURS, write_small_bag

from gaze_vlm_ros.labels.answer_words import UnclearWords, now_answers
from gaze_vlm_ros.labels.label_set import collect_labels
from gaze_vlm_ros.vlm.attention_tap import enable_tap
from gaze_vlm_ros.vlm.observation import encode
from gaze_vlm_ros.vlm.tiny import build_tiny
from training.data.batch import IGNORED
from training.data.gaze_prompt import questions
from training.data.preparation import prepare
from training.data.recordings import load_recording
from training.model.forward import losses
from training.run.batches import NumberedBatches
from training.run.job import Job, Parts
from training.settings import BadSettings, Settings

SETTINGS = Settings(
    frames=2, observation_s=1.0, horizon_s=2.0, moments_every_s=0.25, leads_s=(), gaze_window_s=0.1,
    when_words=("soon", "later"), tasks=("next", "now"), steps=2, batch_size=4,
)  # fmt: skip
LABELS = collect_labels((text, "take", "") for text in COLOURS)


def prepared(folder: Path, settings: Settings, hold_s: float = 1.0) -> tuple[Any, Any, Any]:
    texts = [*questions(settings), "soon", "later", settings.nothing_words, "nothing", *LABELS.texts]
    model, processor = build_tiny("tiny:smolvlm", texts, image_size=32, hidden=32)
    enable_tap(model)
    recording = load_recording(write_small_bag(folder / "bag", 0, takes=4, hold_s=hold_s), settings)
    return model, processor, prepare([recording], LABELS, settings, model, processor, folder / "cache")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    return prepared(tmp_path_factory.mktemp("both"), SETTINGS)


def test_the_same_windows_are_asked_both_questions(both) -> None:
    """A disc is taken every 3 s from 3 s on, for 1 s; before that nothing is known."""
    _, processor, data = both
    now = data.now
    assert now is not None
    assert now.answers == (*LABELS.texts, "nothing")
    assert [w.at_ns for w in now.windows] == [w.at_ns for w in data.windows]
    begun_ns = data.sessions[0].labels.starts_ns[0]
    for window, own, index in zip(data.windows, now.windows, now.answer_index.tolist(), strict=True):
        at_s = (window.at_ns - begun_ns) / 1e9
        expected = -1 if at_s < 0 else LABELS.row(own.answer) if at_s % 3 < 1 else len(LABELS.texts)
        assert index == expected
    frames = [np.zeros((64, 96, 3), np.uint8)] * 2
    encoded = encode(processor, frames, SETTINGS.now_question)
    assert torch.equal(now.prompt["input_ids"], encoded.inputs["input_ids"])
    assert torch.equal(now.visual, data.visual)
    assert now.only(np.array([5])).windows[0].at_ns == data.only(np.array([5])).now.windows[0].at_ns


def test_a_window_before_the_labels_counts_nothing(both) -> None:
    model, _, data = both
    now = data.now
    unknown, known = np.flatnonzero(now.answer_index < 0), np.flatnonzero(now.answer_index >= 0)
    mixed = np.append(known[:3], unknown[0])
    batch = now.batch(mixed)
    assert (batch.answer_tokens[3] == IGNORED).all()
    assert (batch.gaze[3] == 0).all()
    with torch.no_grad():
        found, alone, nothing = (
            losses(model, now.batch(rows), SETTINGS, True) for rows in (mixed, known[:3], unknown[:2])
        )
    assert float(found.lm) == pytest.approx(float(alone.lm), abs=1e-6)
    assert float(found.kl) == pytest.approx(float(alone.kl), abs=1e-6)
    assert (float(nothing.lm), float(nothing.kl)) == (0.0, 0.0)


def test_each_batch_is_asked_both_questions(both) -> None:
    _, _, data = both
    parts = Parts(np.arange(8, 24), *[np.array([], int)] * 2)
    job = Job(data, parts, np.arange(len(data.windows)), None, replace(SETTINGS, kl_windows="action"), "cpu", None, "")
    batches = NumberedBatches(job)
    first, second = batches[0, 0], batches[0, 1]
    rows = job.batch_rows(0)
    assert first.when is not None
    assert second.when is None
    for name, tensor in first.inputs.items():
        if name.startswith("pixel"):
            assert torch.equal(tensor, second.inputs[name])
    goes_on = data.now.answer_index[rows] < len(LABELS.texts)
    assert (second.gaze.any(dim=1).numpy() == goes_on).all()
    assert (first.gaze.any(dim=1).numpy() == (data.stream.actions[rows] >= 0)).all()


def test_windows_that_leads_add_are_not_asked_what_goes_on(tmp_path: Path) -> None:
    _, _, data = prepared(tmp_path, replace(SETTINGS, leads_s=(0.35,), moments_every_s=0.5, moments_jitter=0.0))
    added = np.array([not window.of_stream for window in data.windows])
    assert added.any()
    assert (data.now.answer_index[added] == -1).all()


def test_only_what_goes_on_now(tmp_path: Path) -> None:
    _, _, data = prepared(tmp_path, replace(SETTINGS, tasks=("now",)))
    assert data.asks_now
    assert data.now is None
    assert data.stream is None
    assert (data.answer_index >= 0).all()


def test_a_label_holds_at_every_moment(tmp_path: Path) -> None:
    """Continuous labels: nothing is never right, and the data set is whole."""
    _, _, data = prepared(tmp_path, SETTINGS, hold_s=0.0)
    known = data.now.answer_index >= 0
    assert known.sum() > 20
    assert (data.now.answer_index[known] < len(LABELS.texts)).all()


def test_nothing_must_be_no_label() -> None:
    with pytest.raises(UnclearWords, match="now_nothing_words is 'a', expected a text that is no label"):
        now_answers(["a", "b"], "a")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"gaze": "boxes"}, r"setting tasks is \['next', 'now'\], and gaze: boxes"),
        ({"gaze_as": "distilled", "teacher": "runs/x"}, "know only what is next"),
        ({"tasks": ("now",), "nothing_share": 0.5}, "choose windows by what is next"),
    ],
)
def test_settings_that_know_only_what_is_next(values: dict[str, Any], line: str) -> None:
    with pytest.raises(BadSettings, match=line):
        replace(SETTINGS, **values)


def test_a_single_label(tmp_path: Path) -> None:
    """Both questions still have two answers or more, and a loss."""
    one = collect_labels([(text, "take", "") for text in list(COLOURS)[:1]])
    texts = [*questions(SETTINGS), "soon", "later", SETTINGS.nothing_words, "nothing", *one.texts]
    model, processor = build_tiny("tiny:smolvlm", texts, image_size=32, hidden=32)
    enable_tap(model)
    recording = load_recording(write_small_bag(tmp_path / "bag", 0, takes=4, hold_s=1.0), SETTINGS)
    data = prepare([recording], one, SETTINGS, model, processor, tmp_path / "cache")
    assert len(data.answers) == 3
    assert len(data.now.answers) == 2
    for asked in (data, data.now):
        with torch.no_grad():
            found = losses(model, asked.batch(np.arange(4, 8)), SETTINGS, True)
        assert torch.isfinite(found.lm)
