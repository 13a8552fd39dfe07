"""`gaze-vlm label`: the arguments of its commands, and the function that each calls."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from gaze_vlm_ros.bags.role_options import add_role_arguments, take_roles


def add_label_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands import, describe, review and export with their arguments."""
    commands = parser.add_subparsers(dest="label_command", required=True, metavar="COMMAND")

    importing = commands.add_parser("import", help="import labels from a CSV, WebVTT, SubRip, ELAN or Ego4D file")
    _add_bag(importing)
    importing.add_argument("file", type=Path, help="annotation file")
    importing.add_argument(
        "--format",
        choices=("csv", "webvtt", "srt", "elan", "ego4d"),
        default="",
        help="format of the file (default: by its extension)",
    )
    importing.add_argument(
        "--offset-s",
        type=float,
        default=0.0,
        metavar="S",
        help="seconds to add to every time (default: 0, times start at the first frame)",
    )
    _add_replace(importing)
    table = importing.add_argument_group("csv")
    table.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        dest="columns",
        help="column of start, end, duration, text, verb or object (default: by its name)",
    )
    table.add_argument(
        "--unit",
        default="",
        metavar="UNIT",
        help="unit of times: s, ms, us, ns, frame, clock, datetime (default: detected)",
    )
    table.add_argument(
        "--frame-rate-hz",
        type=float,
        default=0.0,
        metavar="HZ",
        help="frame rate of the annotated video, for unit frame (default: the bag's frames)",
    )
    table.add_argument(
        "--first-frame-number",
        type=int,
        default=0,
        metavar="N",
        help="number of the first frame, for unit frame (default: 0)",
    )
    table.add_argument("--delimiter", default="", help="column separator (default: detected)")
    importing.add_argument(
        "--encoding",
        default="",
        help="text encoding of csv, webvtt and srt files (default: UTF-8, or by byte-order mark)",
    )
    elan = importing.add_argument_group("elan")
    elan.add_argument("--tier", default="", help="tier with the label texts (default: the only one with times)")
    elan.add_argument("--verb-tier", default="", metavar="TIER", help="tier with the verbs of these labels")
    elan.add_argument("--object-tier", default="", metavar="TIER", help="tier with the objects of these labels")
    importing.add_argument(
        "--video", default="", metavar="UID", help="video in an Ego4D file (default: the bag's session)"
    )

    describe = commands.add_parser("describe", help="let a vision-language model describe each second")
    _add_bag(describe)
    describe.add_argument("--model", default="", metavar="FOLDER_OR_HUB", help="transformers model to load here")
    describe.add_argument("--server", default="", metavar="URL", help="OpenAI-compatible server to use instead")
    describe.add_argument("--model-name", default="", metavar="NAME", help="name of the model on the server")
    describe.add_argument(
        "--key-env",
        default="OPENAI_API_KEY",
        metavar="VARIABLE",
        help="environment variable with the server's key (default: %(default)s)",
    )
    describe.add_argument("--device", default="auto", help="device of a local model (default: CUDA if available)")
    describe.add_argument(
        "--config", type=Path, metavar="YAML", help="prompt and settings (default: config/describe.yaml)"
    )
    describe.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting")
    describe.add_argument("--labels", type=Path, metavar="FILE", help="closed set of labels, one per line")
    describe.add_argument("--dry-run", action="store_true", help="only print how many calls it would take")
    _add_replace(describe)

    review = commands.add_parser("review", help="correct labels on a web page served to this machine")
    _add_bag(review)
    review.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free port)")
    review.add_argument("--reviewer", default="", help="name stored with each correction (default: the login name)")

    export = commands.add_parser("export", help="write the labels to a .csv, .vtt or .srt file")
    _add_bag(export)
    export.add_argument("out", type=Path, help="new file; its extension gives the format")


def _add_bag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bag", type=Path, help="bag folder or .mcap file; it is not changed")
    add_role_arguments(parser)


def _add_replace(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--replace", action="store_true", help="replace the labels beside the bag")
    which.add_argument("--add", action="store_true", help="keep the labels beside the bag and add to them")


def run_label(arguments: argparse.Namespace) -> int:
    """Run the chosen command and return its exit code. Only that command's modules are imported."""
    options = {key: value for key, value in vars(arguments).items() if key not in ("command", "label_command", "run")}
    options["roles"] = take_roles(options)
    if arguments.label_command == "import":
        from gaze_vlm_ros.annotation.label_import import columns_from, import_labels

        options["columns"] = columns_from(options["columns"])
        print(import_labels(options.pop("bag"), options.pop("file"), **options).table())
        return 0
    if arguments.label_command == "describe":
        return _run_describe(options)
    if arguments.label_command == "review":
        from gaze_vlm_ros.annotation.review.server import run_review

        return run_review(**options)
    from gaze_vlm_ros.annotation.label_export import export_labels

    print(f"{arguments.out}: {export_labels(**options)} labels")
    return 0


def _run_describe(options: dict[str, Any]) -> int:
    from gaze_vlm_ros.annotation.describe_settings import load_describe_settings
    from gaze_vlm_ros.annotation.description import describe_bag
    from gaze_vlm_ros.annotation.formats.text_file import read_text

    settings = load_describe_settings(options.pop("config"), options.pop("set"))
    if (labels := options.pop("labels")) is not None:
        lines = (" ".join(line.split()) for line in read_text(labels, "a list of labels, one per line").splitlines())
        settings = replace(settings, labels=tuple(dict.fromkeys(filter(None, lines))))
    placed = describe_bag(options.pop("bag"), settings, replace_labels=options.pop("replace"), **options)
    if placed is not None:
        print(placed.table())
    return 0
