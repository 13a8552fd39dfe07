"""Train and score variants of one recipe over several seeds; write tables and figures for a paper.

    python training/ablate.py --config config/ablate_workbench.yaml --out build/ablation --jobs 2
    python training/ablate.py --config my.yaml --out runs --train bags/train_* --test bags/test_*

Each run is a fit and an evaluation on sessions that no fit has seen. Finished runs are kept: the same command continues
where the last one ended, and runs the seeds or arms that the configuration has gained. Tables and figures are written
after each run, and a run that fails does not stop the others. Needs no ROS.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.bags.role_options import add_role_arguments, role_overrides
from gaze_vlm_ros.errors import exit_code
from training.ablation.experiment import run_ablation


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code. Raises a GazeVlmError with one line for the user."""
    arguments = _parser().parse_args(argv)
    run_ablation(
        arguments.config,
        arguments.out,
        train=arguments.train or (),
        test=arguments.test or (),
        jobs=arguments.jobs,
        device=arguments.device,
        limit_s=arguments.limit_s,
        cache=arguments.cache,
        keep_weights=arguments.keep_weights,
        other_settings=role_overrides(arguments),
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="arms, seeds and sweeps; config/ablate_*.yaml")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs, tables and figures")
    parser.add_argument("--train", nargs="+", type=Path, metavar="BAG", help="bags to fit (default: simulated ones)")
    parser.add_argument("--test", nargs="+", type=Path, metavar="BAG", help="bags to score, of other sessions")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time (default: one per core)")
    parser.add_argument("--device", default="auto", help="auto (the default), cpu or cuda; jobs share a GPU")
    parser.add_argument(
        "--limit-s", type=float, default=0.0, metavar="N", help="start no run after this many seconds (0 = no limit)"
    )
    parser.add_argument("--cache", type=Path, help="folder for prepared windows (default: in --out)")
    add_role_arguments(parser)
    parser.add_argument("--keep-weights", action="store_true", help="keep every checkpoint")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code("ablate.py", main))
