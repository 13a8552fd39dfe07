"""The whole demo, small: every program of it runs, and every figure of its summary is one of that run."""

import json
import re
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.demo.jobs import run_side_by_side
from gaze_vlm_ros.demo.output_folder import NotOurs
from gaze_vlm_ros.demo.sessions import bench_settings, plan_sessions
from gaze_vlm_ros.demo.workbench import DemoSettings, UnknownArm, run_workbench
from gaze_vlm_ros.nodes.child_processes import Child, StepFailed
from gaze_vlm_ros.prediction.checkpoint import read_checkpoint_metadata
from gaze_vlm_ros.session.session import Session, load_session, require_gaze, require_labels
from gaze_vlm_ros.sim.bench_session import write_bag
from gaze_vlm_ros.storage.settings_file import load_settings_file
from gaze_vlm_ros.terminal.status_line import StatusLine

ROOT = Path(__file__).resolve().parents[2]

BASE = {
    "model": "tiny:smolvlm",
    "model_options": {"image_size": 32, "patch_size": 8, "merge": 2, "hidden": 32, "text_layers": 3,
                      "vision_layers": 1},
    "stages": [{"frames": 1, "steps": 2, "batch_size": 2}], "check_pictures": 2,
}  # fmt: skip
FIT = {
    "horizon_s": 2.0, "observation_s": 1.0, "frames": 2, "moments_every_s": 0.4, "leads_s": [], "gaze_window_s": 0.1,
    "gaze_flow": False, "batch_size": 4, "check_every": 10, "validation": ["train_00"],
}  # fmt: skip
DEMO = {
    "training_sessions": 3, "held_out_sessions": 1, "misleading_sessions": 2, "recorded_sessions": 2,
    "session_s": 12.0, "tasks": ["tidy", "sort"], "speed": 4.0, "arms": ["gaze", "none"], "live_s": 8.0,
    "live_rate_hz": 5.0, "live_precision": 0.5, "minutes": 1.0, "steps": 20, "base": "config/pretrain_workbench.yaml",
}  # fmt: skip
ARMS = ["gaze", "no gaze (λ = 0)"]


def _shell(name: str, command: str, folder: Path) -> list[Child]:
    return [Child(name, ["sh", "-c", command], folder / f"{name}.log", {})]


def test_a_job_that_fails_is_begun_again_as_often_as_it_may(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Fails once, and then finds what it left.
    once = partial(
        _shell, "once", f"ls {tmp_path}/left || {{ touch {tmp_path}/left; echo 69 lost; exit 1; }}", tmp_path
    )
    always = partial(_shell, "always", "exit 3", tmp_path)
    fine = partial(_shell, "fine", "true", tmp_path)
    status, nothing = StatusLine("jobs"), Child.last_line
    assert run_side_by_side([("fine", fine), ("once", once)], 30, status, nothing, attempts=2) == ["once"]
    assert re.search(
        r"once is started again: once failed \(exit code 1\): 69 lost; see .*once\.log", capsys.readouterr().out
    )
    with pytest.raises(StepFailed, match="always failed"):
        run_side_by_side([("always", always)], 30, status, nothing, attempts=2)
    assert capsys.readouterr().out.count("always is started again") == 1


def require_equal(recorded: Session, drawn: Session) -> None:
    """A drawn session is the recorded one, but for the time of day."""
    assert (recorded.name, recorded.person, recorded.task, recorded.scene) == (
        drawn.name, drawn.person, drawn.task, drawn.scene,
    )  # fmt: skip
    gaze, drawn_gaze = require_gaze(recorded), require_gaze(drawn)
    labels, drawn_labels = require_labels(recorded), require_labels(drawn)
    first_ns, drawn_first_ns = recorded.frames.stamps_ns[0], drawn.frames.stamps_ns[0]
    np.testing.assert_array_equal(recorded.frames.stamps_ns - first_ns, drawn.frames.stamps_ns - drawn_first_ns)
    np.testing.assert_array_equal(gaze.stamps_ns - first_ns, drawn_gaze.stamps_ns - drawn_first_ns)
    np.testing.assert_array_equal(gaze.xy, drawn_gaze.xy)
    assert labels.texts == drawn_labels.texts
    np.testing.assert_array_equal(labels.starts_ns - first_ns, drawn_labels.starts_ns - drawn_first_ns)
    for row in (0, len(recorded.frames) // 2):
        np.testing.assert_array_equal(recorded.frames.rgb(row), drawn.frames.rgb(row))


@pytest.mark.timeout(600)
def test_the_demo_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(FIT))
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
    recipes = {"fit_config": str(tmp_path / "fit.yaml"), "base": str(tmp_path / "base.yaml")}
    (tmp_path / "demo.yaml").write_text(yaml.safe_dump(DEMO | recipes))
    out = tmp_path / "demo"
    assert run_workbench(out, 3, tmp_path / "demo.yaml") == 0
    printed = capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())

    assert summary["settings"]["seed"] == summary["fit_settings"]["seed"] == 3
    recorded = summary["recorded"]
    counted = 0
    for bag in sorted((out / "bags").iterdir()):
        with open_bag(bag) as opened:
            assert opened.topics["/camera/image_raw/compressed"].count == 120
            if "/regions" not in opened.topics:  # recorded, not drawn
                counted += sum(topic.count for topic in opened.topics.values())
    assert (recorded["sessions"], recorded["messages"], recorded["lost"]) == (2, counted, 0)
    assert f"{counted} messages, 0 lost" in printed

    counts = [("train", 3, "workbench"), ("held_out", 1, "workbench"), ("misleading", 2, "misleading")]
    for plan in plan_sessions(counts, ["tidy", "sort"], recorded=2, seed=3):
        if plan.recorded:
            write_bag(bench_settings(plan, 12.0), tmp_path / plan.name)
            require_equal(load_session(out / "bags" / plan.name), load_session(tmp_path / plan.name))

    assert list(summary["held_out"]) == ARMS
    for arm, folder in zip(ARMS, ("fit_real", "fit_none"), strict=True):
        scores = json.loads((out / f"{folder}_scores.json").read_text())
        for scene in ("workbench", "misleading", "all"):
            figures = summary["held_out"][arm][scene]
            assert figures["accuracy"] == scores["groups"][scene]["top1"]["value"]
            assert f"{figures['accuracy']:.3f}" in printed
        assert len(read_checkpoint_metadata(out / folder).trained_on) == 3
    assert summary["held_out"]["gaze"]["all"]["sessions"] == 3

    for scene in ("workbench", "misleading", "all"):
        figures = summary["stream"][scene]["gaze"]
        scored = json.loads((out / "fit_real_scores.json").read_text())["stream"][scene]
        assert figures["negative_log_likelihood"] == scored["negative_log_likelihood"] > 0
        point = figures["at_precision_0.9"]
        assert point["false_starts_per_minute"] == scored["at_precision_0.9"]["false_starts_per_minute"]
        # The clock knows nothing of the hand, and the ceiling knows all that pixels hold.
        loss = {name: figures["negative_log_likelihood"] for name, figures in summary["stream"][scene].items()}
        assert set(loss) == {"gaze", "none", "clock", "ceiling"}
        assert loss["ceiling"] < loss["clock"]
    picture = cv2.imread(str(out / "recorded.png"))
    assert picture.shape == (720, 1440, 3)

    live = summary["live"]
    noted = json.loads((out / "live.json").read_text())
    assert live["predictions"] == len(noted["predictions"]) > 10
    # A fit of 20 steps knows little, and mostly says that nothing begins.
    assert sum(live["status_counts"][status] for status in ("OK", "ABSTAIN", "NOTHING")) > 5
    assert 0 < live["latency_ms"]["p50"] <= live["latency_ms"]["p95"]
    assert live["actions"] == len(noted["actions"]) > 0
    planner = live["planner"]
    assert planner["starts"] == planner["right"] + planner["early"] + planner["wrong"] + planner["open"]
    assert planner["starts"] == (out / "logs" / "planner.log").read_text().count("robot: begin")
    assert planner["actions"] == live["actions"]

    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 4
    assert not re.search(r"(src|href)=\"https?:", page)

    # A second run starts over in its own folder, and does not touch those of others.
    with pytest.raises(NotOurs, match="no demo wrote it"):
        run_workbench(tmp_path, 3, tmp_path / "demo.yaml")


@pytest.mark.parametrize(
    ("arms", "message"),
    [(["gaze", "text"], "no arm 'text', expected gaze, none, shuffled"), (["none"], "gaze among them")],
)
def test_an_arm_that_there_is_not_is_named(tmp_path: Path, arms: list[str], message: str) -> None:
    (tmp_path / "demo.yaml").write_text(yaml.safe_dump(DEMO | {"arms": arms, "fit_config": "config/fit_stream.yaml"}))
    with pytest.raises(UnknownArm, match=message):
        run_workbench(tmp_path / "demo", 3, tmp_path / "demo.yaml")


@pytest.mark.parametrize("name", ["demo", "demo_full"])
def test_configurations_can_be_used(name: str) -> None:
    settings = load_settings_file(DemoSettings, [ROOT / "config" / f"{name}.yaml"], example="config/demo.yaml")
    assert (ROOT / settings.fit_config).is_file()
    assert (ROOT / settings.base).is_file()
    total = settings.training_sessions + settings.held_out_sessions + settings.misleading_sessions
    assert 1 <= settings.recorded_sessions <= total


def test_no_person_is_in_two_parts() -> None:
    counts = [("train", 3, "workbench"), ("held_out", 1, "workbench"), ("misleading", 2, "misleading")]
    plans = plan_sessions(counts, ["tidy", "sort"], recorded=2, seed=0)
    assert [plan.recorded for plan in plans] == [False, True, False, False, True, False]
    assert sum(plan.recorded for plan in plan_sessions(counts, ["tidy"], recorded=6, seed=0)) == 6
    assert [plan.name for plan in plans] == [
        "train_00", "train_01", "train_02", "held_out_00", "misleading_00", "misleading_01",
    ]  # fmt: skip
    assert len({plan.person for plan in plans}) == len({plan.seed for plan in plans}) == 6
    assert [plan.scene for plan in plans] == ["workbench"] * 4 + ["misleading"] * 2
