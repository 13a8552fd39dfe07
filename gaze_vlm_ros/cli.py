"""The `gaze-vlm` command."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from gaze_vlm_ros import __version__
from gaze_vlm_ros.annotation.command import add_label_arguments, run_label
from gaze_vlm_ros.errors import exit_code
from gaze_vlm_ros.exporters.command import add_export_arguments, run_export


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gaze-vlm", description="Record gaze, train with it, predict without it.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="run the whole loop: record, train with two controls, predict live")
    demo.add_argument("--out", type=Path, default=Path("build/demo"), help="output folder (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="of the simulated world and of training (default: 0)")
    demo.add_argument(
        "--device-replay",
        type=Path,
        metavar="FOLDER",
        help="in place of the simulated workbench: replay this native Neon recording through simulated glasses",
    )

    bag = commands.add_parser("bag", help="look into training bags, save what is in damaged ones")
    bag_commands = bag.add_subparsers(dest="bag_command", required=True, metavar="COMMAND")
    info = bag_commands.add_parser("info", help="what is in a bag, and what was lost")
    info.add_argument("bag", type=Path, help="bag folder or .mcap file")
    info.add_argument("--json", action="store_true", help="the same figures as JSON")
    recover = bag_commands.add_parser("recover", help="save what is whole in a damaged bag into a new one")
    recover.add_argument("bag", type=Path, help="bag folder or .mcap file; it is not changed")
    recover.add_argument("--out", type=Path, metavar="FOLDER", help="the new bag (default: BAG_recovered)")
    check = bag_commands.add_parser("check", help="is it fit for training? exit code 1 if there are warnings or errors")
    check.add_argument("bag", type=Path, nargs="+", help="bag folder or .mcap file")
    check.add_argument("--json", action="store_true", help="the findings and their figures as JSON")
    check.add_argument("--config", type=Path, metavar="FIT_YAML", help="settings of the fit (default: training's own)")

    view = commands.add_parser("view", help="a bag on screen: video, gaze, labels, predictions, delays")
    view.add_argument("bag", type=Path, help="bag folder or .mcap file")
    view.add_argument(
        "--save", type=Path, metavar="PLACE", help="write FILE.rrd, to open with Rerun, or pictures to a new FOLDER"
    )
    view.add_argument("--every", type=int, metavar="N", help="of the pictures, each Nth frame (default: one a second)")

    answers = commands.add_parser("answers", help="predictions of a bag as a file that the predictor can replay")
    answers.add_argument("bag", type=Path, help="bag folder or .mcap file with next_action")
    answers.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new file, JSON lines")

    replay = commands.add_parser("replay", help="a bag through the predictor node, scored against the bag's labels")
    replay.add_argument("bag", type=Path, help="bag folder or .mcap file with a camera and labels")
    replay.add_argument("--checkpoint", type=Path, metavar="FOLDER", help="what the predictor loads")
    replay.add_argument("--backend", metavar="NAME", help="model, openai or replay (default: as in the parameters)")
    replay.add_argument(
        "--params", type=Path, metavar="YAML", help="parameters of the predictor (default: config/infer.yaml)"
    )
    replay.add_argument(
        "--threshold", type=float, help="least probability of an answer (default: as in the parameters)"
    )
    replay.add_argument(
        "--out", type=Path, metavar="FOLDER", help="a new folder for replay.html and scores.json (default: print alone)"
    )
    replay.add_argument("--record", action="store_true", help="keep what the predictor said in FOLDER/messages, a bag")

    importing = commands.add_parser("import", help="write a recording of another program or data set as a training bag")
    _add_import_arguments(importing)

    add_export_arguments(commands.add_parser("export", help="bags as a data set that other programs train on"))

    add_label_arguments(commands.add_parser("label", help="labels beside a bag: import, describe, review, export"))
    return parser


def _add_import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=("neon", "neon-cloud", "ego4d", "egtea"), help="format of the recording")
    parser.add_argument("source", type=Path, help="its folder (neon, neon-cloud) or video (ego4d, egtea)")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the new bag")
    parser.add_argument(
        "--gaze", type=Path, metavar="FILE", help="ego4d, egtea: the gaze file (default: where the data set has it)"
    )
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="ego4d, egtea: the annotations (default: no labels)"
    )
    parser.add_argument("--events-as-labels", action="store_true", help="neon, neon-cloud: the events are actions")
    parser.add_argument("--cut", action="store_true", help="leave out what goes on beyond the video, do not refuse")
    for name in ("session", "person", "task", "scene"):
        parser.add_argument(f"--{name}", default="", help="written into the bag (default: what the recording says)")
    parser.add_argument("--max-rate-hz", type=float, default=0.0, help="of frames; more are left out (default: all)")
    parser.add_argument("--size", metavar="WxH", help="shrink frames to this, in px (default: as they are)")


def _run(arguments: argparse.Namespace) -> int:
    # Each command imports its own part only: `bag info` must not wait for a model library.
    if arguments.command == "bag" and arguments.bag_command == "recover":
        from gaze_vlm_ros.bags.recover import recover, recovery_text

        print(recovery_text(recover(arguments.bag, arguments.out)))
        return 0
    if arguments.command == "bag" and arguments.bag_command == "check":
        from gaze_vlm_ros.inspection.check import run_check

        return run_check(arguments.bag, arguments.config, arguments.json)
    if arguments.command == "view":
        from gaze_vlm_ros.view.command import run_view

        return run_view(arguments.bag, arguments.save, arguments.every)
    if arguments.command == "bag":
        from gaze_vlm_ros.inspection.info import describe, describe_as_json

        print(describe_as_json(arguments.bag) if arguments.json else describe(arguments.bag))
        return 0
    if arguments.command == "answers":
        from gaze_vlm_ros.prediction.backends.recorded import read_answers, write_answers

        head, answers = read_answers(arguments.bag)
        write_answers(arguments.out, head, answers)
        print(f"{arguments.out}: {len(answers)} answers in {answers[-1].t_s:.1f} s")
        return 0
    if arguments.command == "replay":
        from gaze_vlm_ros.replay.command import run_replay

        given = {key: value for key, value in vars(arguments).items() if key != "command"}
        return run_replay(**given)
    if arguments.command == "label":
        return run_label(arguments)
    if arguments.command == "export":
        return run_export(arguments)
    if arguments.command == "import":
        from gaze_vlm_ros.importers.importing import import_recording, parse_size

        options = {
            key: value for key, value in vars(arguments).items() if key not in ("command", "kind", "source", "out")
        }
        options["size"] = parse_size(arguments.size) if arguments.size else None
        print(import_recording(arguments.kind, arguments.source, arguments.out, **options).table())
        return 0
    if arguments.device_replay is not None:
        from gaze_vlm_ros.demo.device_replay import run_device_replay

        return run_device_replay(arguments.device_replay, arguments.out, arguments.seed)
    from gaze_vlm_ros.demo.workbench import run_workbench

    return run_workbench(arguments.out, arguments.seed)


def main(argv: list[str] | None = None) -> int:
    """Entry point of `gaze-vlm`."""
    arguments = _parser().parse_args(argv)
    try:
        code = exit_code("gaze-vlm", lambda: _run(arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
