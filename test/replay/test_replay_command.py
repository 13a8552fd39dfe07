"""`gaze-vlm replay`: the real predictor, over DDS and in simulated time, beside what it must say."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from small_bags import header, write_small_bag

from gaze_vlm_ros.bags.message_types import message_class
from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.cli import main
from gaze_vlm_ros.nodes.child_processes import Child
from gaze_vlm_ros.prediction.pacing import next_due
from gaze_vlm_ros.prediction.published import MODEL, PREDICTIONS, NothingSaid, NotTheNextAction, read_published
from gaze_vlm_ros.prediction.score import ReceivedPrediction, score
from gaze_vlm_ros.replay.command import BadParameters, Died, PredictorEnded, end_of, read_parameters, started_actions
from gaze_vlm_ros.session.session import NoLabels, load_session
from gaze_vlm_ros.storage.package_files import shared_file
from gaze_vlm_ros.video.frame_selection import pick_frames

OK, ABSTAIN, _, NO_INPUT, ERROR = range(5)
RATE_HZ, HORIZON_S, FRAMES, OBSERVATION_S = 1.2, 2.0, 3, 1.0


def test_each_frame_that_is_due_is_answered_and_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A camera of 10 Hz: more frames between two questions than the predictor's queue holds."""
    bag, answers, params = write_small_bag(tmp_path / "bag", 3, takes=5), tmp_path / "said.jsonl", tmp_path / "p.yaml"
    session = load_session(bag)
    actions, stamps_ns = started_actions(session), session.frames.stamps_ns
    texts = sorted({action.text for action in actions})
    head = {"labels": texts, "horizon_s": HORIZON_S, "frames": FRAMES, "observation_s": OBSERVATION_S}
    said = [(0.0, texts[0], 0.9), (4.0, texts[1], 0.7), (8.0, texts[0], 0.4), (11.0, texts[1], 0.8)]
    lines = [head, *({"t_s": t, "candidates": [{"text": text, "probability": p}]} for t, text, p in said)]
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    each_by_itself = {"smoothing_s": 0.0, "switch_ratio": 1.0, "frame_slack": 0.0}
    params.write_text(
        yaml.safe_dump({"/**": {"ros__parameters": {"rate_hz": RATE_HZ, "backend": "replay"} | each_by_itself}})
    )
    out = tmp_path / "out"
    arguments = ["--checkpoint", answers, "--params", params, "--threshold", "0.5", "--out", out, "--record"]
    assert main(["replay", str(bag), *map(str, arguments)]) == 0

    expected, due, origin_ns = [], -math.inf, None
    for stamp_ns in stamps_ns.tolist():
        if (later := next_due(stamp_ns / 1e9, due, 1 / RATE_HZ)) is None:
            continue
        due = later
        frames = pick_frames(stamps_ns, stamp_ns, OBSERVATION_S, FRAMES)
        if not len(frames):
            expected.append((stamp_ns, stamp_ns, stamp_ns, NO_INPUT, "", 0.0))
            continue
        first_ns = int(stamps_ns[frames[0]])
        origin_ns = origin_ns or first_ns  # of the recorded answers, the last of which holds for the horizon
        if stamp_ns - origin_ns >= (said[-1][0] + HORIZON_S) * 1e9:
            expected.append((stamp_ns, stamp_ns, stamp_ns, ERROR, "", 0.0))
            continue
        _, text, probability = [each for each in said if origin_ns + each[0] * 1e9 <= stamp_ns][-1]
        valid_ns = stamp_ns + round(HORIZON_S * 1e9)
        expected.append(
            (stamp_ns, first_ns, valid_ns, OK if probability >= 0.5 else ABSTAIN, text, pytest.approx(probability))
        )
    assert {each[3] for each in expected} == {OK, ABSTAIN, NO_INPUT, ERROR}
    with open_bag(out / "messages") as messages:
        found = [message for _, message, _ in messages.messages(["/next_action"])]
        assert messages.topics["/model_info"].count == 1

    def ns(stamp) -> int:
        return stamp.sec * 10**9 + stamp.nanosec

    assert [
        (
            ns(m.header.stamp), ns(m.observation_start), ns(m.valid_until), m.status,
            m.candidates[0].text if m.candidates else "", m.candidates[0].probability if m.candidates else 0.0,
        )
        for m in found
    ] == expected  # fmt: skip

    moments = [
        ReceivedPrediction(stamp_ns, stamp_ns, valid_ns, status, text, getattr(probability, "expected", 0.0))
        for stamp_ns, _, valid_ns, status, text, probability in expected
    ]
    wanted = score(moments, actions, HORIZON_S, int(stamps_ns[-1]))
    figures = json.loads((out / "scores.json").read_text())
    for key in ("horizons", "anticipation", "flips_per_minute", "actions", "moments"):
        assert figures[key] == wanted[key]
    assert figures["precision"]["value"] == pytest.approx(wanted["precision"]["value"])
    assert figures["calibration"]["error"] == pytest.approx(wanted["calibration"]["error"])
    recall = f"{wanted['horizons'][2]['recall']:.2f}"
    assert recall in capsys.readouterr().out
    assert recall in (out / "replay.html").read_text()


def test_parameters_are_those_of_the_launch_file(tmp_path: Path) -> None:
    assert read_parameters(shared_file("config/infer.yaml"))["rate_hz"] == 5.0
    path = tmp_path / "p.yaml"
    path.write_text("recorder:\n  ros__parameters: {rate_hz: 3.0}\n")
    with pytest.raises(BadParameters, match=r"p.yaml has no parameters of the predictor, expected them below"):
        read_parameters(path)
    path.write_text("/**: {ros__parameters: {rate_hz: 3.0}}\npredictor: {ros__parameters: {rate_hz: 2.0}}\n")
    assert read_parameters(path) == {"rate_hz": 2.0}


def test_what_tells_the_present_action_is_not_scored(tmp_path: Path) -> None:
    def messages(name: str, *current: str) -> Path:
        writer = BagWriter(tmp_path / name, {})
        for topic, kind in ((PREDICTIONS, "ActionPrediction"), (MODEL, "ModelInfo")):
            writer.add_topic(topic, f"gaze_vlm_msgs/msg/{kind}")
        at = message_class("builtin_interfaces/msg/Time")(0, 0)
        spans = [message_class("builtin_interfaces/msg/Duration")(2, 0)] * 2
        uuid = message_class("unique_identifier_msgs/msg/UUID")(np.zeros(16, np.uint8))
        for stamp_ns, action in enumerate(current):
            message = message_class("gaze_vlm_msgs/msg/ActionPrediction")(
                header(stamp_ns),
                at,
                at,
                *spans,
                uuid,
                1,
                0,
                "",
                0,
                action,
                [],
                math.nan,
                1.0,
                math.nan,
                math.nan,
                "bench",
                "",
                math.nan,
                math.nan,
                [],
            )
            writer.write_message(PREDICTIONS, message, stamp_ns)
        writer.close()
        return writer.folder

    with pytest.raises(NotTheNextAction, match="bench names the current action"):
        read_published(messages("present", "", "take the jar"))
    with pytest.raises(NothingSaid, match="no frame of the bag could be shown"):
        read_published(messages("none"))
    assert [moment.stamp_ns for moment in read_published(messages("next", "", "")).moments] == [0, 1]


def test_labels_that_begin_nothing(tmp_path: Path) -> None:
    with pytest.raises(NoLabels, match="has no labels"):
        started_actions(load_session(write_small_bag(tmp_path / "none", 0, takes=1, labels=False)))


def test_an_end_is_told_in_the_processes_own_words(tmp_path: Path) -> None:
    def ended(source: str) -> Exception:
        child = Child("predictor", [sys.executable, "-S", "-c", source], tmp_path / "log", {})
        child.wait(10.0)
        return end_of(child, "; see there")

    error = ended("raise SystemExit('predictor: error: no such checkpoint')")
    assert isinstance(error, PredictorEnded)
    assert str(error) == "no such checkpoint"
    died = ended("import os; print('camera: x', flush=True); os._exit(7)")
    assert isinstance(died, Died)
    assert str(died) == "the predictor died (exit code 7), its last line: camera: x; see there"
