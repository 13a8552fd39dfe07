"""The predictor over real DDS, in a process of its own, between a camera and a planner."""

import itertools
import json
import math
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from chat_endpoint import ChatEndpoint, completion
from ros_processes import finish, isolated_environment, start, start_node, stop
from small_bags import write_small_bag

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.prediction.backends.factory import open_backend
from gaze_vlm_ros.prediction.frame_buffer import FrameBuffer

OK, ABSTAIN, STALE_INPUT, NO_INPUT, ERROR = range(5)
SOURCE = str(Path(__file__).with_name("camera_and_planner.py"))
BAG_TOPIC = "/camera/image_raw/compressed"


def run(
    checkpoint: Path, bag: Path, folder: Path, phases: list[tuple[str, float]], **parameters: Any
) -> tuple[dict[str, Any], int, str]:
    """What the planner noted, and the predictor's exit code and output after SIGINT."""
    environment = isolated_environment()
    predictor = start_node("predictor", {"checkpoint": str(checkpoint), **parameters}, environment, folder)
    planner = start([sys.executable, SOURCE, str(bag), str(folder / "noted.json"), json.dumps(phases)], environment)
    code, said = finish(planner, 280)
    assert code == 0, said
    predictor.send_signal(signal.SIGINT)
    code, output = finish(predictor)
    return json.loads((folder / "noted.json").read_text()), code, output


def test_predictions_from_the_camera_alone(small_checkpoint: Path, small_bags: Path, tmp_path: Path) -> None:
    bag = small_bags / "s3"
    phases = [("wait", 1.0), ("show", 4.0), ("wait", 1.5), ("show", 2.0), ("broken", 1.0), ("show", 2.0)]
    exact = {"smoothing_s": 0.0, "switch_ratio": 1.0, "frame_slack": 0.0}
    noted, code, output = run(small_checkpoint, bag, tmp_path, phases, rate_hz=10.0, **exact)
    assert code == 0, output
    assert "Traceback" not in output
    predictions = noted["predictions"]
    answered = [p for p in predictions if p["status"] == OK]
    metadata = open_backend(small_checkpoint, device="cpu").metadata

    # Camera in, nothing else: no gaze topic is subscribed.
    assert [name for name in noted["subscribed"] if name not in ("/parameter_events", "/clock")] == [BAG_TOPIC]
    assert noted["info"] == {
        "model_id": metadata.model_id, "labels": list(metadata.labels), "gaze_use": metadata.gaze_use,
    }  # fmt: skip

    # Each status in its place, and a message each cycle whatever it is.
    of_phase = [[p["status"] for p in predictions if p["phase"] == phase] for phase in ("wait", "show", "broken")]
    assert predictions[0]["status"] == NO_INPUT
    assert OK in of_phase[1]
    assert ERROR in of_phase[2]
    assert predictions[-1]["status"] == OK
    assert STALE_INPUT in of_phase[0]
    assert all(p["candidates"] == {} and p["other"] == 1.0 for p in predictions if p["status"] != OK)
    damaged = next(p for p in predictions if p["status"] == ERROR)
    assert "do not decode" in damaged["status_text"]

    # Stamps are those of frames, and the answers those of the same frames offline.
    offline = open_backend(small_checkpoint, device="cpu")
    buffer, expected = FrameBuffer(metadata.observation_s, metadata.frames), {}
    with open_bag(bag) as opened:
        for stamp, index in noted["frames"].items():
            buffer.add(int(stamp), opened.read(BAG_TOPIC).message(index))
            if (observation := buffer.observation()) is not None:
                expected[int(stamp)] = observation.start_ns, offline.predict(observation)
    assert len({p["stamp_ns"] for p in answered}) > 5
    for prediction in answered:
        start_ns, answer = expected[prediction["stamp_ns"]]
        assert prediction["start_ns"] == start_ns
        for label, probability in zip(metadata.labels, answer.probabilities, strict=True):
            assert prediction["candidates"][label] == pytest.approx(probability, abs=1e-5)
        assert prediction["focus"] == pytest.approx(list(answer.focus), abs=1e-3)
        assert sum(prediction["candidates"].values()) + prediction["other"] == pytest.approx(1.0, abs=1e-5)
        assert prediction["valid_until_ns"] == prediction["stamp_ns"] + round(metadata.horizon_s * 1e9)
        assert prediction["received_ns"] <= prediction["valid_until_ns"]
        assert prediction["frame_id"] == "head_camera"
        assert prediction["inference_s"] > 0
    # A repeated answer keeps its name; another one has another.
    assert len({p["id"] for p in answered}) == len({p["stamp_ns"] for p in answered})

    # The revision moves when the answer does, and only then.
    for before, after in itertools.pairwise(predictions):
        answers = [(p["status"], max(p["candidates"], key=p["candidates"].get, default="")) for p in (before, after)]
        assert (after["revision"] - before["revision"]) % 2**32 == (answers[0] != answers[1])


def test_below_the_threshold_it_abstains_and_still_shows_its_candidates(
    small_checkpoint: Path, small_bags: Path, tmp_path: Path
) -> None:
    bounds = {"threshold": 1.0, "max_candidates": 1, "valid_s": 0.7}
    noted, _, output = run(small_checkpoint, small_bags / "s3", tmp_path, [("show", 3.0)], **bounds)
    seen = [p for p in noted["predictions"] if p["candidates"]]
    assert seen, output
    for prediction in seen:
        (probability,) = prediction["candidates"].values()
        assert prediction["status"] == ABSTAIN
        assert "the threshold is 1" in prediction["status_text"]
        assert prediction["other"] == pytest.approx(1 - probability, abs=1e-6)
        assert prediction["valid_until_ns"] - prediction["stamp_ns"] == pytest.approx(0.7e9)
    assert all(math.isnan(p["focus"][0]) for p in noted["predictions"] if not p["candidates"])


def test_a_precision_that_validation_never_promised_is_never_answered(
    small_checkpoint: Path, small_bags: Path, tmp_path: Path
) -> None:
    """24 validation windows promise no 0.95, even if all were answered rightly; 0.99 is no target of any checkpoint."""
    noted, _, output = run(small_checkpoint, small_bags / "s3", tmp_path, [("show", 3.0)], target_precision=0.95)
    seen = [p for p in noted["predictions"] if p["candidates"]]
    assert seen, output
    assert {p["status"] for p in seen} == {ABSTAIN}
    assert all("promises a precision of 0.95" in p["status_text"] for p in seen)

    parameters = {"checkpoint": str(small_checkpoint), "target_precision": 0.99}
    code, output = finish(start_node("predictor", parameters, isolated_environment(), tmp_path))
    assert code == 1
    assert "has thresholds for 0.5, 0.6, 0.7, 0.8, 0.9, 0.95; choose one of them" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("phases", "line"),
    [
        ([("h264", 150.0)], "format 'h264' cannot be read, and the bytes are no JPEG, PNG or WebP"),
        (
            [("depth", 150.0)],
            "'16UC1; png compressed ' cannot be shown to a model: it holds measurements",
        ),
        ([("words", 150.0)], "carries std_msgs/msg/String, expected sensor_msgs/msg/"),
    ],
)
def test_what_is_no_camera_is_refused(
    small_checkpoint: Path, small_bags: Path, tmp_path: Path, phases: list[tuple[str, float]], line: str
) -> None:
    environment = isolated_environment()
    predictor = start_node("predictor", {"checkpoint": str(small_checkpoint)}, environment, tmp_path)
    command = [sys.executable, SOURCE, str(small_bags / "s3"), str(tmp_path / "noted.json"), json.dumps(phases)]
    planner = start(command, environment)
    code, output = finish(predictor)
    stop(planner)
    assert code == 1
    (error,) = [text for text in output.splitlines() if text.startswith("predictor: error:")]
    assert line in error
    assert "Traceback" not in output


def test_a_camera_that_never_comes(small_checkpoint: Path, tmp_path: Path) -> None:
    """The overlay's pictures are none to choose from."""
    environment = isolated_environment()
    overlay = start_node("overlay", {}, environment, tmp_path)
    assert "overlay is ready" in next(line for line in overlay.stdout or () if "ready" in line)
    parameters = {"checkpoint": str(small_checkpoint), "camera_topic": "front/image", "camera_wait_s": 1.0}
    code, output = finish(start_node("predictor", parameters, environment, tmp_path))
    stop(overlay)
    assert code == 1
    (error,) = [text for text in output.splitlines() if text.startswith("predictor: error:")]
    assert "nobody published /front/image or /front/image/compressed within 1 s; image topics here are none" in error
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({}, "parameter checkpoint is empty, expected a folder that training/fit.py wrote"),
        ({"checkpoint": "absent"}, "no such checkpoint folder: absent"),
        ({"checkpoint": "bag"}, "bag holds no gaze_vlm.json"),
    ],
)
def test_a_checkpoint_that_is_none(
    parameters: dict[str, str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_small_bag(tmp_path / "bag", 0, takes=1)
    environment = isolated_environment() | {"PYTHONPATH": str(Path(__file__).parents[2])}
    code, output = finish(start_node("predictor", parameters, environment, tmp_path))
    assert code == 1
    (error,) = [text for text in output.splitlines() if text and not text.startswith("[INFO]")]
    assert line in error


def test_sigterm_ends_it_at_once(small_checkpoint: Path, tmp_path: Path) -> None:
    predictor = start_node("predictor", {"checkpoint": str(small_checkpoint)}, isolated_environment(), tmp_path)
    assert predictor.stdout is not None
    assert any("predictor is ready" in line for line in iter(predictor.stdout.readline, ""))
    time.sleep(0.3)
    predictor.send_signal(signal.SIGTERM)
    code, output = finish(predictor)
    assert code == 0
    assert "Traceback" not in output


def test_recorded_answers_are_published_as_a_models_are(small_bags: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    lines: list[dict[str, Any]] = [{"labels": ["go", "take"], "horizon_s": 3.0, "model_id": "hand-made"}]
    lines += [
        {"t_s": t, "candidates": [{"text": text, "probability": 0.8}]} for t, text in ((0.0, "go"), (1.5, "take"))
    ]
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    noted, code, output = run(answers, small_bags / "s3", tmp_path, [("show", 4.0)], backend="replay")
    assert code == 0, output
    answered = [p for p in noted["predictions"] if p["status"] == OK]
    best = [max(p["candidates"], key=p["candidates"].get) for p in answered]
    assert list(dict.fromkeys(best)) == ["go", "take"]
    assert answered[0]["candidates"] == pytest.approx({"go": 0.8, "take": 0.0})
    assert answered[0]["other"] == pytest.approx(0.2)
    assert noted["info"]["labels"] == ["go", "take"]
    assert "the model was trained on" not in output


def test_open_answers_are_published_by_their_text(small_checkpoint: Path, small_bags: Path, tmp_path: Path) -> None:
    noted, code, output = run(small_checkpoint, small_bags / "s3", tmp_path, [("show", 4.0)], answers="open")
    assert code == 0, output
    answered = [p for p in noted["predictions"] if p["status"] == OK]
    assert answered, output
    for prediction in answered:
        (text,) = prediction["candidates"]
        assert text.startswith("take the ")
        assert prediction["candidates"][text] + prediction["other"] == pytest.approx(1.0, abs=1e-5)
        assert prediction["score_kind"] == 2  # RANK_ONLY
    assert noted["info"]["labels"] == []


def test_a_server_that_fails_is_an_error_until_it_answers_again(
    small_checkpoint: Path, small_bags: Path, tmp_path: Path
) -> None:
    token = {"token": "take the red disc", "logprob": math.log(0.8), "top_logprobs": []}
    asked = 0

    def answer(*_: Any) -> Any:
        nonlocal asked
        asked += 1
        return (
            (500, {}, b"out of memory") if 4 < asked <= 8 else completion(token["token"], logprobs={"content": [token]})
        )

    with ChatEndpoint(answer) as server:
        options = {"backend": "openai", "server_url": server.url}
        noted, code, output = run(small_checkpoint, small_bags / "s3", tmp_path, [("show", 5.0)], **options)
    assert code == 0, output
    statuses = [status for status, _ in itertools.groupby(p["status"] for p in noted["predictions"])]
    assert [status for status in statuses if status in (OK, ERROR)] == [OK, ERROR, OK]
    failed = [p for p in noted["predictions"] if p["status"] == ERROR]
    assert all("HTTP 500: out of memory" in p["status_text"] and not p["candidates"] for p in failed)
    answered = [p for p in noted["predictions"] if p["status"] == OK]
    assert {max(p["candidates"], key=p["candidates"].get) for p in answered} == {"take the red disc"}
