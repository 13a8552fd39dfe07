"""Take a public data set from its files to a report: import, check, divide, fit, score, compare.

    python training/recipe.py egtea /data/EGTEA_Gaze_Plus --out build/egtea --jobs 1
    python training/recipe.py my_recipe.yaml /data/mine --out build/mine

A recipe is a YAML file, config/recipe_<name>.yaml: where recordings and labels are, how sessions are divided, the arms,
and the one comparison that the study is made for. Whatever is finished is kept: the same command goes on. Needs no ROS.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.errors import exit_code
from training.recipes.recipe import known_recipes, load_recipe
from training.recipes.study import run_recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code. Raises a GazeVlmError with one line for the user."""
    arguments = _parser().parse_args(argv)
    report = run_recipe(
        load_recipe(arguments.recipe),
        arguments.data,
        arguments.out,
        protocols=arguments.protocol or (),
        leave_out=arguments.leave_out or (),
        jobs=arguments.jobs,
        device=arguments.device,
    )
    print(f"report: {report}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", metavar="RECIPE", help=f"{', '.join(known_recipes())}, or the path of a YAML file")
    parser.add_argument("data", type=Path, metavar="DATA", help="folder of the data set")
    parser.add_argument("--out", type=Path, required=True, help="folder for bags, runs and the report")
    parser.add_argument(
        "--protocol", nargs="+", metavar="NAME", help="protocols of the recipe to run (default: all of them)"
    )
    parser.add_argument(
        "--leave-out", nargs="+", metavar="NAME", help="recordings to do without; the report names them"
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1, as for one GPU)")
    parser.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code("recipe.py", main))
