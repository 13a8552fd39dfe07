"""Scores of known answers, by hand."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gaze_vlm_ros.labels.label_set import LabelSet
from gaze_vlm_ros.windows.cutting import Window
from gaze_vlm_ros.windows.settings import WindowSettings
from training.evaluation.answers import Answers
from training.evaluation.scores import binned_leads, score, table

SECOND = 1_000_000_000
LABELS = LabelSet(("pour", "stir", "take the mug"), ("",) * 3, ("",) * 3)
SETTINGS = WindowSettings(leads_s=(0.25, 1.0, 1.75))


def scored(truths: list[str], log_likelihoods: Any, generated: list[str], **changed: Any) -> dict[str, Any]:
    """Scores of windows of one session 1 s before each action."""
    count = len(truths)
    windows = [Window(0, SECOND * n, (0,), text, SECOND * (n + 1)) for n, text in enumerate(truths)]
    data: Any = SimpleNamespace(
        sessions=[SimpleNamespace(scene="bench", name="s0", person="ann")],
        windows=windows, labels=LABELS, answers=LABELS.texts,
        answer_index=np.array([LABELS.row(text) for text in truths]), dropped=Counter({"with a damaged frame": 2}),
        gaze=np.zeros((count, 4)), has_gaze=np.zeros(count, bool), session_table=lambda parts: [],
    )  # fmt: skip
    answers = Answers(np.array(log_likelihoods), generated, np.full((count, 4), 0.25), np.ones(count))
    metadata: Any = SimpleNamespace(
        temperature=1.0, labels=LABELS.texts, model_id="", base_model="", gaze_use="", calibrated_on=12, **changed
    )
    return score(metadata, data, answers, SETTINGS)


def test_answers_that_the_checkpoint_does_not_know_count_as_wrong() -> None:
    sure = np.log([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    scores = scored(["pour", "stir", "saw the plank", "drill"], sure, ["pour", "stir", "saw the plank", "mug"])
    bench = scores["groups"]["bench"]
    assert scores["unknown_answers"] == {"windows": 2, "share": 0.5, "texts": {"saw the plank": 1, "drill": 1}}
    assert bench["top1"]["value"] == bench["top5"]["value"] == bench["class_mean_recall_at_5"]["value"] == 0.5
    assert bench["exact_match"]["value"] == 0.75  # generated freely, a word that is in no set can be right
    assert bench["negative_log_likelihood"] == pytest.approx(-np.log(0.8))  # of what it can say
    assert bench["calibration_error"] == pytest.approx(0.3)  # it says 0.8, and half is right
    assert bench["classes"]["drill"] == {"windows": 1, "top1": 0.0, "top5": 0.0, "ranked": {"take the mug": 1}}
    assert bench["persons"] == {
        "ann": {"pour": [1, 1, 1], "stir": [1, 1, 1], "saw the plank": [1, 0, 0], "drill": [1, 0, 0]}
    }
    printed = table(scores)
    assert "2 windows (50%) have an answer that the checkpoint does not know, and count as wrong" in printed
    assert "left out: 2 with a damaged frame" in printed
    assert " n = 1 " in printed
    assert "temperature 1.00, from 12 validation windows" in printed


def test_other_spellings_of_a_label_are_that_label() -> None:
    scores = scored(["Take  the Mug"], np.log([[0.1, 0.1, 0.8]]), ["take the mug"])
    bench = scores["groups"]["bench"]
    assert bench["top1"]["value"] == bench["exact_match"]["value"] == 1.0
    assert scores["windows"][0]["answer"] == "take the mug"
    assert not scores["unknown_answers"]["windows"]


def test_accuracy_by_lead_has_the_leads_that_windows_were_cut_at() -> None:
    """A window's own lead is up to a frame longer; half seconds would have their edges at 0.25 and 1.75 s."""
    lead_s = np.array([0.25, 0.27, 0.349, 1.0, 1.09, 1.75, 1.84])
    assert binned_leads(lead_s, SETTINGS).tolist() == [0.25, 0.25, 0.25, 1.0, 1.0, 1.75, 1.75]
    assert binned_leads(np.array([0.1, 0.49, 0.5]), WindowSettings(stride_s=0.2)).tolist() == [0.25, 0.25, 0.75]
    assert set(binned_leads(lead_s, WindowSettings(protocol="epic-kitchens"))) == {1.0}
    known = scored(["pour"], np.zeros((1, 3)), [""])
    assert known["groups"]["bench"]["top1_by_lead"] == {"1 s": 0.0}
