"""Evaluate a checkpoint on sessions that it has never seen: scores of its answers and of its attention.

    python training/evaluate.py CHECKPOINT BAG... --json scores.json

Answers are ranked over the closed label set and, separately, generated freely; neither sees any part of the true
answer. The model sees only frames: gaze, if a bag has it, serves only to score attention.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.bags.role_options import add_role_arguments, role_overrides
from gaze_vlm_ros.errors import GazeVlmError, exit_code
from gaze_vlm_ros.prediction.now_scores import now_table
from gaze_vlm_ros.prediction.stream_scores import stream_table
from gaze_vlm_ros.storage.json_values import json_ready
from gaze_vlm_ros.windows.settings import PROTOCOLS
from training.evaluation.checkpoint_evaluation import evaluate_checkpoint
from training.evaluation.scores import table


class WillNotOverwrite(GazeVlmError):
    """The output file exists already."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code. Raises a GazeVlmError with one line for the user."""
    arguments = _parser().parse_args(argv)
    if arguments.json and arguments.json.exists():
        raise WillNotOverwrite(f"{arguments.json} exists already; give another --json")
    scores = evaluate_checkpoint(
        arguments.checkpoint,
        arguments.bags,
        device=arguments.device,
        cache=arguments.cache,
        examples=arguments.examples,
        embedding_model=arguments.embedding_model,
        protocol=arguments.protocol,
        unknown=arguments.unknown,
        other_settings=role_overrides(arguments),
    )
    print(table(scores))
    if "stream" in scores:
        print("\n" + stream_table(scores["stream"]) + "\n" + scores["thresholds"])
    if "now" in scores:
        print("\n" + now_table(scores["now"]))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(json_ready(scores), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="folder that fit.py wrote")
    parser.add_argument("bags", nargs="+", metavar="BAG", help="bag folders, .mcap files, folders of bags, or globs")
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    parser.add_argument("--examples", type=int, default=2, help="windows of each scene to keep in full (default: 2)")
    parser.add_argument("--cache", type=Path, help="folder for prepared windows, shared by checkpoints of one recipe")
    parser.add_argument(
        "--embedding-model",
        default="",
        metavar="NAME",
        help="add a semantic score of generated answers, by this folder or hub name, such as "
        "sentence-transformers/all-MiniLM-L6-v2",
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="",
        help="which windows to score: own, as the settings of the fit say, or epic-kitchens, one second before each "
        "action, to compare by class-mean top-5 recall (default: that of the fit)",
    )
    parser.add_argument(
        "--unknown",
        choices=("wrong", "left-out"),
        default="wrong",
        help="count windows whose answer the checkpoint does not know as wrong (the default), or leave them out",
    )
    add_role_arguments(parser)
    parser.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code("evaluate.py", main))
