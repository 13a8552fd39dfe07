"""Scores of a checkpoint's answers and attention, for each kind of scene and overall."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.prediction.calibration import calibration_error, reliability
from gaze_vlm_ros.prediction.checkpoint import CheckpointMetadata
from gaze_vlm_ros.vlm.embeddings import Embed
from gaze_vlm_ros.windows.cutting import reasons_text
from gaze_vlm_ros.windows.epic_kitchens import LEAD_S
from gaze_vlm_ros.windows.settings import WindowSettings
from training.data.dataset import Dataset
from training.evaluation import metrics
from training.evaluation.answers import Answers
from training.evaluation.attention_metrics import attention_scores
from training.model.versions import library_versions


def score(
    metadata: CheckpointMetadata,
    data: Dataset,
    answers: Answers,
    settings: WindowSettings,
    examples: int = 0,
    embed: Embed | None = None,
) -> dict[str, Any]:
    """Return all figures of an evaluation: for each kind of scene, and for all of them together.

    Contains NumPy values and NaN: see json_ready. A window whose answer is not in the label set counts as wrong.
    settings: what the windows were cut by. examples: windows of each scene to return in full.
    embed: sentence embeddings for the semantic score; None = no such score.
    """
    scenes = np.array([data.sessions[window.session].scene for window in data.windows])
    groups = {str(scene): np.flatnonzero(scenes == scene) for scene in dict.fromkeys(scenes.tolist())}
    if len(groups) > 1:
        groups["all"] = np.arange(len(scenes))
    probabilities = metrics.probabilities(answers.log_likelihoods, metadata.temperature)
    best = answers.log_likelihoods.argmax(axis=1)
    true_answers = [_true_answer(data, row) for row in range(len(data.windows))]
    unknown = Counter(true_answers[row] for row in np.flatnonzero(data.answer_index < 0))
    by_text = {"rouge_l": np.array(list(map(metrics.rouge_l, answers.generated, true_answers)))}
    if embed:
        by_text["semantic"] = metrics.semantic_scores(answers.generated, true_answers, embed)
    return {
        "checkpoint": metadata.model_id,
        "base_model": metadata.base_model,
        "gaze_use": metadata.gaze_use,
        "labels": list(metadata.labels),
        "temperature": metadata.temperature,
        "calibrated_on": metadata.calibrated_on,
        "protocol": settings.protocol,
        "unknown_answers": {
            "windows": unknown.total(), "share": unknown.total() / len(true_answers), "texts": dict(unknown),
        },
        "left_out": dict(data.dropped),
        "libraries": library_versions(),
        "answer_ms": float(np.median(answers.seconds)) * 1e3,
        "groups": {
            name: _group_scores(rows, metadata, data, answers, probabilities, by_text, settings)
            for name, rows in groups.items()
        },
        "sessions": data.session_table(["test"] * len(data.sessions)),
        "windows": [
            {
                "session": data.sessions[window.session].name,
                "at_ns": window.at_ns,
                "lead_s": round((window.answer_start_ns - window.at_ns) / 1e9, 3),
                "answer": true_answers[row],
                "ranked": metadata.labels[best[row]],
                "probability": round(float(probabilities[row, best[row]]), 4),
                "generated": answers.generated[row],
            }
            for row, window in enumerate(data.windows)
        ],
        "examples": [
            _example(row, metadata, data, answers, probabilities) for row in _example_rows(groups, data, examples)
        ],
    }  # fmt: skip


def _true_answer(data: Dataset, row: int) -> str:
    """Return the answer of a window, spelled as in the label set if it is there."""
    index = int(data.answer_index[row])
    return data.answers[index] if index >= 0 else data.windows[row].answer


def _group_scores(
    rows: NDArray[np.int64],
    metadata: CheckpointMetadata,
    data: Dataset,
    answers: Answers,
    probabilities: NDArray[np.float64],
    by_text: Mapping[str, NDArray[np.float64]],
    settings: WindowSettings,
) -> dict[str, Any]:
    """Return the scores of one group of windows."""
    truth = data.answer_index[rows]
    true_answers = np.array([_true_answer(data, row) for row in rows])
    known = truth >= 0
    probabilities, likelihoods = probabilities[rows], answers.log_likelihoods[rows]
    session = np.array([data.windows[row].session for row in rows])
    persons = [data.sessions[index].person or data.sessions[index].name for index in session]
    first, fifth = (metrics.top_k_hits(likelihoods, truth, k) for k in (1, 5))
    exact = np.array([answers.generated[row] for row in rows]) == true_answers
    ranked = np.array(data.answers)[likelihoods.argmax(axis=1)]
    confidence, accuracy, count = reliability(probabilities.max(axis=1), first)
    untempered = metrics.probabilities(likelihoods).max(axis=1)
    lead_s = np.array([(data.windows[row].answer_start_ns - data.windows[row].at_ns) / 1e9 for row in rows])
    lead_bin = binned_leads(lead_s, settings)
    gaze, attention = data.gaze[rows].astype(np.float64), answers.attention[rows]
    # A fixation covers a few tokens of each frame: one in 16, and at least one per frame.
    top = max(len(data.windows[0].frames), data.gaze.shape[1] // 16)

    def interval(values: NDArray[Any]) -> dict[str, float]:
        low, high = metrics.bootstrap_interval(session, lambda chosen: float(values[chosen].mean()))
        return {"value": float(values.mean()), "low": low, "high": high}

    def class_mean(hits: NDArray[np.bool_]) -> dict[str, float]:
        low, high = metrics.bootstrap_interval(
            session, lambda chosen: metrics.class_mean_recall(hits[chosen], true_answers[chosen]), draws=300
        )
        return {"value": metrics.class_mean_recall(hits, true_answers), "low": low, "high": high}

    return {
        "windows": len(rows),
        "sessions": len(np.unique(session)),
        "top1": interval(first),
        "top5": interval(fifth),
        "class_mean_recall": class_mean(first),
        "class_mean_recall_at_5": class_mean(fifth),
        "exact_match": interval(exact),
        **{name: interval(values[rows]) for name, values in by_text.items()},  # for generated answers
        # Only of windows whose answer is in the set: no other can be given.
        "negative_log_likelihood": metrics.negative_log_likelihood(
            likelihoods[known], truth[known], metadata.temperature
        ) if known.any() else float("nan"),
        "calibration_error": calibration_error(probabilities.max(axis=1), first),
        "calibration_error_before": calibration_error(untempered, first),  # with temperature 1
        "reliability": {"confidence": confidence, "accuracy": accuracy, "count": count},
        "top1_by_lead": {f"{lead:g} s": float(first[lead_bin == lead].mean()) for lead in np.unique(lead_bin)},
        "unknown_answers": int((~known).sum()),
        "classes": {
            str(text): {
                "windows": int((true_answers == text).sum()),
                "top1": float(first[true_answers == text].mean()),
                "top5": float(fifth[true_answers == text].mean()),
                "ranked": dict(Counter(ranked[true_answers == text].tolist()).most_common()),  # row of the confusion
            }
            for text in np.unique(true_answers)
        },
        "persons": _by_person(persons, true_answers, first, fifth),
        "gaze_share": float(data.has_gaze[rows].mean()),
        "attention": {"k": top, **attention_scores(gaze, attention, top)},
    }  # fmt: skip


def _by_person(
    persons: Sequence[str], true_answers: NDArray[Any], first: NDArray[np.bool_], fifth: NDArray[np.bool_]
) -> dict[str, dict[str, list[int]]]:
    """Return person -> answer -> [windows, hits among the first, hits among the first five]; see person_bootstrap."""
    found: dict[str, dict[str, list[int]]] = {}
    for person, text, one, five in zip(persons, true_answers.tolist(), first, fifth, strict=True):
        counted = found.setdefault(person, {}).setdefault(text, [0, 0, 0])
        found[person][text] = [counted[0] + 1, counted[1] + int(one), counted[2] + int(five)]
    return found


def binned_leads(lead_s: NDArray[np.float64], settings: WindowSettings) -> NDArray[np.float64]:
    """Return for each window the lead time that stands for its own, s: the nearest that windows were cut at.

    Windows that are also cut on a stride have any lead: theirs is the middle of its half second. lead_s: (N,).
    """
    leads = [LEAD_S] if settings.protocol == "epic-kitchens" else settings.leads_s
    if not leads or (settings.stride_s and settings.protocol == "own") or settings.task != "future":
        return np.asarray(np.floor(lead_s * 2) / 2 + 0.25)
    cut = np.array(sorted(leads))
    return np.asarray(cut[np.abs(lead_s[:, None] - cut).argmin(axis=1)])


def _example_rows(groups: Mapping[str, NDArray[np.int64]], data: Dataset, examples: int) -> list[int]:
    """Return `examples` rows of each scene, evenly spread over those with gaze: the same for every checkpoint."""
    chosen: list[int] = []
    for name, rows in groups.items():
        usable = rows[data.has_gaze[rows]]
        if name != "all" and len(usable):
            chosen += usable[np.linspace(0, len(usable) - 1, examples + 2).round().astype(int)[1:-1]].tolist()
    return chosen


def _example(
    row: int, metadata: CheckpointMetadata, data: Dataset, answers: Answers, probabilities: NDArray[np.float64]
) -> dict[str, Any]:
    """Return one window in full, for the report."""
    window = data.windows[row]
    session = data.sessions[window.session]
    best = int(answers.log_likelihoods[row].argmax())
    return {
        "bag": str(session.path.resolve()),
        "camera_topic": session.roles.camera_topic,
        "session": session.name,
        "scene": session.scene,
        "frames": list(window.frames),
        "lead_s": (window.answer_start_ns - window.at_ns) / 1e9,
        "answer": _true_answer(data, row),
        "answered": metadata.labels[best],
        "probability": float(probabilities[row, best]),
        "frame_of_token": data.frame_of_token.tolist(),
        "boxes": data.boxes.round(2).tolist(),
        "gaze": data.gaze[row].round(6).tolist(),
        "gaze_points": [np.round(points, 1).tolist() for points, _ in data.gaze_points(row)],
        "attention": answers.attention[row].round(6).tolist(),
    }


def table(scores: Mapping[str, Any]) -> str:
    """Return the main figures as a text table."""
    semantic = any("semantic" in group for group in scores["groups"].values())
    title = f"{'semantic':>10}" if semantic else ""
    lines = [
        f"{'scene':<16}{'top-1':>7}{'95 % interval':>16}{'top-5':>7}{'recall@5':>10}{'exact':>7}{'ROUGE-L':>9}"
        f"{title}{'overlap':>9}{'KL':>7}{'ECE, T=1':>10}{'ECE':>7}{'sessions':>10}{'windows':>9}"
    ]
    for name, group in scores["groups"].items():
        top1, attention = group["top1"], group["attention"]
        few = f"n = {group['sessions']}"  # too few sessions for an interval
        span = f"{top1['low']:.2f} to {top1['high']:.2f}" if math.isfinite(top1["low"]) else few
        lines.append(
            f"{name:<16}{top1['value']:>7.3f}{span:>16}{group['top5']['value']:>7.3f}"
            f"{group['class_mean_recall_at_5']['value']:>10.3f}{group['exact_match']['value']:>7.3f}"
            f"{group['rouge_l']['value']:>9.3f}"
            + (f"{group['semantic']['value']:>10.3f}" if semantic else "")
            + f"{attention['top_k_overlap']:>9.3f}{attention['kl']:>7.2f}"
            f"{group['calibration_error_before']:>10.3f}{group['calibration_error']:>7.3f}{group['sessions']:>10}"
            f"{group['windows']:>9}"
        )
    lines.append(f"an answer takes {scores['answer_ms']:.1f} ms (median)")
    if unknown := scores["unknown_answers"]["windows"]:
        lines.append(
            f"{unknown} windows ({scores['unknown_answers']['share']:.0%}) have an answer that the checkpoint does not "
            "know, and count as wrong"
        )
    if scores["left_out"]:
        lines.append(f"left out: {reasons_text(scores['left_out'])}")
    if scores["calibrated_on"]:
        lines.append(f"temperature {scores['temperature']:.2f}, from {scores['calibrated_on']} validation windows")
    return "\n".join(lines)
