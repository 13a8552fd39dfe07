"""What the eye_tracker node publishes of glasses that misbehave, over real DDS, with both as processes."""

import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from neon_fixtures import START_NS
from neon_runs import recorded_contents, write_eye_events, write_unique_recording
from test_eye_tracker import Heard, domain, environment, heard, stamp_ns, start_node  # noqa: F401  # fixtures too

from gaze_vlm_ros.neon.eye_states import BLINK_STATE, FIXATION_STATE, SACCADE_STATE, UNKNOWN_STATE
from gaze_vlm_ros.sim.neon_device.clock import SkewedClock
from gaze_vlm_ros.sim.neon_device.eye_events import EyeEvent, Kind

pytest.importorskip("rclpy", reason="the node needs rclpy")
TOPICS = ["camera/image_raw", "gaze", "imu"]
MS = 1_000_000


@dataclass
class Replayed:
    """What the processes left behind."""

    recording: Path
    device_log: dict[str, Any]
    output: str  # of the node, at its end
    warnings: str

    def true_ns(self, recorded_ns: int) -> int:
        """When a sample was acquired, on this host's clock; as if nobody had set the phone's."""
        clock = SkewedClock(**self.device_log["clock"])
        return clock.host_ns(recorded_ns - START_NS + self.device_log["session_starts_ns"][0])

    def lost(self, stream: str) -> dict[str, int]:
        """What the node said in its last lines."""
        said = re.search(rf"eye_tracker: {stream} lost (.*)", self.output)
        pairs = [part.split(" ", 1) for part in said[1].split(", ")] if said else []
        return {what: int(count) for count, what in pairs}


@contextmanager
def replay(folder: Path, tmp_path: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """Simulated glasses as a process: itself, its port, its log."""
    log = tmp_path / "device.json"
    command = [sys.executable, "-m", "gaze_vlm_ros.sim.neon_device", str(folder), "--port", "0", "--once"]
    command += ["--clock-offset-s", "-2.5", "--drift-ppm", "50", "--log", str(log), *arguments]
    process = subprocess.Popen(command, env=environment(0), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline().rsplit(":", 1)[1]), log
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=200)


def run_node(folder: Path, tmp_path: Path, heard: Heard, domain: int, *faults: str, **parameters: Any) -> Replayed:  # noqa: F811
    """Replay to the node until the device has finished and what is held was published; `heard` then has it."""
    heard.listen_to(*TOPICS, "/diagnostics")
    arguments = [part for fault in faults for part in ("--fault", fault)]
    with replay(folder, tmp_path, *arguments) as (device, port, log):
        wanted = f"[{','.join(TOPICS)}]"
        node = start_node(domain, address=f"127.0.0.1:{port}", wait_for_subscribers=wanted, **parameters)
        while device.poll() is None:
            assert node.poll() is None, node.communicate()
            heard.executor.spin_once(timeout_sec=0.1)
        quiet_s = 2.0 + parameters.get("eye_state_delay_s", 0)  # a busy machine takes its time to publish the rest
        heard_before, ends_s = 0, time.monotonic() + quiet_s
        while time.monotonic() < ends_s:
            heard.executor.spin_once(timeout_sec=0.02)
            if (now := sum(len(heard.messages[topic]) for topic in TOPICS)) > heard_before:
                heard_before, ends_s = now, time.monotonic() + quiet_s
        node.send_signal(signal.SIGINT)
        output, errors = node.communicate(timeout=200)
    assert node.returncode == 0, errors
    assert "Traceback" not in errors
    return Replayed(folder, json.loads(log.read_text()), output, errors)


def assert_nothing_wrong_was_published(replayed: Replayed, heard: Heard) -> None:  # noqa: F811
    """Every message has the content of a recorded sample, once, and its acquisition time."""
    known = recorded_contents(replayed.recording)
    contents = {
        "world": [hashlib.md5(bytes(image.data)).digest() for image in heard.messages["camera/image_raw"]],
        "gaze": [(gaze.x, gaze.y) for gaze in heard.messages["gaze"]],
        "imu": [round(np.degrees(imu.angular_velocity.x), 6) for imu in heard.messages["imu"]],
    }
    for topic, (stream, found) in zip(TOPICS, contents.items(), strict=True):
        assert found, stream
        assert all(content in known[stream] for content in found), stream
        assert len(set(found)) == len(found), stream
        stamps_ns = np.array([stamp_ns(message) for message in heard.messages[topic]])
        true_ns = np.array([replayed.true_ns(known[stream][content]) for content in found])
        assert np.abs(stamps_ns - true_ns).max() < heard.tolerance_ns(), stream
        assert (np.diff(stamps_ns) > 0).all(), stream


def published_gaze(replayed: Replayed, heard: Heard) -> list[int]:  # noqa: F811
    """Recorded stamps of the gaze samples that were published."""
    recorded = recorded_contents(replayed.recording)["gaze"]
    return [recorded[(gaze.x, gaze.y)] for gaze in heard.messages["gaze"]]


def statuses(heard: Heard, part: str) -> list[tuple[int, str, dict[str, str]]]:  # noqa: F811
    """(level, message, values) of one part in each diagnostics message."""
    return [
        (status.level[0], status.message, {value.key: value.value for value in status.values})
        for message in heard.messages["/diagnostics"]
        for status in message.status
        if status.name.endswith(f": {part}")
    ]


def test_no_damaged_frame_is_published_at_five_percent_loss(tmp_path: Path, heard: Heard, domain: int) -> None:  # noqa: F811
    write_unique_recording(tmp_path / "recording", 3)
    replayed = run_node(tmp_path / "recording", tmp_path, heard, domain, "loss=0.05")
    assert_nothing_wrong_was_published(replayed, heard)
    sent = replayed.device_log["sent"]
    images = len(heard.messages["camera/image_raw"])
    losses = replayed.lost("world")
    assert sum(count for what, count in losses.items() if what.startswith("frames")) == sent["world"] - images > 0
    recorded = sorted(recorded_contents(tmp_path / "recording")["gaze"].values())
    published = [recorded.index(stamp) for stamp in published_gaze(replayed, heard)]
    # What is lost before the first or after the last that arrived leaves no trace.
    assert replayed.lost("gaze") == {"packets lost": published[-1] - published[0] + 1 - len(published)}
    reports = statuses(heard, "stream world")
    assert any(level == 1 and "lost or refused since the last report" in text for level, text, _ in reports)
    assert 0 < int(reports[-1][2]["packets lost"]) <= losses["packets lost"]


def test_nothing_wrong_is_published_when_everything_goes_wrong(tmp_path: Path, heard: Heard, domain: int) -> None:  # noqa: F811
    """Losses, rubbish, wrapped timestamps, late reports, a clock that is set, wrong stamps, a broken connection."""
    write_unique_recording(tmp_path / "recording", 6)
    faults = ["loss=0.02", "garbage=0.1", "duplicates=0.05", "wrap-after=2", "late-report=0.7", "unknown-component"]
    faults += ["clock=-3@1", "wrong-stamps=50@2", "wrong-stamps=0@2.5", "abort@3.5"]
    replayed = run_node(tmp_path / "recording", tmp_path, heard, domain, *faults, "refuse=0.8@3.4")
    assert_nothing_wrong_was_published(replayed, heard)
    first, *_, last = [int(level) for level, _, _ in statuses(heard, "glasses")]
    levels = {level for level, _, _ in statuses(heard, "stream gaze")}
    assert 2 in levels  # it was lost
    assert (first, last) != (2, 2)  # and not forever
    assert "stream gaze lost" in replayed.warnings
    assert "the phone's clock was set by -" in replayed.warnings
    assert "stream gaze is back" in replayed.warnings
    assert replayed.lost("gaze")["stamps refused: future"] > 0
    assert published_gaze(replayed, heard)[-1] > START_NS + 5_900 * MS  # up to the end


def eye_events() -> list[EyeEvent]:
    """Fixations of 250 ms with saccades of 38 ms between them, and a blink within the second fixation.

    Begin and end lie between two samples of gaze, whose stamps are rounded to ticks of the RTP clock.
    """
    events, start_ns = [], START_NS + 202 * MS
    for number in range(4):
        events.append(EyeEvent(Kind.FIXATION, start_ns, start_ns + 250 * MS))
        events.append(EyeEvent(Kind.SACCADE, start_ns + 251 * MS, start_ns + 289 * MS))
        if number == 1:
            events.append(EyeEvent(Kind.BLINK, start_ns + 60 * MS, start_ns + 160 * MS))
        start_ns += 290 * MS
    return events


def true_state(events: list[EyeEvent], recorded_ns: int) -> int:
    kinds = {event.kind for event in events if event.start_ns <= recorded_ns <= event.end_ns}
    for kind, state in ((Kind.BLINK, BLINK_STATE), (Kind.SACCADE, SACCADE_STATE), (Kind.FIXATION, FIXATION_STATE)):
        if kind in kinds:
            return state
    return UNKNOWN_STATE


def test_gaze_that_waits_for_it_has_the_right_eye_state(tmp_path: Path, heard: Heard, domain: int) -> None:  # noqa: F811
    folder = tmp_path / "recording"
    write_unique_recording(folder, 1.7)
    events = eye_events()
    write_eye_events(folder, events)
    replayed = run_node(folder, tmp_path, heard, domain, eye_state_delay_s=1.5)
    assert_nothing_wrong_was_published(replayed, heard)
    found = [gaze.eye_state for gaze in heard.messages["gaze"]]
    assert found == [true_state(events, stamp) for stamp in published_gaze(replayed, heard)]
    assert {UNKNOWN_STATE, FIXATION_STATE, SACCADE_STATE, BLINK_STATE} == set(found)
    _, _, values = statuses(heard, "glasses")[-1]
    assert float(values["longest delay of an eye event [ms]"]) > 50
    assert values["eye states that a later event contradicted"] == "0"
    reports = statuses(heard, "stream eye_events")
    assert (0, "receiving") in [(level, text) for level, text, _ in reports]
    assert reports[-1][2]["delivered"] == str(4 * 2 * 2 + 1)  # with their onsets; a blink
