"""Export training windows as tar shards for the webdataset package, cut as fit.py cuts them with the same settings.

    python training/export_windows.py --config config/fit_smolvlm.yaml --out datasets/bench BAG...

Each part of the split has its own files: training-000000.tar, validation-000000.tar, test-000000.tar.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.bags.role_options import add_role_arguments, role_overrides
from gaze_vlm_ros.errors import GazeVlmError, exit_code
from gaze_vlm_ros.exporters.output_folder import export_folder, require_absent
from gaze_vlm_ros.windows.cutting import reasons_text
from training.data.recordings import find_bags, load_recordings
from training.data.split import split_sessions
from training.data.tar_export import write_dataset
from training.settings import load_settings


class BadShardSize(GazeVlmError):
    """The size given for a tar shard is not above zero."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code. Raises a GazeVlmError with one line for the user."""
    arguments = _parser().parse_args(argv)
    settings, out = replace(load_settings(arguments.config, arguments.set), **role_overrides(arguments)), arguments.out
    if arguments.shard_mb <= 0:
        raise BadShardSize(f"--shard-mb {arguments.shard_mb:g}: expected more than 0")
    require_absent(out)
    recordings = load_recordings(find_bags(arguments.bags), settings)
    split = split_sessions(recordings, settings)
    with export_folder(out):
        counts = write_dataset(out, recordings, split, settings, round(arguments.shard_mb * 1e6))
    for part, found in counts.items():
        dropped = reasons_text(dict(sorted(found.dropped.items()))) or "none"
        print(
            f"{part}: {found.windows} windows, {found.with_gaze} with gaze, of {len(getattr(split, part))} bags in "
            f"{len(found.files)} files; left out: {dropped}"
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, help="recipe, a YAML file (default: defaults of training/settings.py)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder for the new data set")
    parser.add_argument(
        "--shard-mb", type=float, default=500, metavar="N", help="approximate size of a tar shard, MB (default: 500)"
    )
    add_role_arguments(parser)
    parser.add_argument("bags", nargs="+", metavar="BAG", help="bag folders, .mcap files, folders of bags, or globs")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code("export_windows.py", main))
