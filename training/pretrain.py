"""Pretrain a tiny base model on endless drawn pictures of the simulated bench; every fit can start from it.

    python training/pretrain.py --config config/pretrain_workbench.yaml --cache build/base
    python training/fit.py --config config/fit_demo.yaml --set model=FOLDER --set model_options={} --out RUN BAG...

It learns to name and locate things and the hand: no action, no gaze, no recording. Prints the folder of the model,
which is made once for each set of settings; that of config/pretrain_workbench.yaml comes with the repository.
`--check 400` also prints of how many held-out pictures of each bench it names the thing nearest to the hand. Needs no
ROS.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.errors import exit_code
from training.pretraining.pretraining import accuracy_by_bench, base_model
from training.pretraining.settings import BadPretraining, load_pretrain_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code. Raises a GazeVlmError with one line for the user."""
    arguments = _parser().parse_args(argv)
    if arguments.check is not None and arguments.check < 1:
        raise BadPretraining(f"--check is {arguments.check}, expected a number of pictures from 1")
    settings = load_pretrain_settings(arguments.config, arguments.set)
    folder = base_model(settings, arguments.cache)
    print(folder)
    if arguments.check:
        settings = replace(settings, check_pictures=arguments.check)
        for bench, share in accuracy_by_bench(folder, settings).items():
            print(f"bench {bench}: the nearest thing is named in {share:.3f} of {arguments.check} pictures")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, help="settings, a YAML file (default: training/pretraining/settings.py)")
    parser.add_argument("--cache", type=Path, required=True, help="folder of base models, each named by its settings")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting; repeatable"
    )
    parser.add_argument(
        "--check", type=int, metavar="N", help="print how well the model sees N held-out pictures of each bench"
    )
    return parser


if __name__ == "__main__":
    sys.exit(exit_code("pretrain.py", main))
