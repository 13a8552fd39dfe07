"""Arguments of `gaze-vlm label`, and what each of its commands calls."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any


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

    describe = commands.add_parser("describe", help="a vision-language model says, second by second, what is done")
    _add_bag(describe)
    describe.add_argument("--model", default="", metavar="FOLDER_OR_HUB", help="a model of transformers, loaded here")
    describe.add_argument("--server", default="", metavar="URL", help="or an OpenAI-compatible server, with")
    describe.add_argument("--model-name", default="", metavar="NAME", help="what the model is called there")
    describe.add_argument(
        "--key-env",
        default="OPENAI_API_KEY",
        metavar="VARIABLE",
        help="environment variable with the server's key (default: %(default)s)",
    )
    describe.add_argument("--device", default="auto", help="of a local model (default: cuda where there is one)")
    describe.add_argument(
        "--config", type=Path, metavar="YAML", help="prompt and settings (default: config/describe.yaml)"
    )
    describe.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one of these")
    describe.add_argument("--labels", type=Path, metavar="FILE", help="a closed set of labels, one a line")
    describe.add_argument("--dry-run", action="store_true", help="only say how many calls it would take")
    _add_replace(describe)

    review = commands.add_parser("review", help="a page on this machine to look through labels and correct them")
    _add_bag(review)
    review.add_argument("--port", type=int, default=0, help="of 127.0.0.1 (default: a free one)")
    review.add_argument("--reviewer", default="", help="written beside what is changed (default: who is logged in)")

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
        from gaze_vlm_ros.annotation.import_labels import columns_from, import_labels

        options["columns"] = columns_from(options["columns"])
        print(import_labels(options.pop("bag"), options.pop("file"), **options).table())
        return 0
    if arguments.label_command == "describe":
        return _run_describe(options)
    if arguments.label_command == "review":
        from gaze_vlm_ros.annotation.review.server import run_review

        return run_review(arguments.bag, arguments.port, arguments.reviewer)
    from gaze_vlm_ros.annotation.export_labels import export_labels

    print(f"{arguments.out}: {export_labels(arguments.bag, arguments.out)} labels")
    return 0


def _run_describe(options: dict[str, Any]) -> int:
    from gaze_vlm_ros.annotation.describe import describe_bag
    from gaze_vlm_ros.annotation.describe_settings import load_describe_settings
    from gaze_vlm_ros.annotation.formats.text_file import read_text

    settings = load_describe_settings(options.pop("config"), options.pop("set"))
    if (labels := options.pop("labels")) is not None:
        lines = (" ".join(line.split()) for line in read_text(labels, "a list of labels, one a line").splitlines())
        settings = replace(settings, labels=tuple(dict.fromkeys(filter(None, lines))))
    placed = describe_bag(options.pop("bag"), settings, replace_labels=options.pop("replace"), **options)
    if placed is not None:
        print(placed.table())
    return 0
