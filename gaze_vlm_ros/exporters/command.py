"""`gaze-vlm export`: its arguments, and the exporter of each format."""

from __future__ import annotations

import argparse
from pathlib import Path

from gaze_vlm_ros.bags.role_options import add_role_arguments, take_roles


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one command per format, with its arguments."""
    formats = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")
    lerobot = formats.add_parser("lerobot", help="LeRobot data set, version 3.0, one episode per bag")
    lerobot.add_argument("bag", type=Path, nargs="+", help="bag folder or .mcap file with a camera and labels")
    lerobot.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new data set")
    lerobot.add_argument("--fps", type=int, metavar="N", help="frames per second (default: the fastest camera's)")
    lerobot.add_argument(
        "--no-language", action="store_true", help="no column of subtasks: for LeRobot before version 0.6"
    )
    add_role_arguments(lerobot)


def run_export(arguments: argparse.Namespace) -> int:
    """Export, print a summary and return the exit code, 0. Raises what export_lerobot raises."""
    from gaze_vlm_ros.exporters.lerobot import export_lerobot

    roles = take_roles(vars(arguments))
    print(export_lerobot(arguments.bag, arguments.out, arguments.fps, roles, language=not arguments.no_language))
    return 0
