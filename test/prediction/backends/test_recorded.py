"""Recorded answers served again, without torch: by the time since the first frame, as long as they took."""

import itertools
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gaze_vlm_ros.bags.message_types import message_class
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.cli import main
from gaze_vlm_ros.prediction.backends import recorded
from gaze_vlm_ros.prediction.backends.factory import open_backend
from gaze_vlm_ros.prediction.backends.recorded import NoAnswers, RecordedBackend, read_answers
from gaze_vlm_ros.prediction.types import Answer, NoAnswer, Observation

MUG, JAR = "take the mug", "take the jar"
T0_NS = 1_790_000_000_000_000_000


def file_of(folder: Path, *lines: Any) -> Path:
    path = folder / "answers.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def said(t_s: float, text: str, probability: float = 0.8, **more: Any) -> dict[str, Any]:
    return {"t_s": t_s, "candidates": [{"text": text, "probability": probability}], **more}


def ask(backend: Any, at_s: float, start_s: float | None = None) -> Answer:
    stamps = (T0_NS + round((at_s if start_s is None else start_s) * 1e9), T0_NS + round(at_s * 1e9))
    return backend.predict(Observation([np.zeros((4, 4, 3), np.uint8)] * 2, stamps))


def best(answer: Answer) -> str:
    return answer.texts[int(answer.probabilities.argmax())]


def test_the_last_answer_before_the_frame_is_served_again_and_again(tmp_path: Path) -> None:
    path = file_of(tmp_path, {"horizon_s": 2.0, "labels": [JAR, MUG]}, said(0, MUG), "", said(1.5, JAR, 0.6))
    backend = open_backend(path, backend="replay")
    assert (backend.metadata.labels, backend.metadata.horizon_s, backend.metadata.score_kind) == (
        (JAR, MUG),
        2.0,
        "uncalibrated",
    )
    assert [best(ask(backend, at_s)) for at_s in (0, 1.4, 1.5, 3.4, 3.5, 5.1)] == [MUG, MUG, JAR, JAR, MUG, JAR]
    answer = ask(backend, 5.2)
    np.testing.assert_allclose(answer.probabilities, [0.6, 0.0])
    assert answer.other_probability == pytest.approx(0.4)
    # A bag that is played again: its first frame is the first again.
    assert best(ask(backend, 1.0)) == MUG


def test_before_the_first_and_behind_the_last_there_is_none(tmp_path: Path) -> None:
    path = file_of(tmp_path, said(1, MUG))
    backend = RecordedBackend(path, loop=False)
    with pytest.raises(NoAnswer, match=r"the first recorded answer is 1\.0 s ahead"):
        ask(backend, 0)
    assert best(ask(backend, 2.9)) == MUG
    with pytest.raises(NoAnswer, match=r"ended 1\.0 s ago"):
        ask(backend, 4.0)


def test_an_answer_takes_as_long_as_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file_of(tmp_path, said(0, MUG, inference_s=0.2))
    slept_s: list[float] = []
    for delay, expected_s in ((True, [0.15]), (False, [])):
        clock_s = itertools.count(10.0, 0.05)  # finding the answer took 0.05 s
        watched = SimpleNamespace(sleep=slept_s.append, perf_counter=lambda clock_s=clock_s: next(clock_s))
        monkeypatch.setattr(recorded, "time", watched)
        ask(RecordedBackend(path, delay=delay), 0)
        assert slept_s == pytest.approx(expected_s)
        slept_s.clear()


def write_predictions(folder: Path, now: bool = False) -> Path:
    """A bag of predictions: no input, an answer, the same again, stale, and another answer.

    now: the person does what comes next already, with a probability of 0.6, or nothing with 0.3.
    """
    stamp, duration = (message_class(f"builtin_interfaces/msg/{name}") for name in ("Time", "Duration"))
    candidate, prediction = (message_class(f"gaze_vlm_msgs/msg/Action{n}") for n in ("Candidate", "Prediction"))
    header, uuid = message_class("std_msgs/msg/Header"), message_class("unique_identifier_msgs/msg/UUID")
    writer = BagWriter(folder, {"session": "s"})
    writer.add_topic("/next_action", "gaze_vlm_msgs/msg/ActionPrediction")
    for number, (tenths, status, text) in enumerate(
        [(0, 3, ""), (10, 0, MUG), (10, 0, MUG), (10, 2, ""), (25, 1, JAR)]
    ):
        at_ns = T0_NS + tenths * 10**8
        at, start = (stamp(ns // 10**9, ns % 10**9) for ns in (at_ns, at_ns - 10**9))
        unknown, parts = duration(-1, 0), np.empty(0, np.float32)
        candidates = [candidate("a", "take", text.split()[-1], "", text, 0.75, *[unknown] * 3, parts)] if text else []

        shared = [candidate("a", "take", text.split()[-1], "", text, 0.6, *[unknown] * 3, parts)] if text else []
        of_now = (0.6, 0.3, shared) if now and text else (np.nan, np.nan, [])
        writer.write_message(
            "/next_action",
            prediction(
                header(at, ""), start, at, duration(3, 0), duration(0, 50_000_000), uuid(np.zeros(16, np.uint8)),
                number, status, "", 2, text if now else "", candidates, 0.2, 0.05,
                *((12.0, 8.0) if text else (np.nan,) * 2), "runs@1", "x", *of_now,
            ),
            T0_NS + number * 10**8,
        )  # fmt: skip
    writer.close()
    return folder


def test_a_bag_serves_and_the_file_made_of_it_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag, file = write_predictions(tmp_path / "bag"), tmp_path / "answers.jsonl"
    assert main(["answers", str(bag), "--out", str(file)]) == 0
    assert "2 answers in 2.5 s" in capsys.readouterr().out
    assert read_answers(bag) == read_answers(file)
    for path in (bag, file):
        backend = RecordedBackend(path)
        metadata = backend.metadata
        assert (metadata.model_id, metadata.horizon_s, metadata.score_kind, metadata.labels) == (
            "runs@1",
            3.0,
            "rank_only",
            (JAR, MUG),
        )
        assert (metadata.verbs, metadata.object_classes) == (("take", "take"), ("jar", "mug"))
        # The first answered frame was the last of a window of 1 s, as it is when it is asked about here.
        answer = ask(backend, 1.0, start_s=0.0)
        assert (best(answer), answer.focus, answer.nothing_probability) == (MUG, (12.0, 8.0), 0.2)
        assert answer.other_probability == pytest.approx(0.05)
        assert best(ask(backend, 2.5, start_s=1.5)) == JAR
    assert main(["answers", str(bag), "--out", str(file)]) == 1
    assert "exists already" in capsys.readouterr().err


def test_what_goes_on_now_is_served_too(tmp_path: Path) -> None:
    bag, file = write_predictions(tmp_path / "bag", now=True), tmp_path / "answers.jsonl"
    assert main(["answers", str(bag), "--out", str(file)]) == 0
    assert read_answers(bag) == read_answers(file)
    for path in (bag, file):
        backend = RecordedBackend(path)
        assert backend.metadata.task == "future"  # candidates are of what is next
        now = ask(backend, 1.0, start_s=0.0).now
        assert now is not None
        assert dict(zip(now.texts, now.probabilities.tolist(), strict=True)) == pytest.approx({JAR: 0.0, MUG: 0.6})
        assert (now.nothing_probability, now.other_probability) == pytest.approx((0.3, 0.1))
    assert ask(RecordedBackend(write_predictions(tmp_path / "next")), 1.0, start_s=0.0).now is None


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "holds no answers"),
        (["{"], "line 1 is not JSON"),
        (["[]"], "line 1 is no JSON object"),
        ([{"label": ["a"]}], "line 1: unknown label; known are"),
        ([{"task": "past"}], "task is 'past', expected one of future, current"),
        ([{"horizon_s": 0}], "horizon_s is 0, expected a number above 0"),
        ([{"labels": ["a"]}, said(0, "b")], "candidates that are not among its labels: b"),
        ([said(0, "a"), {"labels": ["a"]}], "line 2 lacks t_s"),
        ([said(0, "a", 1.5)], "line 1: expected candidates"),
        ([said(float("nan"), "a")], "line 1: expected candidates"),
        ([said(0, "a", now={"candidates": [{"text": "a", "probability": 2}]})], "line 1: expected candidates"),
        ([{"t_s": 0, "candidates": [{"text": "a"}]}], r"line 1 is no answer \(KeyError: 'probability'\)"),
    ],
)
def test_what_cannot_be_read_is_named(lines: list[Any], why: str, tmp_path: Path) -> None:
    with pytest.raises(NoAnswers, match=why):
        RecordedBackend(file_of(tmp_path, *lines))


def test_no_such_file_and_a_bag_without_predictions(tmp_path: Path, small_bags: Path) -> None:
    with pytest.raises(NoAnswers, match="No such file or directory; give a bag"):
        RecordedBackend(tmp_path / "absent.jsonl")
    with pytest.raises(NoAnswers, match="ActionPrediction: none; expected one"):
        RecordedBackend(small_bags / "s3")


def test_it_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from gaze_vlm_ros.prediction.backends.factory import open_backend\n"
        f"open_backend({str(file_of(tmp_path, said(0, MUG)))!r}, backend='replay').warm_up()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
