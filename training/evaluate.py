"""Ask a checkpoint about sessions that it has never seen, and score its answers and its attention.

    python training/evaluate.py CHECKPOINT BAG... --json scores.json

Answers are ranked over the closed label set and, independently, generated freely; neither sees any part of the true
answer. The model sees frames alone: gaze, where a bag has it, is used for scoring attention.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.errors import GazeVlmError, exit_code
from gaze_vlm_ros.labels.label_set import LabelSet
from gaze_vlm_ros.prediction.checkpoint import read_checkpoint_metadata
from gaze_vlm_ros.vlm.embeddings import load_embedder
from gaze_vlm_ros.vlm.loading import load_vlm
from training.data.preparation import prepare
from training.data.recordings import find_bags, load_recordings
from training.evaluation.answers import ask
from training.evaluation.scores import plain, score, table
from training.model.gaze_block import load_gaze_block
from training.model.trainable import resolve_device
from training.settings import load_settings


class TrainedOn(GazeVlmError):
    """A session given for evaluation was trained on."""


class WillNotOverwrite(GazeVlmError):
    """The output file is there already."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.json and arguments.json.exists():
        raise WillNotOverwrite(f"{arguments.json} is there already; give another --json")
    metadata = read_checkpoint_metadata(arguments.checkpoint)
    embed = load_embedder(arguments.embedding_model) if arguments.embedding_model else None
    settings = replace(load_settings(arguments.checkpoint / "settings.yaml"), gaze_error=0.0)  # scored by true gaze
    sessions = load_recordings(find_bags(arguments.bags), settings)
    for session in sessions:
        if session.digest in metadata.trained_on:
            raise TrainedOn(f"{session.path} was trained on (or chose the checkpoint); evaluate on other sessions")

    device = resolve_device(arguments.device)
    model, processor = load_vlm(arguments.checkpoint, device=device, dtype=getattr(torch, settings.dtype))
    labels = LabelSet(metadata.labels, metadata.verbs, metadata.object_classes)
    data = prepare(sessions, labels, settings, model, processor, arguments.cache, gaze_needed=False)
    if metadata.gaze_block:
        load_gaze_block(model, arguments.checkpoint, data.visual)
    answers = ask(model, processor, data, settings, device)
    scores = score(metadata, data, answers, arguments.examples, embed)
    print(table(scores))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(plain(scores), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


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
