"""The demo on the simulated workbench: record over DDS, fit with two controls, predict live, report.

Each step runs the programs that users run: nodes and training scripts. Every figure is computed from this run.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.demo.jobs import run_side_by_side
from gaze_vlm_ros.demo.output_folder import fresh_folder
from gaze_vlm_ros.demo.workbench_summary import held_out_figures, print_summary
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
from gaze_vlm_ros.storage.package_files import shared_file
from gaze_vlm_ros.storage.settings_file import load_settings_file
from gaze_vlm_ros.terminal.status_line import StatusLine

# Names of the fits in figures and files. The two controls separate what gaze adds from what the extra loss does.
ARMS = {"gaze": "real", "no gaze (λ = 0)": "none", "shuffled gaze": "shuffled"}
RECORDED = ["camera/image_raw/compressed", "gaze", "label"]


@dataclass(frozen=True)
class DemoSettings:
    """Settings of the demo; config/demo.yaml explains each."""

    training_sessions: int
    held_out_sessions: int
    misleading_sessions: int
    session_s: float
    tasks: list[str]
    speed: float
    fit_config: str
    live_s: float
    live_rate_hz: float
    seed: int = 0


@dataclass(frozen=True)
class SessionPlan:
    """One session to record."""

    name: str
    seed: int
    person: str
    task: str
    scene: str


def run_workbench(out: Path, seed: int, config: Path | None = None) -> int:
    """Run the whole demo into the folder `out`. Raises StepFailed, NotOurs and what the steps raise.

    config: number and length of everything; None = config/demo.yaml.
    """
    config = config or shared_file("config/demo.yaml")
    settings = replace(load_settings_file(DemoSettings, [config], example="config/demo.yaml"), seed=seed)
    fresh_folder(out, asdict(settings))
    began = time.monotonic()
    print(f"gaze_vlm_ros demo: a simulated person at a bench. Everything goes into {out}; logs into {out / 'logs'}.")
    for folder in ("bags", "logs"):
        (out / folder).mkdir()
    sessions = plan_sessions(settings)
    recorded = record(sessions, settings, out)
    training = [out / "bags" / s.name for s in sessions if s.name.startswith("train")]
    held_out = [out / "bags" / s.name for s in sessions if not s.name.startswith("train")]
    fit(training, settings, out)
    evaluations = evaluate(held_out, out)
    live = predict_live(settings, out)
    summary = {
        "settings": asdict(settings),
        "fit_settings": yaml.safe_load((out / _folder("gaze") / "settings.yaml").read_text()),
        "recorded": recorded,
        "held_out": {arm: held_out_figures(evaluations[arm]) for arm in ARMS},
        "live": live,
        "duration_s": round(time.monotonic() - began, 1),
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    report(out)
    print_summary(summary, ARMS, out)
    return 0


def plan_sessions(settings: DemoSettings) -> list[SessionPlan]:
    """Plan training, held-out and misleading sessions, each with its own person."""
    kinds = [
        ("train", settings.training_sessions, "workbench"),
        ("held_out", settings.held_out_sessions, "workbench"),
        ("misleading", settings.misleading_sessions, "misleading"),
    ]
    plans: list[SessionPlan] = []
    for kind, count, scene in kinds:
        for number in range(count):
            seed = settings.seed * 10_000 + len(plans)
            task = settings.tasks[number % len(settings.tasks)]
            plans.append(SessionPlan(f"{kind}_{number:02d}", seed, f"person_{len(plans):02d}", task, scene))
    return plans


def record(sessions: Sequence[SessionPlan], settings: DemoSettings, out: Path) -> dict[str, Any]:
    """Record every session over DDS. Return what reached the bags and what was lost, summed by topic."""
    status = StatusLine(
        f"1/5  Record: {len(sessions)} sessions of {settings.session_s:.0f} s over DDS, {settings.speed:g}x real time"
    )

    def start(plan: SessionPlan) -> list[Child]:
        shutil.rmtree(out / "bags" / plan.name, ignore_errors=True)  # left by an attempt that lost messages
        environment = private_ros_environment()
        logs = out / "logs"
        recorder = {
            "bag": str(out / "bags" / plan.name), "session": plan.name, "person": plan.person, "task": plan.task,
            "scene": plan.scene, "tracker": "simulated", "stop_when_silent_s": 2.0, "wait_s": 60.0,
        }  # fmt: skip
        simulator = {
            "seed": plan.seed, "person": plan.person, "task": plan.task, "scene": plan.scene, "speed": settings.speed,
            "duration_s": settings.session_s, "wait_for_subscribers": RECORDED, "wait_s": 60.0,
        }  # fmt: skip
        return [
            Child(f"{module} of {plan.name}", node_command(module, parameters, logs / f"{plan.name}_{module}.yaml"),
                  logs / f"{plan.name}_{module}.log", environment)
            for module, parameters in (("recorder", recorder), ("simulator", simulator))
        ]  # fmt: skip

    timeout_s = 120 + 10 * settings.session_s / settings.speed
    jobs = [(plan.name, partial(start, plan)) for plan in sessions]
    # Sessions played faster than real time can lose messages while other programs use the machine.
    again = run_side_by_side(jobs, timeout_s, status, lambda child: child.last_line(), attempts=3)
    totals: dict[str, dict[str, int]] = {}
    size_bytes = 0
    for plan in sessions:
        with open_bag(out / "bags" / plan.name) as bag:
            size_bytes += bag.size_bytes
            for topic, total in bag.totals.items():
                of_topic = totals.setdefault(topic, {"received": 0, "written": 0, "lost": 0})
                for key, value in asdict(total).items():
                    of_topic[key] += value
    written, lost = (sum(topic[key] for topic in totals.values()) for key in ("written", "lost"))
    repeated = f"; {len(again)} recorded again" if again else ""
    status.done(f"{written} messages in {len(sessions)} bags ({size_bytes / 1e6:.0f} MB), {lost} lost{repeated}")
    return {
        "sessions": len(sessions), "messages": written, "lost": lost, "bytes": size_bytes, "topics": totals,
        "recorded_again": again,
    }  # fmt: skip


def fit(training: Sequence[Path], settings: DemoSettings, out: Path) -> None:
    """Fit with real gaze and both controls on the same windows, with the same seeds and steps."""
    status = StatusLine(
        "2/5  Fit: the same model three times, with gaze, without gaze, and with gaze from other moments"
    )
    environment = private_ros_environment()

    def start(arm: str) -> list[Child]:
        command = training_command(
            "fit.py", "--config", shared_file(settings.fit_config), "--set", f"seed={settings.seed}",
            "--gaze", ARMS[arm], "--cache", out / "windows", "--out", out / _folder(arm), *training,
        )  # fmt: skip
        return [Child(f"fit with {arm}", command, out / "logs" / f"{_folder(arm)}.log", environment)]

    # The first fit prepares the windows for all three.
    first, *others = ARMS
    (leader,) = start(first)
    with started(leader):
        while leader.running() and not (out / _folder(first) / "metrics.jsonl").exists():
            status.show(leader.last_line())
            time.sleep(0.5)
        jobs: list[tuple[str, Callable[[], list[Child]]]] = [(first, lambda: [leader])]
        jobs += [(arm, partial(start, arm)) for arm in others]
        run_side_by_side(jobs, 1800, status, lambda child: _short_progress(child.last_line()))
    status.done("three checkpoints, each a plain Hugging Face folder")


def evaluate(held_out: Sequence[Path], out: Path) -> dict[str, dict[str, Any]]:
    """Evaluate every checkpoint on all held-out sessions. Return the scores of each."""
    status = StatusLine(
        f"3/5  Evaluate: {len(held_out)} sessions that no fit has seen; the sign misleads in half of them"
    )
    environment = private_ros_environment()

    def start(arm: str) -> list[Child]:
        scores = out / f"{_folder(arm)}_scores.json"
        command = training_command(
            "evaluate.py", out / _folder(arm), *held_out, "--json", scores, "--cache", out / "windows"
        )
        return [Child(f"evaluation of {arm}", command, out / "logs" / f"evaluate_{_folder(arm)}.log", environment)]

    # The first evaluation prepares the windows for the others.
    first, *others = ARMS
    run_side_by_side([(first, partial(start, first))], 900, status, lambda child: _short_progress(child.last_line()))
    jobs = [(arm, partial(start, arm)) for arm in others]
    run_side_by_side(jobs, 900, status, lambda child: _short_progress(child.last_line()))
    status.done("scored")
    return {arm: json.loads((out / f"{_folder(arm)}_scores.json").read_text()) for arm in ARMS}


def predict_live(settings: DemoSettings, out: Path) -> dict[str, Any]:
    """Run the predictor in real time on a session of a new person. Return what a consumer received."""
    print(f"\n=== 4/5  Predict: a new person, live for {settings.live_s:.0f} s; the predictor only sees the camera")
    environment = private_ros_environment()
    logs, result = out / "logs", out / "live.json"
    seed = settings.seed * 10_000 + 9_000
    predictor = {"checkpoint": str(out / _folder("gaze")), "rate_hz": settings.live_rate_hz}
    simulator = {
        "seed": seed, "person": "iris", "duration_s": settings.live_s, "wait_s": 60.0,
        "wait_for_subscribers": ["camera/image_raw", "label"],
    }  # fmt: skip
    view = Child(
        "live view", python_command("gaze_vlm_ros.nodes.live_view", result), logs / "live_view.log", environment
    )
    node = Child(
        "predictor", node_command("predictor", predictor, logs / "predictor.yaml"), logs / "predictor.log", environment
    )
    with started(view, node):
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
                time.sleep(0.2)
            world.must_succeed(60)
        time.sleep(1.0)  # let the last predictions arrive
        node.stop_cleanly()
        view.stop()
        _print_new_lines(view, shown)
    return {"seed": seed, "person": "iris", **json.loads(result.read_text())["summary"]}


def report(out: Path) -> None:
    """Build report.html from the three fits and their evaluations."""
    status = StatusLine("5/5  Report")
    runs = [f"{arm}={out / _folder(arm)}:{out / _folder(arm)}_scores.json" for arm in ARMS]
    command = training_command("report.py", "--out", out / "report.html", *runs)
    child = Child("report", command, out / "logs" / "report.log", private_ros_environment())
    with started(child):
        child.must_succeed(300)
    status.done(f"{out / 'report.html'}")


def _folder(arm: str) -> str:
    return f"fit_{ARMS[arm]}"


def _short_progress(line: str) -> str:
    """Text of a progress bar, without the bar."""
    head, bar, tail = line.partition("|")
    return f"{head.strip()} {tail.rpartition('|')[2].strip()}" if bar else line


def _print_new_lines(child: Child, shown: int) -> int:
    """Print the lines of a child's log from number `shown` on. Return how many lines there are."""
    lines = child.log.read_text(errors="replace").splitlines()
    for line in lines[shown:]:
        print(f"    {line}", flush=True)
    return len(lines)
