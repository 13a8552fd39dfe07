"""`gaze-vlm assess` over bags of the simulated bench, with a backend that attends to where gaze is led."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gaze_vlm_ros import cli
from gaze_vlm_ros.assessment import command
from gaze_vlm_ros.assessment.baseline import made_baseline
from gaze_vlm_ros.assessment.moments import MEASURES
from gaze_vlm_ros.assessment.monitoring import Monitor, Sample
from gaze_vlm_ros.assessment.sessions import assess, attend
from gaze_vlm_ros.prediction.types import Answer, FrameAttention, NoAnswer, Observation
from gaze_vlm_ros.session.session import open_session
from gaze_vlm_ros.sim.bench_session import write_bag
from gaze_vlm_ros.sim.bench_settings import BenchSettings

SIZE = (160, 120)
BOXES = np.array([(x, y, x + 20.0, y + 20.0) for y in range(0, 120, 20) for x in range(0, 160, 20)])
BENCH = {"duration_s": 60.0, "width": SIZE[0], "height": SIZE[1], "frame_rate_hz": 4.0, "gaze_rate_hz": 50.0}
START_NS = 1_700_000_000_000_000_000


class Attends:
    """Attends to where the person of a session looks at the same time, as a good model of the task would."""

    def __init__(self, looks: dict[int, np.ndarray], attention: bool = True) -> None:
        self._looks, self._attention = looks, attention
        self.metadata: Any = SimpleNamespace(
            frames=2, observation_s=1.0, model_id="run@0", revision="r" * 64, trained_on=()
        )

    def predict(self, observation: Observation) -> Answer:
        if observation.stamp_ns - START_NS == 20_000_000_000:
            raise NoAnswer("this one has none")
        point = self._looks[observation.stamp_ns]
        shares = np.exp(-((BOXES[:, :2] + 10 - point) ** 2).sum(axis=1) / (2 * 25.0**2)) + 1e-3
        attention = FrameAttention(BOXES, shares / shares.sum()) if self._attention else None
        return Answer(("a",), np.ones(1), "uncalibrated", attention=attention)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three normal sessions s0 to s2."""
    folder = tmp_path_factory.mktemp("bench")
    for seed in range(3):
        write_bag(BenchSettings(seed=seed, person=f"p{seed}", **BENCH), folder / f"s{seed}", START_NS)  # type: ignore[arg-type]
    return folder


def looks_of_bags(*paths: Path, later_s: float = 0.0) -> dict[int, np.ndarray]:
    found = {}
    for path in paths:
        session = open_session(path)
        assert session.gaze is not None
        for stamp_ns in session.frames.stamps_ns.tolist():
            row = np.searchsorted(session.gaze.stamps_ns, stamp_ns + round(later_s * 1e9)) - 1
            found[stamp_ns] = np.nan_to_num(session.gaze.xy[max(row, 0)])
    return found


def run(monkeypatch: pytest.MonkeyPatch, backend: Attends, *arguments: Any) -> int:
    monkeypatch.setattr(command, "open_backend", lambda *_, **__: backend)
    return cli.main(["assess", "--checkpoint", "run", *map(str, arguments)])


def test_the_monitor_says_of_a_recording_as_it_comes_what_assess_says_of_it(bags: Path) -> None:
    session = open_session(bags / "s1")
    gaze = session.gaze
    assert gaze is not None
    attended = attend(session, gaze, Attends(looks_of_bags(bags / "s1")), lambda _: None)
    rows = assess(session, gaze, attended, None).rows
    normal = [dict.fromkeys(MEASURES, 1.0 + number) for number in range(100)]
    monitor = Monitor(made_baseline("run@0", "r" * 64, "", [], ["s"], normal, {}), 0.8, 2.0)
    compared = given = 0
    for at_ns, map_of, row in zip(attended.moments.stamps_ns, attended.maps, rows, strict=True):
        while given < len(gaze) and gaze.stamps_ns[given] <= at_ns + 100_000_000:  # the time of an inference
            x, y = gaze.xy[given].tolist()
            confidence, worn, state = gaze.confidence[given], gaze.worn[given], gaze.eye_state[given]
            stamp_ns = int(gaze.stamps_ns[given])
            sample = Sample(stamp_ns, x, y, float(confidence), int(worn), int(state), gaze.image_size, "head")
            monitor.add_gaze(sample, stamp_ns / 1e9)
            given += 1
        now_s = at_ns / 1e9 + 0.1
        monitor.add_attention(at_ns, np.asarray(map_of, float), "head", now_s)
        found = monitor.assess(at_ns + 100_000_000, now_s)
        if found.row is not None:
            assert found.stamp_ns == at_ns
            assert found.row == pytest.approx(row, rel=1e-4, nan_ok=True)
            compared += 1
    assert compared > 80


def test_a_real_recording_is_measured_and_nothing_is_said_of_normal(
    neon_window: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag, out = tmp_path / "bag", tmp_path / "out"
    assert cli.main(["import", "neon", str(neon_window), "--out", str(bag)]) == 0
    assert run(monkeypatch, Attends(looks_of_bags(bag)), bag, "--out", out) == 0
    (found,) = json.loads((out / "assessment.json").read_text())["sessions"]
    assert "no baseline" in found["abstains"]
    assert (found["standings"], found["spans"]) == ([], [])
    assert 0.5 < found["statistics"]["fixations_per_s"] < 5
    assert "No window of 10 s has gaze" in (out / "assessment.html").read_text()


def test_a_session_shorter_than_a_window_gets_no_empty_axes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short, out = tmp_path / "short", tmp_path / "out"
    write_bag(BenchSettings(**BENCH | {"duration_s": 6.0}), short, START_NS)  # type: ignore[arg-type]
    assert run(monkeypatch, Attends(looks_of_bags(short)), short, "--out", out) == 0
    page = (out / "assessment.html").read_text()
    assert "No window of 10 s has gaze" in page
    assert "<img" not in page


def test_without_a_baseline_it_measures_and_says_nothing_of_normal(
    bags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(monkeypatch, Attends(looks_of_bags(bags / "s0")), bags / "s0", "--out", out) == 0
    assert "no baseline: nothing is said about what is normal" in capsys.readouterr().out
    (found,) = json.loads((out / "assessment.json").read_text())["sessions"]
    assert found["standings"] == []
    assert found["spans"] == []
    assert found["suspect"] is False
    assert found["unanswered"] == 1
    assert len(found["actions"]) > 5
    assert found["time_on_objects"] > 0.3
    known = [row["surprise"] for row in found["rows"] if row["surprise"] is not None]
    assert len(known) > 60
    assert found["rows"][0]["surprise"] is None  # the first window is not complete
    page = (out / "assessment.html").read_text()
    assert "Abstains: no baseline" in page
    assert "nan" not in re.sub(r"base64,[^\"]*", "", page)


def test_a_normal_session_stays_below_and_one_with_eyes_elsewhere_stands_out(
    bags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline, out = tmp_path / "baseline.json", tmp_path / "out"
    for seed, backend in ((0, Attends(looks_of_bags(bags / "s0"))), (1, Attends(looks_of_bags(bags / "s1")))):
        assert run(monkeypatch, backend, bags / f"s{seed}", "--write-baseline", tmp_path / f"{seed}.json") == 0
    shutil.copy(tmp_path / "0.json", baseline)
    assert "windows of 1 session(s)" in capsys.readouterr().out
    same = Attends(looks_of_bags(bags / "s0"))
    assert run(monkeypatch, same, bags / "s0", "--baseline", baseline, "--json") == 0
    (normal,) = json.loads(capsys.readouterr().out)["sessions"]
    # Attention to the same session's places 15 s later: gaze fits it no better than any other moment.
    elsewhere = Attends(looks_of_bags(bags / "s0", later_s=15.0))
    assert run(monkeypatch, elsewhere, bags / "s0", "--baseline", baseline, "--out", out) == 0
    assert "suspect: gaze fits other moments as well" in capsys.readouterr().out
    (odd,) = json.loads((out / "assessment.json").read_text())["sessions"]
    shares = [np.mean([s["odd"] > 0.99 for s in each["standings"] if s["odd"] is not None]) for each in (normal, odd)]
    assert shares[0] < 0.03
    assert shares[1] > 0.5
    assert odd["fit_elsewhere"] > 0.05 >= normal["fit_elsewhere"]
    assert odd["spans"]
    assert odd["spans"][0]["end_s"] > odd["spans"][0]["start_s"]
    page = (out / "assessment.html").read_text()
    assert "Suspect" in page
    assert "frame that stands out" in page
    assert "data:image/jpeg" in page


def test_a_running_system_gives_the_same_at_each_moment(bags: Path) -> None:
    """What a window says depends on nothing after it."""
    session = open_session(bags / "s1")
    gaze = session.gaze
    assert gaze is not None
    backend = Attends(looks_of_bags(bags / "s1"))
    attended = attend(session, gaze, backend, lambda _: None)  # type: ignore[arg-type]
    whole = assess(session, gaze, attended, None)
    from gaze_vlm_ros.assessment.moments import Moments, gaze_at, part_of, window_measures

    moments = Moments(attended.moments.size)
    for row, at_ns in enumerate(attended.moments.stamps_ns):
        until = part_of(gaze, 0, int(np.searchsorted(gaze.stamps_ns, at_ns, side="right")))
        moments.add(at_ns, gaze_at(until, at_ns, moments.size), np.asarray(attended.maps[row], float))
        moments.drop_before(at_ns - 11_000_000_000)
        np.testing.assert_equal(window_measures(moments, until, at_ns), whole.rows[row])


def test_faults_are_one_line_each(
    bags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    backend, bag = Attends(looks_of_bags(bags / "s0")), bags / "s0"
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "b.json").write_text("{}")
    cases: list[tuple[list[Any], str]] = [
        ([bag, "--baseline", taken / "b.json"], "is no baseline"),
        ([bag, "--baseline", taken / "b.json", "--write-baseline", "x"], "exclude each other"),
        ([bag, "--write-baseline", taken / "b.json"], "exists already"),
        ([bag, "--out", taken], "exists already"),
        ([tmp_path / "no_bag"], "no_bag"),
    ]
    for arguments, said in cases:
        assert run(monkeypatch, backend, *arguments) == 1
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
        assert error.startswith("gaze-vlm: error: ")
    assert run(monkeypatch, Attends(looks_of_bags(bag), attention=False), bag) == 1
    assert "does not say where it looks" in capsys.readouterr().err


def test_a_bag_that_cannot_be_read_is_left_out_of_several(
    bags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = Attends(looks_of_bags(bags / "s0"))
    assert run(monkeypatch, backend, bags / "s0", tmp_path / "none") == 1
    captured = capsys.readouterr()
    assert "s0" in captured.out
    assert captured.err.count("gaze-vlm: error: ") == 1


def test_a_session_of_another_task_and_a_baseline_of_another_model_are_refused_by_name(
    bags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline = tmp_path / "b.json"
    backend = Attends(looks_of_bags(bags / "s0"))
    assert run(monkeypatch, backend, bags / "s0", "--write-baseline", baseline) == 0
    values = json.loads(baseline.read_text())
    baseline.write_text(json.dumps(values | {"task": "sort"}))
    capsys.readouterr()
    assert run(monkeypatch, backend, bags / "s0", "--baseline", baseline) == 0
    assert "the baseline is of task 'sort', the session of 'tidy'" in capsys.readouterr().out
    baseline.write_text(json.dumps(values | {"revision": "other", "model_id": "older@1"}))
    assert run(monkeypatch, backend, bags / "s0", "--baseline", baseline) == 1
    assert "is of model older@1, and this is run@0" in capsys.readouterr().err


def test_gaze_of_another_recording_makes_no_baseline(
    bags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = Attends(looks_of_bags(bags / "s0", later_s=15.0))
    assert run(monkeypatch, elsewhere, bags / "s0", "--write-baseline", tmp_path / "b.json") == 1
    assert "fits other moments as well as its own" in capsys.readouterr().err
    assert not (tmp_path / "b.json").exists()
