"""Score rules of a line, and the ceiling of one who knows how the bench is made, on simulated sessions.

    python training/rules.py --json build/rules.json
    python training/rules.py --bench 2 --particles 0     # rules only: seconds

What a model's figures on the simulated bench stand beside: see docs/bench.md. Needs no model, no bag and no ROS.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.errors import GazeVlmError, exit_code
from gaze_vlm_ros.prediction.stream_scores import stream_table
from gaze_vlm_ros.storage.atomic import write_text
from training.reference.given_sessions import read_sessions, reference_scores
from training.reference.measuring import measure, text
from training.reference.seen import Question, settings_of

FIRST_HELD_OUT = 1000  # seed of the first held-out session


class BadCount(GazeVlmError):
    """A number of sessions, particles or jobs with which nothing can be measured."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code. Raises BadCount."""
    arguments = _parser().parse_args(argv)
    for name, least in (("train", 2), ("test", 2), ("particles", 0), ("jobs", 1)):
        value = getattr(arguments, name)
        if value < least:
            raise BadCount(f"--{name} is {value}, expected at least {least}")
    if arguments.train > FIRST_HELD_OUT:
        raise BadCount(f"--train is {arguments.train}, expected at most {FIRST_HELD_OUT}: later sessions are held out")
    if arguments.sessions:
        scores = reference_scores(*read_sessions(arguments.sessions), Question(), arguments.particles)
        print("\n\n".join(f"{scene}\n{stream_table(of_scene)}" for scene, of_scene in scores.items()))
        if arguments.json:
            _write(arguments.json, scores)
        return 0
    figures = []
    for bench in arguments.bench:
        training = settings_of(bench, range(arguments.train))
        held_out = settings_of(bench, range(FIRST_HELD_OUT, FIRST_HELD_OUT + arguments.test))
        figures.append(
            measure(
                training, held_out, Question(), arguments.particles, arguments.jobs,
                lambda line: print(line, file=sys.stderr, flush=True),
            )
        )  # fmt: skip
        print(text(figures[-1]), end="\n\n", flush=True)
        if arguments.json:
            _write(arguments.json, figures)
    return 0


def _write(path: Path, figures: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(figures, indent=1, default=float) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=int, nargs="+", choices=(1, 2), default=[1, 2], help="default: both")
    parser.add_argument("--train", type=int, default=24, metavar="N", help="sessions to fit rules on (default: 24)")
    parser.add_argument("--test", type=int, default=20, metavar="N", help="held-out sessions (default: 20)")
    parser.add_argument(
        "--particles", type=int, default=450, metavar="N", help="of each ceiling (default: 450); 0 = no ceilings"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes for the ceilings (default: 1)")
    parser.add_argument(
        "--sessions",
        type=Path,
        metavar="FILE",
        help="score the clock and the ceiling on the sessions of this file instead",
    )
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code("rules.py", main))
