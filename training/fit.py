"""Fine-tune a vision-language model on training bags, with its attention supervised by gaze.

    python training/fit.py --config config/fit_demo.yaml --out build/run BAG...
    torchrun --nproc-per-node 4 training/fit.py --config ... --cache /data/windows --out ... BAG...

Writes a plain Hugging Face folder with gaze_vlm.json, settings.yaml, data.json and metrics.jsonl beside the weights.
Ctrl-C saves the state; the same command with --resume continues from it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.bags.role_options import add_role_arguments, role_overrides
from gaze_vlm_ros.errors import GazeVlmError, exit_code
from training.run.fitting import FitRequest, fit
from training.settings import load_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code. Raises a GazeVlmError with one line for the user."""
    arguments = _parser().parse_args(argv)
    overrides = [*arguments.set, *([f"gaze={arguments.gaze}"] if arguments.gaze else [])]
    request = FitRequest(
        bags=arguments.bags,
        out=arguments.out,
        cache=arguments.cache,
        workers=arguments.workers,
        ray_address=arguments.ray,
        prepare_only=arguments.prepare_only,
        resume=arguments.resume,
        tensorboard=arguments.tensorboard,
    )
    return fit(replace(load_settings(arguments.config, overrides), **role_overrides(arguments)), request)


def _other_process() -> int:
    """Run a process other than the main one: a user error is the same in all, and the main one reports it."""
    try:
        return main()
    except GazeVlmError:
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--config", type=Path, help="recipe, a YAML file (default: the defaults of training/settings.py)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to make; must be empty or absent")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting; repeatable"
    )
    parser.add_argument(
        "--gaze", choices=("real", "none", "shuffled"), help="short for --set gaze=...: real gaze and the two controls"
    )
    parser.add_argument("--resume", action="store_true", help="continue the interrupted fit in --out")
    parser.add_argument("--cache", type=Path, help="folder for prepared windows, shared by fits of the same bags")
    parser.add_argument("bags", nargs="+", metavar="BAG", help="bag folders, .mcap files, folders of bags, or globs")
    parser.add_argument(
        "--prepare-only", action="store_true", help="convert the bags into --cache and stop: needs no GPU"
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="convert N bags at a time, one process each (default: 1)"
    )
    parser.add_argument(
        "--ray", nargs="?", const="auto", metavar="ADDRESS", help="convert bags on this Ray cluster (default: auto)"
    )
    add_role_arguments(parser)
    parser.add_argument("--tensorboard", action="store_true", help="also write the figures for TensorBoard")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code("fit.py", main) if not int(os.environ.get("RANK", 0)) else _other_process())
