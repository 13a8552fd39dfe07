"""`gaze-vlm import`: its arguments, and the call that they become."""

from __future__ import annotations

import argparse
from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.kinds import KINDS, kinds_with


class NoPlace(GazeVlmError):
    """It is not said where to write."""


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `gaze-vlm import`."""
    parser.add_argument("kind", choices=tuple(KINDS), help="format of the recording")
    sources = "; ".join(f"{name}: {kind.source}" for name, kind in KINDS.items())
    parser.add_argument("source", type=Path, help=f"the recording ({sources})")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="new bag")
    parser.add_argument(
        "--dry-run",
        type=Path,
        metavar="FOLDER",
        help="write no bag: print what was understood, and draw gaze on ten frames into this new folder",
    )
    parser.add_argument(
        "--mapping",
        type=Path,
        metavar="FILE",
        help=f"what the columns of a table of gaze mean: {kinds_with('mapping')}",
    )
    parser.add_argument(
        "--gaze", type=Path, metavar="FILE", help=f"gaze file (default: where the format has it): {kinds_with('gaze')}"
    )
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help=f"annotation file (default: no labels): {kinds_with('labels')}"
    )
    parser.add_argument(
        "--events-as-labels",
        action="store_true",
        help=f"use the recording's events as labels: {kinds_with('events_as_labels')}",
    )
    parser.add_argument(
        "--distance-m",
        type=float,
        metavar="M",
        help=f"distance of gaze where the recording has none (default: 1, holoassist 0.5): {kinds_with('distance_m')}",
    )
    parser.add_argument(
        "--episode", type=int, metavar="N", help=f"episode of a data set, from 0 (default: 0): {kinds_with('episode')}"
    )
    parser.add_argument(
        "--cut", action="store_true", help="leave out gaze and labels beyond the end of the video instead of refusing"
    )
    for name in ("session", "person", "task", "scene"):
        parser.add_argument(f"--{name}", default="", help=f"{name} to store in the bag (default: the recording's own)")
    parser.add_argument(
        "--max-rate-hz", type=float, default=0.0, help="highest frame rate to keep (default: all frames)"
    )
    parser.add_argument("--size", metavar="WxH", help="shrink frames to this size, px (default: original size)")


def run_import(arguments: argparse.Namespace) -> int:
    """Import the recording, print a summary and return the exit code, 0.

    Raises NoPlace, and what import_recording and show_session raise.
    """
    from gaze_vlm_ros.importers.importing import import_recording, parse_size

    if (arguments.out is None) == (arguments.dry_run is None):
        raise NoPlace("give either --out FOLDER for the bag, or --dry-run FOLDER for pictures")
    options = {
        key: value
        for key, value in vars(arguments).items()
        if key not in ("command", "run", "kind", "source", "out", "dry_run")
    }
    if arguments.dry_run is not None:
        from gaze_vlm_ros.importers.dry_run import show_session
        from gaze_vlm_ros.importers.importing import read_recording

        of_reader = {name: options[name] for kind in KINDS.values() for name in kind.options}
        print(show_session(read_recording(arguments.kind, arguments.source, **of_reader), arguments.dry_run))
        return 0
    options["size"] = parse_size(arguments.size) if arguments.size else None
    print(import_recording(arguments.kind, arguments.source, arguments.out, **options).table())
    return 0
