"""Options of `gaze-vlm assess`. They import no library."""

from __future__ import annotations

import argparse
from pathlib import Path

from gaze_vlm_ros.bags.role_options import add_role_arguments

JSON_NAME, PAGE_NAME = "assessment.json", "assessment.html"


def add_assess_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `gaze-vlm assess`."""
    parser.add_argument("bag", type=Path, nargs="+", help="bag folder or .mcap file with camera and gaze")
    parser.add_argument(
        "--checkpoint", type=Path, required=True, metavar="RUN", help="folder that training/fit.py wrote"
    )
    parser.add_argument(
        "--baseline", type=Path, metavar="FILE", help="what is normal (default: none, and nothing is said about it)"
    )
    parser.add_argument(
        "--write-baseline", type=Path, metavar="FILE", help="make a new baseline: all bags are normal sessions"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help=f"new folder for {PAGE_NAME} and {JSON_NAME} (default: only print the table)",
    )
    parser.add_argument("--json", action="store_true", help="print all figures as JSON in place of the table")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (default: %(default)s)")
    add_role_arguments(parser)
