"""The `gaze-vlm` command: its arguments, and the function that each command calls."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from gaze_vlm_ros import __version__
from gaze_vlm_ros.annotation.command import add_label_arguments, run_label
from gaze_vlm_ros.assessment.options import add_assess_arguments
from gaze_vlm_ros.bags.role_options import add_role_arguments, take_roles
from gaze_vlm_ros.errors import exit_code
from gaze_vlm_ros.exporters.command import add_export_arguments, run_export
from gaze_vlm_ros.importers.command import add_import_arguments, run_import

_BAG_HELP = "bag folder or .mcap file"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gaze-vlm", description="Record gaze, train with it, predict without it.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="run the whole loop: record, train, compare, predict live for a planner")
    demo.add_argument("--out", type=Path, default=Path("build/demo"), help="output folder (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="seed of the simulated world and of training (default: 0)")
    demo.add_argument(
        "--device-replay",
        type=Path,
        metavar="FOLDER",
        help="replay this native Neon recording through simulated glasses instead of the simulated workbench",
    )
    demo.add_argument(
        "--full",
        action="store_true",
        help="record every session over DDS, and fit the shuffled control too",
    )
    demo.set_defaults(run=_demo)

    bag = commands.add_parser("bag", help="inspect, check and recover training bags")
    bag_commands = bag.add_subparsers(dest="bag_command", required=True, metavar="COMMAND")
    info = bag_commands.add_parser("info", help="print what a bag contains and what was lost")
    info.add_argument("bag", type=Path, help=_BAG_HELP)
    info.add_argument("--json", action="store_true", help="print the same figures as JSON")
    add_role_arguments(info)
    info.set_defaults(run=_bag_info)
    recover = bag_commands.add_parser("recover", help="copy what is intact in a damaged bag to a new bag")
    recover.add_argument("bag", type=Path, help=f"{_BAG_HELP}; it is not changed")
    recover.add_argument("--out", type=Path, metavar="FOLDER", help="new bag (default: BAG_recovered)")
    recover.set_defaults(run=_bag_recover)
    anonymize = bag_commands.add_parser("anonymize", help="copy a bag with faces hidden in its pictures")
    anonymize.add_argument("bag", type=Path, help=f"{_BAG_HELP}; it is not changed")
    anonymize.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new bag")
    anonymize.add_argument(
        "--leave-out", nargs="+", default=(), metavar="TOPIC", help="topics that the copy shall not have, such as sound"
    )
    anonymize.add_argument(
        "--regions", type=Path, metavar="CSV", help="boxes to hide too: start_s, end_s, x0, y0, x1, y1 (px)"
    )
    anonymize.add_argument("--score", type=float, default=0.2, help="least score of a face, 0.1 to 1 (default: 0.2)")
    anonymize.add_argument(
        "--sheet", type=Path, metavar="PNG", help="picture of the least certain faces (default: OUT_faces.png)"
    )
    anonymize.set_defaults(run=_bag_anonymize)
    check = bag_commands.add_parser("check", help="check bags for training; exit code 1 on warnings or errors")
    check.add_argument("bag", type=Path, nargs="+", help=_BAG_HELP)
    check.add_argument("--json", action="store_true", help="print findings and figures as JSON")
    check.add_argument(
        "--config", type=Path, metavar="FIT_YAML", help="training recipe to check for (default: training's defaults)"
    )
    add_role_arguments(check)
    check.set_defaults(run=_bag_check)

    doctor = commands.add_parser("doctor", help="listen on the running robot and print what is wrong; exit code 1 then")
    doctor.add_argument("--camera-topic", default="camera/image_raw", metavar="TOPIC", help="default: %(default)s")
    doctor.add_argument("--gaze-topic", default="gaze", metavar="TOPIC", help="default: %(default)s")
    doctor.add_argument("--seconds", type=float, default=5.0, help="time to listen (default: %(default)g)")
    doctor.add_argument(
        "--folder", type=Path, default=Path(), help="where bags are to be written (default: the current folder)"
    )
    doctor.add_argument("--checkpoint", type=Path, metavar="FOLDER", help="checkpoint that the predictor is to load")
    doctor.set_defaults(run=_doctor)

    view = commands.add_parser("view", help="show a bag: video, gaze, labels, predictions, delays")
    view.add_argument("bag", type=Path, help=_BAG_HELP)
    view.add_argument(
        "--save",
        type=Path,
        metavar="PLACE",
        help="write FILE.rrd for Rerun, or pictures to a new FOLDER, instead of opening a window",
    )
    view.add_argument(
        "--every", type=int, metavar="N", help="write every Nth frame as a picture (default: one a second)"
    )
    add_role_arguments(view)
    view.set_defaults(run=_view)

    answers = commands.add_parser("answers", help="extract a bag's predictions to a file for the replay backend")
    answers.add_argument("bag", type=Path, help=f"{_BAG_HELP} with next_action")
    answers.add_argument("--out", type=Path, required=True, metavar="FILE", help="new file, JSON lines")
    answers.set_defaults(run=_answers)

    replay = commands.add_parser("replay", help="play a bag to the predictor node and score it against the labels")
    replay.add_argument("bag", type=Path, help=f"{_BAG_HELP} with a camera and labels")
    replay.add_argument("--checkpoint", type=Path, metavar="FOLDER", help="checkpoint for the predictor to load")
    replay.add_argument("--backend", metavar="NAME", help="model, openai or replay (default: from the parameters)")
    replay.add_argument(
        "--params", type=Path, metavar="YAML", help="parameters of the predictor (default: config/infer.yaml)"
    )
    replay.add_argument(
        "--threshold", type=float, help="lowest probability of an answer (default: from the parameters)"
    )
    replay.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="new folder for replay.html and scores.json (default: only print the scores)",
    )
    replay.add_argument("--record", action="store_true", help="also keep the predictor's messages as FOLDER/messages")
    add_role_arguments(replay)
    replay.set_defaults(run=_replay)

    assess = commands.add_parser(
        "assess", help="compare gaze of whole sessions with a model's attention and a baseline"
    )
    add_assess_arguments(assess)
    assess.set_defaults(run=_assess)

    importing = commands.add_parser("import", help="import another program's or data set's recording as a training bag")
    add_import_arguments(importing)
    importing.set_defaults(run=run_import)

    export = commands.add_parser("export", help="export bags as a data set for other training programs")
    add_export_arguments(export)
    export.set_defaults(run=run_export)

    label = commands.add_parser("label", help="import, describe, review and export labels beside a bag")
    add_label_arguments(label)
    label.set_defaults(run=run_label)
    return parser


# Each command imports its own modules when it runs: `bag info` must not wait for a model library.


def _demo(arguments: argparse.Namespace) -> int:
    if arguments.device_replay is not None:
        from gaze_vlm_ros.demo.device_replay import run_device_replay

        return run_device_replay(arguments.device_replay, arguments.out, arguments.seed)
    from gaze_vlm_ros.demo.workbench import run_workbench
    from gaze_vlm_ros.storage.package_files import shared_file

    config = shared_file("config/demo_full.yaml") if arguments.full else None
    return run_workbench(arguments.out, arguments.seed, config)


def _bag_info(arguments: argparse.Namespace) -> int:
    from gaze_vlm_ros.inspection.info import describe, describe_as_json

    roles = take_roles(vars(arguments))
    print(describe_as_json(arguments.bag, roles) if arguments.json else describe(arguments.bag, roles))
    return 0


def _bag_recover(arguments: argparse.Namespace) -> int:
    from gaze_vlm_ros.bags.recover import recover, recovery_text

    print(recovery_text(recover(arguments.bag, arguments.out, progress=True)))
    return 0


def _bag_anonymize(arguments: argparse.Namespace) -> int:
    from gaze_vlm_ros.privacy.anonymize import anonymize_bag

    done = anonymize_bag(
        arguments.bag, arguments.out, leave_out=arguments.leave_out, regions=arguments.regions,
        score=arguments.score, sheet=arguments.sheet, progress=True,
    )  # fmt: skip
    print(done.text())
    return 0


def _bag_check(arguments: argparse.Namespace) -> int:
    from gaze_vlm_ros.inspection.check import run_check

    return run_check(arguments.bag, arguments.config, arguments.json, take_roles(vars(arguments)))


def _doctor(arguments: argparse.Namespace) -> int:
    from gaze_vlm_ros.nodes.dds_transport import use_tested_transport

    use_tested_transport()  # before rclpy is imported
    from gaze_vlm_ros.nodes.doctor import run_doctor

    return run_doctor(
        arguments.camera_topic, arguments.gaze_topic, arguments.seconds, arguments.folder, arguments.checkpoint
    )


def _view(arguments: argparse.Namespace) -> int:
    from gaze_vlm_ros.view.command import run_view

    return run_view(arguments.bag, arguments.save, arguments.every, take_roles(vars(arguments)))


def _answers(arguments: argparse.Namespace) -> int:
    from gaze_vlm_ros.prediction.backends.recorded import read_answers, write_answers

    head, answers = read_answers(arguments.bag)
    write_answers(arguments.out, head, answers)
    print(f"{arguments.out}: {len(answers)} answers in {answers[-1].t_s:.1f} s")
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    from gaze_vlm_ros.replay.command import run_replay

    options: dict[str, Any] = {key: value for key, value in vars(arguments).items() if key not in ("command", "run")}
    return run_replay(roles=take_roles(options), **options)


def _assess(arguments: argparse.Namespace) -> int:
    from gaze_vlm_ros.assessment.command import run_assess

    options: dict[str, Any] = {key: value for key, value in vars(arguments).items() if key not in ("command", "run")}
    return run_assess(
        options.pop("bag"), write=options.pop("write_baseline"), as_json=options.pop("json"), roles=take_roles(options),
        **options,
    )  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run the `gaze-vlm` command and return its exit code. argv: arguments; None = those of the process."""
    arguments = _parser().parse_args(argv)
    try:
        code = exit_code("gaze-vlm", lambda: arguments.run(arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
