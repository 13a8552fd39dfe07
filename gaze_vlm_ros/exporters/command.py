"""`gaze-vlm export`: what it takes, and where each format is written."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    formats = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")
    lerobot = formats.add_parser("lerobot", help="a LeRobot data set, version 3.0: one episode a bag")
    lerobot.add_argument("bag", type=Path, nargs="+", help="bag folder or .mcap file with a camera and labels")
    lerobot.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the new data set")
    lerobot.add_argument("--fps", type=int, metavar="N", help="frames a second (default: the fastest camera's)")


def run_export(arguments: argparse.Namespace) -> int:
    """Raises what the export raises; the exit code is 0."""
    from gaze_vlm_ros.exporters.lerobot import export_lerobot

    print(export_lerobot(arguments.bag, arguments.out, arguments.fps))
    return 0
