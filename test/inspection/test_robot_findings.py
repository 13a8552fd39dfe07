"""Findings of `gaze-vlm doctor`, without ROS."""

from pathlib import Path

import pytest

from gaze_vlm_ros.inspection.robot_findings import (
    Endpoint,
    Line,
    TopicView,
    clock_line,
    disk_line,
    exit_code_of,
    gpu_line,
    report,
    topic_lines,
)

RAW = "sensor_msgs/msg/Image"
GOOD = TopicView("/image", (Endpoint("driver", RAW, True),), (), 50, 5.0, -0.02)


def judged(view: TopicView, needed: bool = True) -> list[Line]:
    return topic_lines("camera", view, (RAW,), "--camera-topic", needed)


def test_a_good_camera_is_right() -> None:
    lines = judged(GOOD)
    assert [line.severity for line in lines] == ["ok", "ok"]
    assert lines[0].text == f"camera: /image ({RAW}, reliable) at 10.0 Hz"
    assert exit_code_of(lines) == 0


def test_a_topic_without_a_publisher_is_an_error_where_it_is_needed() -> None:
    nobody = GOOD._replace(publishers=(), received=0)
    (line,) = judged(nobody)
    assert line == Line("error", "camera: nobody publishes /image; start its source, or set --camera-topic")
    assert exit_code_of(judged(nobody, needed=False)) == 0


def test_a_wrong_type_is_named() -> None:
    (line,) = judged(GOOD._replace(publishers=(Endpoint("talker", "std_msgs/msg/String", True),)))
    assert line.severity == "error"
    assert f"carries std_msgs/msg/String, expected {RAW}" in line.text


def test_a_reader_that_the_source_does_not_reach_is_named() -> None:
    lossy, reader = Endpoint("driver", RAW, False), Endpoint("planner", RAW, True)
    line, *_ = judged(GOOD._replace(publishers=(lossy,), subscriptions=(reader,)))
    assert line.severity == "error"
    assert "planner reads /image reliably, driver offers best effort" in line.text
    assert len(judged(GOOD._replace(subscriptions=(reader,)))) == 2


def test_silence_and_slowness() -> None:
    assert "nothing came in 5 s" in judged(GOOD._replace(received=0))[0].text
    slow = judged(GOOD._replace(received=5))[0]
    assert (slow.severity, "at 1.0 Hz, expected at least 4 Hz" in slow.text) == ("warning", True)


@pytest.mark.parametrize(("ahead_s", "severity"), [(3.0, "error"), (0.4, "ok"), (-0.5, "ok"), (-4.0, "warning")])
def test_a_clock_that_differs(ahead_s: float, severity: str) -> None:
    assert clock_line("camera", ahead_s).severity == severity


def test_disk_and_gpu() -> None:
    assert disk_line(Path("bags"), 1_000_000_000).severity == "warning"
    assert disk_line(Path("bags"), 50_000_000_000) == Line("ok", "disk: 50.0 GB are free in bags")
    assert [gpu_line(names).severity for names in (None, [], ["H200"])] == ["note", "note", "ok"]


def test_one_line_a_finding() -> None:
    lines = [Line("ok", "a"), Line("warning", "b")]
    assert report(lines) == "ok      a\nwarning b"
    assert exit_code_of(lines) == 1
