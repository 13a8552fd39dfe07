"""What `gaze-vlm bag check` finds in bags whose faults are known, and that it finds none in good ones."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_bags import write_small_bag
from video_bags import encode, pictures, write_video_bag

from gaze_vlm_ros import cli
from gaze_vlm_ros.bags.errors import NotABag
from gaze_vlm_ros.bags.message_types import message_class
from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.session_records import TopicTotals
from gaze_vlm_ros.bags.stamps import header_stamp_ns, split_ns
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.gaze.distribution import aggregate
from gaze_vlm_ros.gaze.flow import FlowSettings
from gaze_vlm_ros.inspection.arrival_delay import delay_trend
from gaze_vlm_ros.inspection.check import BagCheck, check_bag, check_text, run_check
from gaze_vlm_ros.inspection.finding import Finding
from gaze_vlm_ros.inspection.gaze_findings import blinks, frames_with_gaze, gaze_validity
from gaze_vlm_ros.inspection.label_findings import label_coverage
from gaze_vlm_ros.inspection.stream_findings import camera_gaps, clock, gaze_gaps, order
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.session.session import LabelTrack, load_session
from gaze_vlm_ros.session.span import LONGEST_SESSION_S
from gaze_vlm_ros.sim.bench_session import write_bag
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from gaze_vlm_ros.video.images import DamagedImage, encode_jpeg
from gaze_vlm_ros.windows.cutting import cut_windows
from gaze_vlm_ros.windows.settings import BadSettings, WindowSettings, load_window_settings
from training.settings import Settings

CHECKOUT = Path(__file__).resolve().parents[2]
JPEG, GAZE, LABEL = (
    "sensor_msgs/msg/CompressedImage",
    "gaze_vlm_msgs/msg/GazeStamped",
    "gaze_vlm_msgs/msg/ActionLabel",
)
CAMERA_TOPIC = "/camera/image_raw/compressed"
START_NS = 1_790_000_000_000_000_000
FRAME_NS, GAZE_NS = 100_000_000, 20_000_000
DURATION_S = 24
DELAY_NS = 30_000_000
FIXATION, BLINK = 1, 3
DEFAULT = WindowSettings()


def header(stamp_ns: int) -> Any:
    time = message_class("builtin_interfaces/msg/Time")(*split_ns(stamp_ns))
    return message_class("std_msgs/msg/Header")(time, "scene")


def write_good_bag(
    folder: Path,
    frame: Callable[[int], dict[str, Any] | None] = lambda number: {},
    sample: Callable[[int], dict[str, Any] | None] = lambda number: {},
    labels: tuple[tuple[float, str], ...] = ((4.0, "pour"), (9.0, "stir"), (14.0, ""), (15.0, "pour"), (20.0, "stir")),
    totals: dict[str, TopicTotals] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """A session of 24 s. frame, sample: by number, fields that are otherwise; None = leave it out.

    The fields are those of the messages, `stamp_ns`, `arrival_ns`, and of frames `size` and `data`.
    """
    writer = BagWriter(folder, {"session": "s", **(metadata or {})})
    for name, type_name in ((CAMERA_TOPIC, JPEG), ("/gaze", GAZE), ("/label", LABEL)):
        writer.add_topic(name, type_name)
    no_time = message_class("builtin_interfaces/msg/Time")(0, 0)
    pictures = {size: encode_jpeg(np.full((size[1], size[0], 3), 90, np.uint8)) for size in ((32, 24), (64, 48))}
    for number in range(DURATION_S * 10**9 // FRAME_NS):
        fields = frame(number)
        if fields is not None:
            stamp_ns = fields.get("stamp_ns", START_NS + number * FRAME_NS)
            data = fields.get("data", pictures[fields.get("size", (32, 24))])
            message = message_class(JPEG)(header(stamp_ns), "jpeg", np.frombuffer(data, np.uint8))
            arrival_ns = fields.get("arrival_ns", START_NS + number * FRAME_NS + DELAY_NS)
            writer.write_message(CAMERA_TOPIC, message, arrival_ns)
    for number in range(DURATION_S * 10**9 // GAZE_NS):
        fields = sample(number)
        if fields is not None:
            stamp_ns = fields.get("stamp_ns", START_NS + number * GAZE_NS)
            # Measured samples are never equal.
            values = {
                "x": 10.0 + number % 89 / 1000,
                "y": 10.0 + number % 97 / 1000,
                "width": 32,
                "height": 24,
                "confidence": 0.9,
                "worn": 2,
                "eye": FIXATION,
            }
            values |= {key: value for key, value in fields.items() if key in values}
            message = message_class(GAZE)(header(stamp_ns), *values.values(), no_time)
            writer.write_message("/gaze", message, fields.get("arrival_ns", START_NS + number * GAZE_NS + DELAY_NS))
    for start_s, text in labels:
        stamp_ns = START_NS + round(start_s * 1e9)
        writer.write_message("/label", message_class(LABEL)(header(stamp_ns), text, "", ""), stamp_ns)
    writer.close(totals)
    return folder


def findings(path: Path, settings: WindowSettings = DEFAULT) -> dict[str, Finding]:
    return {finding.check: finding for finding in check_bag(path, settings).findings}


def worse_than_notes(found: dict[str, Finding]) -> dict[str, str]:
    return {name: finding.severity for name, finding in found.items() if finding.severity in ("warning", "error")}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finding]:
    return findings(write_good_bag(tmp_path_factory.mktemp("bags") / "good"))


def test_a_good_bag_has_nothing_to_warn_of(good: dict[str, Finding]) -> None:
    assert worse_than_notes(good) == {}
    assert list(good) == [
        "camera gaps", "camera order", "camera clock", "frames", "picture turn", "gaze gaps", "gaze order",
        "gaze clock", "gaze validity", "blinks", "gaze repeats", "gaze rate", "gaze image", "gaze coverage",
        "camera-gaze lag", "gaze against picture", "labels order", "labels", "windows", "recorder",
    ]  # fmt: skip
    assert all(finding.limit for finding in good.values())
    assert good["camera gaps"].figures["usual_s"] == pytest.approx(0.1)
    assert good["gaze coverage"].figures["share"] == 1
    assert good["camera clock"].figures["delay_s"] == pytest.approx(0.03)
    assert good["labels"].figures["labelled_share"] == pytest.approx((24 - 0.1 - 4 - 1) / 23.9)
    assert good["labels"].figures["counts"] == {"pour": 2, "stir": 2}
    assert good["recorder"].text == "nothing known to be lost"


def test_what_is_measured_against_is_training_s_own() -> None:
    assert load_window_settings(None) == DEFAULT
    fit = dataclasses.asdict(Settings())
    assert dataclasses.asdict(DEFAULT).items() <= fit.items()
    assert {"observation_s", "frames", "gaze_window_s", "gaze_min_confidence"} <= dataclasses.asdict(DEFAULT).keys()


# Times.


def test_gaps_of_the_camera() -> None:
    stamps_ns = np.arange(0, 60_000_000_000, 100_000_000)
    assert camera_gaps(stamps_ns, DEFAULT).severity == "ok"
    assert camera_gaps(np.delete(stamps_ns, [50]), DEFAULT).severity == "ok"  # one frame, within 3 intervals
    few = camera_gaps(np.delete(stamps_ns, np.arange(50, 54)), DEFAULT)
    assert (few.severity, few.figures["gaps"]) == ("note", 1)
    assert few.figures["longest_s"] == pytest.approx(0.5)
    longer = camera_gaps(np.delete(stamps_ns, np.arange(50, 58)), DEFAULT)
    assert longer.severity == "warning"  # 0.9 s: no observation of 4 frames in 3 s spans it
    assert (
        camera_gaps(np.delete(stamps_ns, np.arange(50, 58)), dataclasses.replace(DEFAULT, frames=2)).severity == "note"
    )
    many = np.delete(stamps_ns, [row + k for row in range(10, 500, 50) for k in range(4)])
    assert camera_gaps(many, DEFAULT).figures["gap_share"] == pytest.approx(10 * 0.5 / 59.9)
    assert camera_gaps(many, DEFAULT).severity == "warning"
    assert camera_gaps(stamps_ns[::8], DEFAULT).severity == "error"  # slower than an observation needs
    assert camera_gaps(stamps_ns[:1], DEFAULT).severity == "error"


def test_gaps_of_gaze() -> None:
    stamps_ns = np.arange(0, 60_000_000_000, 5_000_000)
    assert gaze_gaps(np.delete(stamps_ns, np.arange(100, 130)), DEFAULT).severity == "ok"  # 0.155 s
    assert gaze_gaps(np.delete(stamps_ns, np.arange(100, 150)), DEFAULT).severity == "note"
    lost = gaze_gaps(np.delete(stamps_ns, np.arange(100, 1000)), DEFAULT)
    assert (lost.severity, lost.figures["gaps"]) == ("warning", 1)
    assert lost.figures["gap_share"] == pytest.approx(901 * 0.005 / 59.995)


def test_order() -> None:
    stamps_ns = START_NS + np.arange(1000) * 10_000_000
    assert order("gaze", stamps_ns).severity == "ok"
    swapped = stamps_ns.copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    assert order("gaze", swapped).severity == "note"
    assert order("gaze", swapped).figures["furthest_back_s"] == pytest.approx(0.01)
    set_back = stamps_ns.copy()
    set_back[500:] -= 2_000_000_000
    assert order("gaze", set_back).severity == "warning"
    assert "1 stamps go back, by up to 1.990 s" in order("gaze", set_back).text
    twice = np.sort(np.append(stamps_ns, stamps_ns[:5]))
    assert (order("gaze", twice).severity, order("gaze", twice).figures["duplicates"]) == ("note", 5)
    assert order("gaze", np.sort(np.append(stamps_ns, stamps_ns[:50]))).severity == "warning"
    unset = stamps_ns.copy()
    unset[7] = 0
    assert (order("gaze", unset).severity, order("gaze", unset).figures["not_set"]) == ("error", 1)


def delayed(seconds: float, rate_hz: float, extra_s: Callable[[np.ndarray], np.ndarray], seed: int = 0) -> tuple:
    """Stamps, and their arrivals over a network with jitter, in the order of arrival."""
    since_s = np.arange(0, seconds, 1 / rate_hz)
    jitter_s = np.random.default_rng(seed).exponential(0.006, len(since_s))
    stamps_ns = START_NS + np.round(since_s * 1e9).astype(np.int64)
    arrivals_ns = stamps_ns + np.round((0.03 + jitter_s + extra_s(since_s)) * 1e9).astype(np.int64)
    arrival = np.argsort(arrivals_ns, kind="stable")
    return stamps_ns[arrival], arrivals_ns[arrival]


@pytest.mark.parametrize("ppm", [-80.0, 0.0, 50.0, 400.0])
@pytest.mark.parametrize("rate_hz", [30.0, 200.0])
def test_drift_is_found_in_jitter(ppm: float, rate_hz: float) -> None:
    trend = delay_trend(*delayed(300, rate_hz, lambda t: 1e-6 * ppm * t))
    assert trend.drift_ppm == pytest.approx(ppm, abs=3)
    assert trend.drift_high_ppm - trend.drift_low_ppm < 5
    assert trend.steps == []
    if ppm:
        assert trend.drift_s == pytest.approx(1e-6 * ppm * 300, abs=0.001)


def test_steps_are_told_apart_from_drift_and_from_a_backlog() -> None:
    trend = delay_trend(*delayed(300, 30, lambda t: 20e-6 * t + 0.05 * (t > 100) - 0.2 * (t > 200)))
    assert [round(size_s, 2) for _, size_s in trend.steps] == [0.05, -0.2]
    for (at_ns, _), at_s in zip(trend.steps, (100, 200), strict=True):
        assert (at_ns - START_NS) / 1e9 == pytest.approx(at_s, abs=3)
    assert trend.drift_ppm == pytest.approx(20, abs=4)
    busy = delay_trend(*delayed(300, 30, lambda t: 0.5 * ((t > 100) & (t < 101.5))))
    assert (busy.steps, round(busy.drift_s, 3)) == ([], 0)


def test_what_the_clock_finding_makes_of_them() -> None:
    assert clock("gaze", *delayed(300, 30, lambda t: 20e-6 * t)).severity == "ok"  # 6 ms
    assert clock("gaze", *delayed(300, 30, lambda t: 50e-6 * t)).severity == "note"  # 15 ms
    drifted = clock("gaze", *delayed(600, 30, lambda t: 100e-6 * t))
    assert drifted.severity == "warning"
    assert "+60" in drifted.text
    stepped = clock("gaze", *delayed(100, 30, lambda t: 0.1 * (t > 50)))
    assert (stepped.severity, len(stepped.figures["steps"])) == ("warning", 1)
    assert stepped.figures["steps"][0]["size_s"] == pytest.approx(0.1, abs=0.003)
    assert " ms at about 2026-09-21 14:14:" in stepped.text
    assert clock("gaze", *delayed(300, 30, lambda t: 0 * t + 5)).severity == "note"  # a second and more late
    early = clock("gaze", *delayed(300, 30, lambda t: 0 * t - 0.06))
    assert early.severity == "warning"
    assert "ahead of arrival" in early.text
    short = clock("gaze", *delayed(10, 30, lambda t: 0 * t))
    assert (short.severity, short.figures["drift_ppm"]) == ("ok", None)
    assert "drift cannot be measured in 10 s" in short.text
    stamps_ns, _ = delayed(100, 30, lambda t: 0 * t)
    assert "says nothing about clocks" in clock("gaze", stamps_ns, stamps_ns).text


# Frames.


def test_damaged_frames_and_frames_of_another_size(tmp_path: Path) -> None:
    broken = {"data": b"\xff\xd8 no picture"}
    found = findings(write_good_bag(tmp_path / "one", frame=lambda number: broken if number == 35 else {}))
    assert (found["frames"].severity, found["frames"].figures["damaged"]) == ("note", 1)
    assert "do not decode to an image" in found["frames"].text
    found = findings(write_good_bag(tmp_path / "some", frame=lambda number: broken if number % 20 == 0 else {}))
    assert (found["frames"].severity, found["frames"].figures["damaged"]) == ("warning", 12)
    found = findings(write_good_bag(tmp_path / "all", frame=lambda number: broken))
    assert found["frames"].severity == "error"
    assert found["windows"].severity == "error"
    assert "gaze coverage" not in found  # of what size gaze would be is not known
    larger = {"size": (64, 48)}
    found = findings(write_good_bag(tmp_path / "sizes", frame=lambda number: larger if number >= 180 else {}))
    assert found["frames"].severity == "warning"
    assert found["frames"].figures["sizes"] == {"32x24": 180, "64x48": 60}
    assert found["windows"].figures["dropped"] == {"with a frame of another size": 3}


def test_frames_that_are_no_pictures_at_all(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag", {})
    writer.add_topic("/camera", "sensor_msgs/msg/Image")
    for number in range(30):
        stamp_ns = START_NS + number * FRAME_NS
        depth = np.zeros(16, np.uint8)
        message = message_class("sensor_msgs/msg/Image")(header(stamp_ns), 2, 2, "32FC1", 0, 8, depth)
        writer.write_message("/camera", message, stamp_ns)
    writer.close()
    found = findings(tmp_path / "bag")
    assert found["frames"].severity == "error"
    assert "'32FC1' cannot be shown to a model" in found["frames"].text
    assert found["gaze"].severity == found["labels"].severity == "warning"


def test_coded_video(tmp_path: Path) -> None:
    packets = encode(pictures(30), gop=10)
    found = findings(write_video_bag(tmp_path / "late", packets[4:]))
    assert found["frames"].figures == {"frames": 26, "damaged": 6, "sizes": {"128x96": 20}}
    assert "comes before the first keyframe" in found["frames"].text
    found = findings(write_video_bag(tmp_path / "reordered", encode(pictures(30), b_frames=2)))
    assert found["camera"].severity == "error"
    assert "B-frames" in found["camera"].text


# Gaze.


def faulty_sample(number: int) -> dict[str, Any]:
    kinds: dict[int, dict[str, Any]] = {
        0: {"worn": 1}, 1: {"confidence": 0.3}, 2: {"x": math.nan}, 3: {"x": 32.0}, 4: {"eye": BLINK},
        5: {"eye": 2}, 6: {"confidence": math.nan},
    }  # fmt: skip
    return kinds.get(number % 50, {})


def test_gaze_that_counts_is_what_training_takes(tmp_path: Path) -> None:
    bag = write_good_bag(tmp_path / "bag", sample=faulty_sample)
    session = load_session(bag)
    assert session.gaze
    finding = gaze_validity(session.gaze, session.frames.size, DEFAULT)
    count = len(session.gaze) // 50
    for reason in ("not_worn", "unsure", "off_the_image", "no_estimate"):
        assert finding.figures[reason] == count
    assert finding.figures["blink_or_saccade"] == 2 * count
    assert finding.figures["lost_share"] == pytest.approx(4 / 50)
    taken, _ = aggregate(session.gaze, session.frames, at=len(session.frames) - 1, window_s=100.0)
    after_last_frame = int(np.count_nonzero(session.gaze.stamps_ns > session.frames.stamps_ns[-1]))
    assert finding.figures["usable"] == len(taken) + after_last_frame


@pytest.mark.parametrize("window_s", [0.05, 0.2])
def test_frames_with_gaze_are_those_that_training_finds_gaze_for(tmp_path: Path, window_s: float) -> None:
    bag = write_good_bag(tmp_path / "bag", sample=lambda n: {"worn": 1} if n % 40 < 25 else None if n % 7 == 0 else {})
    session = load_session(bag)
    assert session.gaze
    settings = dataclasses.replace(DEFAULT, gaze_window_s=window_s)
    covered = frames_with_gaze(session.frames.stamps_ns, session.gaze, session.frames.size, settings)
    asked = [len(aggregate(session.gaze, session.frames, at, window_s)[0]) > 0 for at in range(len(session.frames))]
    assert covered.tolist() == asked
    assert 0.1 < covered.mean() < 0.9


def test_gaze_that_is_poor(tmp_path: Path) -> None:
    found = findings(write_good_bag(tmp_path / "off", sample=lambda number: {"worn": 1} if number >= 300 else {}))
    assert found["gaze validity"].severity == "warning"
    assert found["gaze coverage"].severity == "warning"
    assert found["gaze coverage"].figures["share"] == pytest.approx(62 / 240)  # 6 s of samples, each holds for 0.2 s
    assert found["windows"].severity == "warning"
    assert found["windows"].figures["without_gaze"] > 0
    late = 10**12  # another clock
    found = findings(
        write_good_bag(tmp_path / "clock", sample=lambda n: {"stamp_ns": START_NS + n * GAZE_NS + late, "eye": 0})
    )
    assert found["gaze coverage"].severity == "error"
    assert "never overlap" in found["gaze coverage"].text
    assert found["gaze clock"].severity == "warning"
    assert (found["blinks"].severity, found["blinks"].figures["blinks"]) == ("note", None)
    found = findings(write_good_bag(tmp_path / "aspect", sample=lambda n: {"width": 64, "height": 36}))
    assert found["gaze image"].severity == "error"
    found = findings(write_good_bag(tmp_path / "scaled", sample=lambda n: {"width": 64, "height": 48}))
    assert found["gaze image"].severity == "ok"


def eyes(closed: list[tuple[float, float]], seconds: float) -> GazeTrack:
    stamps_ns = np.arange(0, round(seconds * 1e9), 10_000_000)
    state = np.full(len(stamps_ns), FIXATION, np.uint8)
    for from_s, until_s in closed:
        state[(stamps_ns >= from_s * 1e9) & (stamps_ns < until_s * 1e9)] = BLINK
    count = len(stamps_ns)
    return GazeTrack(stamps_ns, np.zeros((count, 2)), np.ones(count), np.full(count, 2, np.uint8), state, (32, 24))


def test_blinks() -> None:
    normal = blinks(eyes([(4.0 * k, 4.0 * k + 0.2) for k in range(15)], 60))
    assert (normal.severity, normal.figures["blinks"]) == ("ok", 15)
    assert normal.figures["per_minute"] == pytest.approx(15, abs=0.1)
    assert normal.figures["closed_share"] == pytest.approx(0.05, abs=0.001)
    assert blinks(eyes([(k, k + 0.1) for k in range(1, 60)], 60)).severity == "note"
    assert blinks(eyes([], 40)).severity == "note"  # few people blink that little
    assert blinks(eyes([], 20)).severity == "ok"  # too short to tell
    assert blinks(eyes([(10, 25)], 60)).severity == "warning"


# Labels and windows.


def test_label_coverage() -> None:
    frames_ns = np.arange(0, 10_000_000_001, 100_000_000)

    def finding(*labels: tuple[float, str]) -> Finding:
        starts_ns = np.array([round(start_s * 1e9) for start_s, _ in labels], np.int64)
        texts = [text for _, text in labels]
        return label_coverage(LabelTrack(starts_ns, texts, texts, texts), frames_ns)

    half = finding((-3, "pour"), (2, ""), (4, "stir"), (7, ""))
    assert half.figures["labelled_share"] == pytest.approx(0.5)
    assert half.figures["outside"] == 1  # and still holds for two seconds
    assert finding((0, ""), (9.5, "pour")).severity == "note"
    assert finding((0, ""), (5, "")).severity == "error"
    assert finding((1, "pour"), (2, "stir"), (50, "pour")).severity == "note"
    assert finding((1, "pour"), (90, "stir"), (95, "pour")).severity == "warning"


def test_windows_are_those_that_training_cuts(tmp_path: Path, good: dict[str, Finding]) -> None:
    bag = write_good_bag(tmp_path / "bag", labels=((0.5, "early"), (9.0, "stir"), (9.2, "pour"), (40.0, "late")))
    settings = Settings(leads_s=(0.5, 1.0))
    found = findings(bag, settings)["windows"]
    cut, counts = cut_windows(0, load_session(bag), settings)
    assert found.figures["windows"] == len(cut) > 0
    assert found.figures["dropped"] == dict(counts.dropped)
    assert found.figures["per_label"] == {"stir": 4}  # those before "pour" are before "stir" too, which comes first
    assert found.figures["actions_without_window"] == ["early", "late", "pour"]
    assert found.figures["labels_without_window"] == 3
    assert (
        "3 of the labels that were set are in no window, among them every early, every late, every pour" in found.text
    )
    assert found.severity == "warning"
    assert good["windows"].severity == "ok"
    assert good["windows"].figures["per_label"] == {"pour": 6, "stir": 6}


def test_windows_lose_what_training_cannot_decode(tmp_path: Path) -> None:
    whole = load_session(write_good_bag(tmp_path / "whole"))
    shown = sorted({index for window in cut_windows(0, whole, Settings())[0] for index in window.frames})
    unreadable = (shown[2], shown[len(shown) // 2], shown[-1] - 1)  # from the last one gaze alone is carried
    broken = {"data": b"\xff\xd8 no picture"}
    bag = write_good_bag(tmp_path / "bag", frame=lambda number: broken if number in unreadable else {})
    session = load_session(bag)
    assert session.gaze
    damaged = 0
    for window in cut_windows(0, session, Settings())[0]:
        try:
            for index in window.frames:
                session.frames.rgb(index)
                aggregate(session.gaze, session.frames, index, flow=FlowSettings())
        except DamagedImage:
            damaged += 1
    found = findings(bag, Settings())["windows"]
    assert found.figures["dropped"]["with a damaged frame"] == damaged > 1


def test_windows_are_counted_without_training(tmp_path: Path) -> None:
    """On a robot there may be no training/, or another program's package of that name."""
    bag = write_good_bag(tmp_path / "bag")
    other = tmp_path / "elsewhere" / "training"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise ImportError('this is another program')\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(other.parent), str(CHECKOUT)])}
    command = [sys.executable, "-m", "gaze_vlm_ros.cli", "bag", "check", str(bag), "--json"]
    command += ["--config", str(CHECKOUT / "config/fit_demo.yaml")]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert run.returncode == 0, run.stderr
    (checked,) = json.loads(run.stdout)
    (windows,) = (finding for finding in checked["findings"] if finding["check"] == "windows")
    config = load_window_settings(CHECKOUT / "config/fit_demo.yaml")
    assert windows["figures"]["windows"] == findings(bag, config)["windows"].figures["windows"] > 0
    assert worse_than_notes(findings(bag, DEFAULT)) == {}


def test_stamps_that_are_not_set_do_not_fill_the_memory(tmp_path: Path) -> None:
    bag = write_good_bag(tmp_path / "bag", frame=lambda number: {"stamp_ns": 0} if number == 0 else {})
    found = findings(bag, Settings(stride_s=0.1))
    assert found["camera order"].severity == found["windows"].severity == "error"
    assert found["windows"].figures["span_s"] > LONGEST_SESSION_S


# The whole.


def test_lag_of_a_bag(tmp_path: Path) -> None:
    """Through the bag, where other tests give the estimate its arrays: gaze is stamped 80 ms late."""
    write_bag(BenchSettings(seed=2, person="p2", duration_s=30.0, width=320, height=240), tmp_path / "bench")
    found = findings(tmp_path / "bench")
    assert worse_than_notes(found) == {}
    assert found["camera-gaze lag"].severity == "ok"
    writer = BagWriter(tmp_path / "late", {})
    with open_bag(tmp_path / "bench") as bag:
        for name, info in bag.topics.items():
            writer.add_topic(name, info.type_name)
        for topic, message, arrival_ns in bag.messages():
            if topic == "/gaze":
                stamp_ns = header_stamp_ns(message) + 80_000_000
                message = dataclasses.replace(message, header=header(stamp_ns))
            writer.write_message(topic, message, arrival_ns)
    writer.close()
    late = findings(tmp_path / "late")["camera-gaze lag"]
    assert late.severity == "warning"
    assert late.figures["lag_s"] == pytest.approx(0.08, abs=0.006)
    assert f"gaze is stamped {late.figures['lag_s'] * 1e3:.0f} ms later than frames" in late.text


def test_losses(tmp_path: Path) -> None:
    counts = {CAMERA_TOPIC: (240, 0), "/gaze": (1200, 5), "/label": (5, 0)}
    totals = {name: TopicTotals(count, count, lost) for name, (count, lost) in counts.items()}
    found = findings(write_good_bag(tmp_path / "few", totals=totals))["recorder"]
    assert (found.severity, found.figures["lost"]) == ("note", {"/gaze": 5})
    totals[CAMERA_TOPIC] = TopicTotals(240, 240, 10)
    assert findings(write_good_bag(tmp_path / "many", totals=totals))["recorder"].severity == "warning"
    totals[CAMERA_TOPIC] = TopicTotals(250, 250, 0)
    found = findings(write_good_bag(tmp_path / "odd", totals=totals))["recorder"]
    assert (found.severity, found.figures["differing"]) == ("warning", [CAMERA_TOPIC])
    found = findings(write_good_bag(tmp_path / "none", totals={}))["recorder"]
    assert found.severity == "note"
    assert "cut off, or another program wrote it" in found.text


def test_a_bag_of_little(tmp_path: Path) -> None:
    BagWriter(tmp_path / "empty", {}).close()
    found = findings(tmp_path / "empty")
    assert {name: finding.severity for name, finding in found.items()} == {
        "camera": "error", "gaze": "warning", "labels": "warning", "recorder": "ok",
    }  # fmt: skip
    bag = write_good_bag(
        tmp_path / "one",
        frame=lambda number: {} if number == 50 else None,
        sample=lambda number: {} if number == 5 else None,
        labels=((4.0, "pour"),),
    )
    assert worse_than_notes(findings(bag)) == {
        "camera gaps": "error", "gaze gaps": "warning", "gaze coverage": "error", "labels": "warning",
        "windows": "error",
    }  # fmt: skip
    unclear = write_good_bag(tmp_path / "points", metadata={"camera_topic": "/label"})
    assert worse_than_notes(findings(unclear)) == {}  # a role that names a topic of another type is passed over


def test_text_and_json_and_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = write_good_bag(tmp_path / "good"), write_good_bag(tmp_path / "bad", labels=())
    assert cli.main(["bag", "check", str(good)]) == 0
    first, *lines = capsys.readouterr().out.rstrip().splitlines()
    assert first == f"{good}: 1 note"
    assert len(lines) == 20
    for line, finding in zip(lines, check_bag(good, DEFAULT).findings, strict=True):
        assert line.split()[0] == finding.severity
        assert line.endswith(f"{finding.text}  [{finding.limit}]")

    assert cli.main(["bag", "check", str(good), str(bad), "--json"]) == 1
    read = json.loads(capsys.readouterr().out)
    assert [(bag["path"], bag["worst"]) for bag in read] == [(str(good), "note"), (str(bad), "warning")]
    by_check = {finding["check"]: finding for finding in read[0]["findings"]}
    assert by_check["windows"]["figures"]["windows"] == 12
    assert by_check["camera-gaze lag"]["figures"]["lag_s"] is None


def test_an_unreadable_bag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write_good_bag(tmp_path / "good")
    (tmp_path / "text").write_text("Dear robot, " * 20)
    assert cli.main(["bag", "check", str(tmp_path / "text")]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith(f"gaze-vlm: error: {tmp_path / 'text'} is not an MCAP file")
    # Among others it costs one line, and they are checked.
    assert run_check([tmp_path / "text", good], None, as_json=True) == 1
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 1
    unreadable, read = json.loads(printed.out)
    assert "is not an MCAP file" in unreadable["unreadable"]
    assert (unreadable["worst"], read["worst"]) == ("error", "note")
    with pytest.raises(NotABag):
        check_bag(tmp_path / "text", DEFAULT)
    # Several bags end in a table of one line each.
    assert run_check([tmp_path / "text", good], None, as_json=False) == 1
    *_, first, second = capsys.readouterr().out.splitlines()
    assert first == f"{tmp_path / 'text'}  error    cannot be read"
    assert second.startswith(f"{good}  note     note: ")


def test_settings_of_a_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_good_bag(tmp_path / "bag")
    config = tmp_path / "fit.yaml"
    config.write_text("observation_s: 30.0\nframes: 5\ngaze_window_s: 0.1\ngaze_min_confidence: 0.95\n")
    assert cli.main(["bag", "check", str(bag), "--config", str(config), "--json"]) == 1
    (read,) = json.loads(capsys.readouterr().out)
    by_check = {finding["check"]: finding for finding in read["findings"]}
    assert by_check["windows"]["severity"] == "error"  # no 30 s before any label
    assert by_check["gaze coverage"]["severity"] == "error"
    assert "in the 0.1 s up to them" in by_check["gaze coverage"]["text"]
    config.write_text("observation: 30\n")
    with pytest.raises(BadSettings, match="unknown setting observation"):
        load_window_settings(config)
    assert issubclass(BadSettings, GazeVlmError)


def test_names_cannot_break_the_table(tmp_path: Path) -> None:
    bag = write_good_bag(tmp_path / "bag", labels=((4.0, "\x1b[31mred\nline"), (8.0, "stir")))
    text = check_text(check_bag(bag, DEFAULT))
    assert "\x1b" not in text
    assert len(text.splitlines()) == 21


def test_worst() -> None:
    assert BagCheck("bag", []).worst == "ok"
    assert BagCheck("bag", [Finding("a", "note", "", ""), Finding("b", "ok", "", "")]).worst == "note"


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(("command", "bar"), [("check", "frames:"), ("info", "messages:"), ("recover", "recover:")])
def test_progress_over_a_bag_is_shown_on_a_terminal_only(
    tmp_path: Path,
    command: str,
    bar: str,
    terminal: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bag = write_small_bag(tmp_path / "bag", seed=0, takes=2)
    if command == "recover":
        (file,) = bag.glob("*.mcap")
        file.write_bytes(file.read_bytes()[:-3000])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    cli.main(["bag", command, str(bag)])
    printed = capsys.readouterr()
    assert (bar in printed.err) == terminal
    assert bar not in printed.out
