"""Sessions of the demo: some are recorded over DDS, the others are drawn straight into bags."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.demo.jobs import AT_ONCE, run_side_by_side
from gaze_vlm_ros.nodes.child_processes import Child, node_command, private_ros_environment
from gaze_vlm_ros.sim.bench_session import write_bag
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from gaze_vlm_ros.terminal.status_line import StatusLine

RECORDED = ["camera/image_raw/compressed", "gaze", "label"]
WIDTH, HEIGHT = 400, 300  # px of a frame; the demo's model sees 96, so larger frames would only take longer
TRAINING = "train"  # kind of the sessions to train on


@dataclass(frozen=True)
class SessionPlan:
    """One session of a simulated person."""

    name: str
    seed: int
    person: str
    task: str
    scene: str
    recorded: bool  # over DDS; otherwise drawn

    @property
    def is_training(self) -> bool:
        """Whether fits may see it."""
        return self.name.startswith(TRAINING)


def plan_sessions(
    counts: Sequence[tuple[str, int, str]], tasks: Sequence[str], recorded: int, seed: int
) -> list[SessionPlan]:
    """Plan sessions, each with its own person.

    counts: (kind, number of sessions, scene) of each kind. recorded: how many to record over DDS, evenly spread.
    """
    total = sum(count for _, count, _ in counts)
    over_dds = {round((number + 0.5) * total / recorded - 0.5) for number in range(min(recorded, total))}
    plans: list[SessionPlan] = []
    for kind, count, scene in counts:
        for number in range(count):
            place = len(plans)
            plans.append(
                SessionPlan(
                    f"{kind}_{number:02d}", seed * 10_000 + place, f"person_{place:02d}", tasks[number % len(tasks)],
                    scene, place in over_dds,
                )
            )  # fmt: skip
    return plans


def bench_settings(plan: SessionPlan, session_s: float) -> BenchSettings:
    """Return what the simulated bench makes of a plan."""
    return BenchSettings(
        seed=plan.seed, person=plan.person, task=plan.task, scene=plan.scene, duration_s=session_s,
        width=WIDTH, height=HEIGHT,
    )  # fmt: skip


def record(
    sessions: Sequence[SessionPlan], session_s: float, speed: float, out: Path, status: StatusLine
) -> dict[str, Any]:
    """Record sessions over DDS. Return what reached the bags and what was lost, summed by topic."""

    def start(plan: SessionPlan) -> list[Child]:
        shutil.rmtree(out / "bags" / plan.name, ignore_errors=True)  # left by an attempt that lost messages
        environment = private_ros_environment()
        logs = out / "logs"
        recorder = {
            "bag": str(out / "bags" / plan.name), "session": plan.name, "person": plan.person, "task": plan.task,
            "scene": plan.scene, "tracker": "simulated", "stop_when_silent_s": 2.0, "wait_s": 60.0,
        }  # fmt: skip
        simulator = {
            "seed": plan.seed, "person": plan.person, "task": plan.task, "scene": plan.scene, "speed": speed,
            "duration_s": session_s, "wait_for_subscribers": RECORDED, "wait_s": 60.0, "width": WIDTH,
            "height": HEIGHT,
        }  # fmt: skip
        return [
            Child(f"{module} of {plan.name}", node_command(module, parameters, logs / f"{plan.name}_{module}.yaml"),
                  logs / f"{plan.name}_{module}.log", environment)
            for module, parameters in (("recorder", recorder), ("simulator", simulator))
        ]  # fmt: skip

    jobs = [(plan.name, partial(start, plan)) for plan in sessions]
    # Sessions played faster than real time can lose messages while other programs use the machine.
    again = run_side_by_side(jobs, 120 + 10 * session_s / speed, status, lambda child: child.last_line(), attempts=3)
    totals: dict[str, dict[str, int]] = {}
    size_bytes = 0
    for plan in sessions:
        with open_bag(out / "bags" / plan.name) as bag:
            size_bytes += bag.size_bytes
            for topic, total in bag.totals.items():
                of_topic = totals.setdefault(topic, {"received": 0, "written": 0, "lost": 0})
                for key in of_topic:
                    of_topic[key] += getattr(total, key)
    written, lost = (sum(topic[key] for topic in totals.values()) for key in ("written", "lost"))
    return {
        "sessions": len(sessions), "messages": written, "lost": lost, "bytes": size_bytes, "topics": totals,
        "recorded_again": again,
    }  # fmt: skip


def draw(sessions: Sequence[SessionPlan], session_s: float, out: Path, status: StatusLine) -> None:
    """Write sessions straight into bags, AT_ONCE at a time: the same bags as a recorder's, in a tenth of the time."""
    # Started afresh, not forked: this process may run threads of its own.
    with ProcessPoolExecutor(AT_ONCE, mp_context=get_context("spawn")) as pool:
        work = [pool.submit(write_bag, bench_settings(plan, session_s), out / "bags" / plan.name) for plan in sessions]
        for done, future in enumerate(as_completed(work), 1):
            future.result()
            status.show(f"{done} of {len(work)} drawn")
