"""Ask a checkpoint about sessions that it has never seen, and score its answers and its attention.

    python training/evaluate.py CHECKPOINT BAG... --json scores.json

Answers are ranked over the closed label set and, independently, generated freely; neither sees any part of the true
answer. The model sees frames alone: gaze, where a bag has it, is used for scoring attention.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.calibration import calibration_error, reliability
from gaze_vlm_ros.checkpoint import Card, read_card
from gaze_vlm_ros.errors import GazeVlmError, exit_code
from gaze_vlm_ros.labelling.embeddings import load_embedder
from gaze_vlm_ros.labelling.replies import Embed
from gaze_vlm_ros.labels import LabelSet
from gaze_vlm_ros.vlm.loading import load_vlm
from training import metrics
from training.answers import Answers, ask
from training.bags import find_bags, load_recordings
from training.data import Dataset, prepare
from training.gaze_block import load_gaze_block
from training.model import resolve_device
from training.settings import load_settings


class TrainedOn(GazeVlmError):
    """A session given for evaluation was trained on."""


class WillNotOverwrite(GazeVlmError):
    """The output file is there already."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.json and arguments.json.exists():
        raise WillNotOverwrite(f"{arguments.json} is there already; give another --json")
    card = read_card(arguments.checkpoint)
    embed = load_embedder(arguments.embedding_model) if arguments.embedding_model else None
    settings = replace(load_settings(arguments.checkpoint / "settings.yaml"), gaze_error=0.0)  # scored by true gaze
    sessions = load_recordings(find_bags(arguments.bags), settings)
    for session in sessions:
        if session.digest in card.trained_on:
            raise TrainedOn(f"{session.path} was trained on (or chose the checkpoint); evaluate on other sessions")

    device = resolve_device(arguments.device)
    model, processor = load_vlm(arguments.checkpoint, device=device, dtype=getattr(torch, settings.dtype))
    labels = LabelSet(card.labels, card.verbs, card.object_classes)
    data = prepare(sessions, labels, settings, model, processor, arguments.cache, gaze_needed=False)
    if card.gaze_block:
        load_gaze_block(model, arguments.checkpoint, data.visual)
    answers = ask(model, processor, data, settings, device)
    scores = score(card, data, answers, arguments.examples, embed)
    print(table(scores))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(_plain(scores), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def score(card: Card, data: Dataset, answers: Answers, examples: int = 0, embed: Embed | None = None) -> dict[str, Any]:
    """All figures of an evaluation, ready for JSON: of each kind of scene, and of all together.

    embed: sentence embeddings for the semantic score; None = it is left out.
    """
    scenes = np.array([data.sessions[window.session].scene for window in data.windows])
    groups = {str(scene): np.flatnonzero(scenes == scene) for scene in dict.fromkeys(scenes.tolist())}
    if len(groups) > 1:
        groups["all"] = np.arange(len(scenes))
    chances = metrics.probabilities(answers.log_likelihoods, card.temperature)
    best = chances.argmax(axis=1)
    wanted = [window.answer for window in data.windows]
    by_text = {"rouge_l": np.array(list(map(metrics.rouge_l, answers.generated, wanted)))}
    if embed:
        by_text["semantic"] = metrics.semantic_scores(answers.generated, wanted, embed)
    return {
        "checkpoint": card.model_id,
        "base_model": card.base_model,
        "gaze_use": card.gaze_use,
        "labels": list(card.labels),
        "temperature": card.temperature,
        "answer_ms": float(np.median(answers.seconds)) * 1e3,
        "groups": {name: _group_scores(rows, card, data, answers, chances, by_text) for name, rows in groups.items()},
        "sessions": data.session_table(["test"] * len(data.sessions)),
        "windows": [
            {
                "session": data.sessions[window.session].name,
                "at_ns": window.at_ns,
                "lead_s": round((window.answer_start_ns - window.at_ns) / 1e9, 3),
                "answer": window.answer,
                "ranked": card.labels[best[row]],
                "probability": round(float(chances[row, best[row]]), 4),
                "generated": answers.generated[row],
            }
            for row, window in enumerate(data.windows)
        ],
        "examples": [_example(row, card, data, answers, chances) for row in _example_rows(groups, data, examples)],
    }


def _group_scores(
    rows: NDArray[np.int64],
    card: Card,
    data: Dataset,
    answers: Answers,
    chances: NDArray[np.float64],
    by_text: Mapping[str, NDArray[np.float64]],
) -> dict[str, Any]:
    truth = data.answer_index[rows]
    chances, likelihoods = chances[rows], answers.log_likelihoods[rows]
    session = np.array([data.windows[row].session for row in rows])
    first, fifth = (metrics.top_k_hits(chances, truth, k) for k in (1, 5))
    exact = np.array([answers.generated[row] == data.windows[row].answer for row in rows])
    confidence, accuracy, count = reliability(chances.max(axis=1), first)
    untempered = metrics.probabilities(likelihoods).max(axis=1)
    lead_s = np.array([(data.windows[row].answer_start_ns - data.windows[row].at_ns) / 1e9 for row in rows])
    lead_bin = np.round(lead_s * 2) / 2  # half seconds
    gaze, attention = data.gaze[rows].astype(np.float64), answers.attention[rows]
    # A fixation covers a few tokens of each frame: one in 16, and at least one a frame.
    top = max(len(data.windows[0].frames), data.gaze.shape[1] // 16)

    def interval(values: NDArray[Any]) -> dict[str, float]:
        low, high = metrics.bootstrap_interval(session, lambda chosen: float(values[chosen].mean()))
        return {"value": float(values.mean()), "low": low, "high": high}

    recall_low, recall_high = metrics.bootstrap_interval(
        session, lambda chosen: metrics.class_mean_recall(first[chosen], truth[chosen]), draws=300
    )
    return {
        "windows": len(rows),
        "sessions": len(np.unique(session)),
        "top1": interval(first),
        "top5": interval(fifth),
        "class_mean_recall": {
            "value": metrics.class_mean_recall(first, truth), "low": recall_low, "high": recall_high,
        },
        "exact_match": interval(exact),
        **{name: interval(values[rows]) for name, values in by_text.items()},  # of the generated answers
        "negative_log_likelihood": metrics.negative_log_likelihood(likelihoods, truth, card.temperature),
        "calibration_error": calibration_error(chances.max(axis=1), first),
        "calibration_error_before": calibration_error(untempered, first),  # as if the temperature were 1
        "reliability": {"confidence": confidence, "accuracy": accuracy, "count": count},
        "top1_by_lead": {f"{lead:.1f} s": float(first[lead_bin == lead].mean()) for lead in np.unique(lead_bin)},
        "gaze_share": float(data.has_gaze[rows].mean()),
        "attention": {"k": top, **metrics.attention_scores(gaze, attention, top)},
    }  # fmt: skip


def _example_rows(groups: Mapping[str, NDArray[np.int64]], data: Dataset, examples: int) -> list[int]:
    """`examples` windows of each scene, evenly spread over those that have gaze: the same for every checkpoint."""
    chosen: list[int] = []
    for name, rows in groups.items():
        usable = rows[data.has_gaze[rows]]
        if name != "all" and len(usable):
            chosen += usable[np.linspace(0, len(usable) - 1, examples + 2).round().astype(int)[1:-1]].tolist()
    return chosen


def _example(row: int, card: Card, data: Dataset, answers: Answers, chances: NDArray[np.float64]) -> dict[str, Any]:
    window = data.windows[row]
    session = data.sessions[window.session]
    best = int(chances[row].argmax())
    return {
        "bag": str(session.path.resolve()),
        "session": session.name,
        "scene": session.scene,
        "frames": list(window.frames),
        "lead_s": (window.answer_start_ns - window.at_ns) / 1e9,
        "answer": window.answer,
        "answered": card.labels[best],
        "probability": float(chances[row, best]),
        "frame_of_token": data.frame_of_token.tolist(),
        "boxes": data.boxes.round(2).tolist(),
        "gaze": data.gaze[row].round(6).tolist(),
        "gaze_points": [np.round(points, 1).tolist() for points, _ in data.gaze_points(row)],
        "attention": answers.attention[row].round(6).tolist(),
    }


def table(scores: Mapping[str, Any]) -> str:
    """The main figures as text."""
    semantic = any("semantic" in group for group in scores["groups"].values())
    title = f"{'semantic':>10}" if semantic else ""
    lines = [
        f"{'scene':<16}{'top-1':>7}{'95 % interval':>16}{'top-5':>7}{'exact':>7}{'ROUGE-L':>9}"
        f"{title}{'overlap':>9}{'KL':>7}{'ECE, T=1':>10}{'ECE':>7}{'windows':>9}"
    ]
    for name, group in scores["groups"].items():
        top1, attention = group["top1"], group["attention"]
        span = f"{top1['low']:.2f} to {top1['high']:.2f}" if math.isfinite(top1["low"]) else "one session"
        lines.append(
            f"{name:<16}{top1['value']:>7.3f}{span:>16}{group['top5']['value']:>7.3f}{group['exact_match']['value']:>7.3f}"
            f"{group['rouge_l']['value']:>9.3f}"
            + (f"{group['semantic']['value']:>10.3f}" if semantic else "")
            + f"{attention['top_k_overlap']:>9.3f}{attention['kl']:>7.2f}"
            f"{group['calibration_error_before']:>10.3f}{group['calibration_error']:>7.3f}{group['windows']:>9}"
        )
    return "\n".join([*lines, f"an answer takes {scores['answer_ms']:.1f} ms (median)"])


def _plain(value: Any) -> Any:
    """JSON has no NaN: None stands for it."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="folder that fit.py wrote")
    parser.add_argument("bags", nargs="+", metavar="BAG", help="bag folders, .mcap files, folders of bags, or globs")
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    parser.add_argument("--examples", type=int, default=2, help="windows of each scene to keep whole (default: 2)")
    parser.add_argument("--cache", type=Path, help="folder for prepared windows, shared by checkpoints of one recipe")
    parser.add_argument(
        "--embedding-model",
        metavar="NAME",
        help="folder or hub name, such as sentence-transformers/all-MiniLM-L6-v2: semantic score of what is generated",
    )
    parser.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code("evaluate.py", main))
