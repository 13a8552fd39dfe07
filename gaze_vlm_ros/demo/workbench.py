"""The demo on the simulated workbench: record over DDS, fit with controls, predict live for a planner, report.

Each step runs the programs that users run: nodes and training scripts. Every figure is computed from this run.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from gaze_vlm_ros.demo.first_picture import save_first_picture
from gaze_vlm_ros.demo.jobs import AT_ONCE, run_side_by_side
from gaze_vlm_ros.demo.output_folder import fresh_folder
from gaze_vlm_ros.demo.planner_record import planner_record, starts_in
from gaze_vlm_ros.demo.sessions import HEIGHT, TRAINING, WIDTH, SessionPlan, bench_settings, draw, plan_sessions, record
from gaze_vlm_ros.demo.workbench_summary import held_out_figures, planner_text, print_summary, stream_figures
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.nodes.child_processes import (
    Child,
    node_command,
    private_ros_environment,
    python_command,
    started,
    training_command,
    wait_for_line,
)
from gaze_vlm_ros.nodes.live_view import READY
from gaze_vlm_ros.prediction.checkpoint import read_checkpoint_metadata
from gaze_vlm_ros.storage.package_files import shared_file
from gaze_vlm_ros.storage.settings_file import load_settings_file
from gaze_vlm_ros.terminal.status_line import StatusLine

# Arms: name in settings and summary -> (title, setting gaze). The controls separate what gaze adds from what the extra
# loss does.
ARMS = {
    "gaze": ("gaze", "real"),
    "none": ("no gaze (λ = 0)", "none"),
    "shuffled": ("shuffled gaze", "shuffled"),
}

# Files in the output folder: the settings of all sessions, and what the clock and the ceiling score on them.
SESSIONS, REFERENCE = "sessions.json", "reference.json"


class UnknownArm(GazeVlmError):
    """The settings of the demo name an arm that there is not."""


@dataclass(frozen=True)
class DemoSettings:
    """Settings of the demo; config/demo.yaml explains each."""

    training_sessions: int
    held_out_sessions: int
    misleading_sessions: int
    recorded_sessions: int
    session_s: float
    tasks: list[str]
    speed: float
    fit_config: str
    base: str  # recipe of the base model that every arm starts from (pretrain.py)
    steps: int  # of each fit
    arms: list[str]
    live_s: float
    live_rate_hz: float
    live_precision: float
    minutes: float
    seed: int = 0


def run_workbench(out: Path, seed: int, config: Path | None = None) -> int:
    """Run the whole demo into the folder `out`. Raises StepFailed, NotOurs, UnknownArm and what the steps raise.

    config: number and length of everything; None = config/demo.yaml.
    """
    config = config or shared_file("config/demo.yaml")
    settings = replace(load_settings_file(DemoSettings, [config], example="config/demo.yaml"), seed=seed)
    if unknown := [arm for arm in settings.arms if arm not in ARMS]:
        raise UnknownArm(f"{config}: no arm {unknown[0]!r}, expected {', '.join(ARMS)}")
    if "gaze" not in settings.arms:
        raise UnknownArm(f"{config}: arms are {', '.join(settings.arms)}, expected gaze among them: it predicts live")
    fresh_folder(out, asdict(settings))
    began = time.monotonic()
    print(
        f"gaze_vlm_ros demo: a simulated person at a bench, about {settings.minutes:g} minutes on two cores. "
        f"Everything goes into {out}; logs into {out / 'logs'}."
    )
    for folder in ("bags", "logs"):
        (out / folder).mkdir()
    counts = [
        (TRAINING, settings.training_sessions, "workbench"),
        ("held_out", settings.held_out_sessions, "workbench"),
        ("misleading", settings.misleading_sessions, "misleading"),
    ]
    sessions = plan_sessions(counts, settings.tasks, settings.recorded_sessions, settings.seed)
    recorded = make_sessions(sessions, settings, out)
    training = [out / "bags" / s.name for s in sessions if s.is_training]
    held_out = [out / "bags" / s.name for s in sessions if not s.is_training]
    base = base_model(settings, out)
    prepare([*training, *held_out], settings, base, out)
    fit(training, settings, base, out)
    evaluations = evaluate(held_out, settings, out)
    reference = json.loads((out / REFERENCE).read_text())
    live = predict_live(settings, out)
    summary = {
        "settings": asdict(settings),
        "fit_settings": yaml.safe_load((out / _folder("gaze") / "settings.yaml").read_text()),
        "recorded": recorded,
        "held_out": {ARMS[arm][0]: held_out_figures(evaluations[arm]) for arm in settings.arms},
        "stream": stream_figures(evaluations, reference),
        "live": live,
        "duration_s": round(time.monotonic() - began, 1),
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    report(settings, out)
    print_summary(summary, [ARMS[arm][0] for arm in settings.arms], out)
    return 0


def make_sessions(sessions: Sequence[SessionPlan], settings: DemoSettings, out: Path) -> dict[str, Any]:
    """Record some sessions over DDS and draw the others. Return what reached the recorded bags and what was lost."""
    described: dict[str, Any] = {"training": [], "held_out": {}}
    for plan in sessions:
        part = described["training"] if plan.is_training else described["held_out"].setdefault(plan.scene, [])
        part.append(asdict(bench_settings(plan, settings.session_s)))
    (out / SESSIONS).write_text(json.dumps(described, indent=1) + "\n")
    over_dds = [plan for plan in sessions if plan.recorded]
    drawn = [plan for plan in sessions if not plan.recorded]
    status = StatusLine(
        f"1/5  Record: {len(over_dds)} sessions of {settings.session_s:.0f} s over DDS, {settings.speed:g}x real time"
    )
    recorded = record(over_dds, settings.session_s, settings.speed, out, status)
    repeated = f"; {len(recorded['recorded_again'])} recorded again" if recorded["recorded_again"] else ""
    status.done(
        f"{recorded['messages']} messages in {len(over_dds)} bags ({recorded['bytes'] / 1e6:.0f} MB), "
        f"{recorded['lost']} lost{repeated}"
    )
    picture = out / "recorded.png"
    save_first_picture(out / "bags" / over_dds[0].name, picture)
    print(f"           frames with gaze of the first bag: {picture}", flush=True)
    if drawn:
        status = StatusLine(f"     Draw: {len(drawn)} more sessions straight into bags, which equal recorded ones")
        draw(drawn, settings.session_s, out, status)
        status.done(f"{len(drawn)} bags, each of another person")
    return recorded


def base_model(settings: DemoSettings, out: Path) -> list[str]:
    """Return the settings with which a fit starts from the base model, which comes with the package."""
    command = training_command("pretrain.py", "--config", shared_file(settings.base), "--cache", out / "base")
    child = Child("base model", command, out / "logs" / "base.log", private_ros_environment())
    status = StatusLine("2/5  Prepare: the base model that every fit starts from")
    run_side_by_side([("base model", lambda: [child])], 3600, status, lambda each: _short_progress(each.last_line()))
    folder = child.last_line()
    status.done("it names and locates things, and knows no action and no gaze")
    return ["--set", f"model={folder}", "--set", "model_options={}"]


def prepare(bags: Sequence[Path], settings: DemoSettings, base: Sequence[str], out: Path) -> None:
    """Convert all bags to windows once, for all fits and evaluations. base: see base_model."""
    status = StatusLine(
        f"     Prepare: windows of {len(bags)} sessions: pictures for the model, gaze on each visual token"
    )
    command = training_command(
        "fit.py", "--config", shared_file(settings.fit_config), "--set", "validation=0.0", "--set", "keep=last",
        *base, "--prepare-only", "--workers", AT_ONCE, "--cache", out / "windows", "--out", out / "prepared", *bags,
    )  # fmt: skip
    child = Child("preparation", command, out / "logs" / "prepare.log", private_ros_environment())
    run_side_by_side([("windows", lambda: [child])], 1800, status, lambda each: _short_progress(each.last_line()))
    status.done(child.last_line())


def fit(training: Sequence[Path], settings: DemoSettings, base: Sequence[str], out: Path) -> None:
    """Fit each arm on the same windows, with the same seeds and steps. base: see base_model."""
    titles = ", ".join(ARMS[arm][0] for arm in settings.arms)
    status = StatusLine(f"3/5  Fit: the same model {len(settings.arms)} times: {titles}")
    environment = private_ros_environment()

    def start(arm: str) -> list[Child]:
        command = training_command(
            "fit.py", "--config", shared_file(settings.fit_config), "--set", f"seed={settings.seed}",
            "--set", f"steps={settings.steps}", *base, "--gaze", ARMS[arm][1], "--cache", out / "windows",
            "--out", out / _folder(arm), *training,
        )  # fmt: skip
        return [Child(f"fit with {ARMS[arm][0]}", command, out / "logs" / f"{_folder(arm)}.log", environment)]

    jobs: list[tuple[str, Callable[[], list[Child]]]] = [(arm, partial(start, arm)) for arm in settings.arms]
    run_side_by_side(jobs, 1800, status, lambda child: _short_progress(child.last_line()))
    status.done(f"{len(settings.arms)} checkpoints, each a plain Hugging Face folder")


def evaluate(held_out: Sequence[Path], settings: DemoSettings, out: Path) -> dict[str, dict[str, Any]]:
    """Evaluate every checkpoint, the clock and the ceiling on all held-out sessions. Return the checkpoints' scores."""
    status = StatusLine(
        f"4/5  Evaluate: {len(held_out)} sessions that no fit has seen; the sign misleads in half of them"
    )
    environment = private_ros_environment()

    def start(arm: str) -> list[Child]:
        scores = out / f"{_folder(arm)}_scores.json"
        command = training_command(
            "evaluate.py", out / _folder(arm), *held_out, "--json", scores, "--cache", out / "windows"
        )
        log = out / "logs" / f"evaluate_{_folder(arm)}.log"
        return [Child(f"evaluation of {ARMS[arm][0]}", command, log, environment)]

    def start_reference() -> list[Child]:
        command = training_command("rules.py", "--sessions", out / SESSIONS, "--json", out / REFERENCE)
        return [Child("clock and ceiling", command, out / "logs" / "reference.log", environment)]

    jobs: list[tuple[str, Callable[[], list[Child]]]] = [(arm, partial(start, arm)) for arm in settings.arms]
    jobs.append(("clock and ceiling", start_reference))
    run_side_by_side(jobs, 900, status, lambda child: _short_progress(child.last_line()))
    status.done("scored")
    return {arm: json.loads((out / f"{_folder(arm)}_scores.json").read_text()) for arm in settings.arms}


def predict_live(settings: DemoSettings, out: Path) -> dict[str, Any]:
    """Run the predictor in real time on a session of a new person. Return what a consumer received."""
    print(f"\n=== 5/5  Predict: a new person, live for {settings.live_s:.0f} s; the predictor only sees the camera")
    environment = private_ros_environment()
    logs, result = out / "logs", out / "live.json"
    seed = settings.seed * 10_000 + 9_000
    predictor = {
        "checkpoint": str(out / _folder("gaze")), "rate_hz": settings.live_rate_hz,
        "target_precision": settings.live_precision,
    }  # fmt: skip
    simulator = {
        "seed": seed, "person": "iris", "duration_s": settings.live_s, "wait_s": 60.0, "width": WIDTH, "height": HEIGHT,
        "wait_for_subscribers": ["camera/image_raw", "label"],
    }  # fmt: skip
    checkpoint = read_checkpoint_metadata(out / _folder("gaze"))
    view = Child(
        "live view", python_command("gaze_vlm_ros.nodes.live_view", result), logs / "live_view.log", environment
    )
    node = Child(
        "predictor", node_command("predictor", predictor, logs / "predictor.yaml"), logs / "predictor.log", environment
    )
    example = shared_file("examples/handover_planner.py")
    helps_with = "helps_with:=" + json.dumps(list(checkpoint.labels))
    planner = Child(
        "planner",
        # All programs of the demo share a computer, which may hold a message up for longer than a robot should wait.
        [sys.executable, str(example), "--ros-args", "-p", helps_with, "-p", "silence_s:=2.0"],
        logs / "planner.log",
        environment,
    )
    said: list[tuple[int, str]] = []
    with started(view, node, planner):
        wait_for_line(view, READY, 60)
        wait_for_line(node, "predictor is ready", 120)
        world = Child(
            "simulator",
            node_command("simulator", simulator, logs / "live_simulator.yaml"),
            logs / "live_simulator.log",
            environment,
        )
        with started(world):
            shown = 0
            while world.running():
                shown = _print_new_lines(view, shown)
                said += [(time.time_ns(), line) for line in _new_lines(planner, len(said))]
                time.sleep(0.02)
            world.must_succeed(60)
        time.sleep(1.0)  # let the last predictions arrive
        end_ns = time.time_ns()
        node.stop_cleanly()
        planner.stop()
        view.stop()
        _print_new_lines(view, shown)
    seen = json.loads(result.read_text())
    actions = [(action["start_ns"], action["text"]) for action in seen["actions"]]
    record_of_planner = planner_record(starts_in(said), actions, checkpoint.horizon_s, end_ns)
    print(f"    planner: {planner_text(record_of_planner)}", flush=True)
    return {"seed": seed, "person": "iris", **seen["summary"], "planner": record_of_planner}


def report(settings: DemoSettings, out: Path) -> None:
    """Build report.html from the fits and their evaluations."""
    status = StatusLine("     Report")
    runs = [f"{ARMS[arm][0]}={out / _folder(arm)}:{out / _folder(arm)}_scores.json" for arm in settings.arms]
    command = training_command("report.py", "--out", out / "report.html", *runs)
    child = Child("report", command, out / "logs" / "report.log", private_ros_environment())
    with started(child):
        child.must_succeed(300)
    status.done(f"{out / 'report.html'}")


def _folder(arm: str) -> str:
    return f"fit_{ARMS[arm][1]}"


def _short_progress(line: str) -> str:
    """Text of a progress bar, without the bar."""
    head, bar, tail = line.partition("|")
    return f"{head.strip()} {tail.rpartition('|')[2].strip()}" if bar else line


def _new_lines(child: Child, seen: int) -> list[str]:
    """Return the whole lines of a child's log from number `seen` on."""
    return child.log.read_text(errors="replace").split("\n")[seen:-1]


def _print_new_lines(child: Child, shown: int) -> int:
    """Print the lines of a child's log from number `shown` on. Return how many lines there are."""
    lines = _new_lines(child, shown)
    for line in lines:
        print(f"    {line}", flush=True)
    return shown + len(lines)
