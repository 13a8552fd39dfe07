"""Arguments of `gaze-vlm label`, and what each of its commands calls."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_label_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of import, describe, review, export and stats."""
    commands = parser.add_subparsers(dest="label_command", required=True, metavar="COMMAND")

    importing = commands.add_parser("import", help="labels from a csv, WebVTT, SubRip, ELAN or Ego4D file")
    _add_bag(importing)
    importing.add_argument("file", type=Path, help="the annotation file")
    importing.add_argument("--format", choices=("csv", "webvtt", "srt", "elan", "ego4d"), default="",
                           help="default: as the file's name says")  # fmt: skip
    importing.add_argument("--offset-s", type=float, default=0.0, metavar="S",
                           help="added to every time; 0 = they begin at the bag's first frame")  # fmt: skip
    _add_replace(importing)
    table = importing.add_argument_group("csv")
    table.add_argument("--column", action="append", default=[], metavar="ROLE=NAME", dest="columns",
                       help="start, end, duration, text, verb, object (default: found by name)")  # fmt: skip
    table.add_argument("--unit", default="", metavar="UNIT",
                       help="s, ms, us, ns, frame, clock, datetime (default: as names or values say)")  # fmt: skip
    table.add_argument("--frame-rate-hz", type=float, default=0.0, metavar="HZ",
                       help="of the video whose frames were counted (default: the bag's own)")  # fmt: skip
    table.add_argument("--first-frame-number", type=int, default=0, metavar="N", help="default: 0")
    table.add_argument("--delimiter", default="", help="default: found, of comma, semicolon, tab and |")
    importing.add_argument("--encoding", default="", help="csv, webvtt, srt (default: UTF-8, or its byte-order mark)")
    elan = importing.add_argument_group("elan")
    elan.add_argument("--tier", default="", help="whose annotations are the texts (default: the only one with times)")
    elan.add_argument("--verb-tier", default="", metavar="TIER", help="of annotations about these")
    elan.add_argument("--object-tier", default="", metavar="TIER", help="of annotations about these")
    importing.add_argument("--video", default="", metavar="UID", help="ego4d: default is the bag's session")

    export = commands.add_parser("export", help="the labels as .csv, .vtt or .srt")
    _add_bag(export)
    export.add_argument("out", type=Path, help="a new file")


def _add_bag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bag", type=Path, help="bag folder or .mcap file; it is not changed, labels.json lies beside it"
    )


def _add_replace(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--replace", action="store_true", help="the labels that lie beside the bag")
    which.add_argument("--add", action="store_true", help="labels at times where it has none")


def run_label(arguments: argparse.Namespace) -> int:
    """The exit code. Each command imports its own part only."""
    options = {key: value for key, value in vars(arguments).items() if key not in ("command", "label_command")}
    if arguments.label_command == "import":
        from gaze_vlm_ros.labelling.importing import columns_from, import_labels

        options["columns"] = columns_from(options["columns"])
        print(import_labels(options.pop("bag"), options.pop("file"), **options).table())
        return 0
    from gaze_vlm_ros.labelling.exporting import export_labels

    print(f"{arguments.out}: {export_labels(arguments.bag, arguments.out)} labels")
    return 0
