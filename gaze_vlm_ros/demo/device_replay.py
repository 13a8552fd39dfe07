"""The demo on a real recording: simulated glasses replay it to the real client; then bag, check, fit, predictions.

Each step runs the programs that users run: nodes and training scripts. Every figure is computed from this run.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.roles import CAMERA_TYPES, LABEL_TYPE
from gaze_vlm_ros.demo.device_replay_summary import print_summary
from gaze_vlm_ros.demo.gaze_frames import gaze_on_frames, save_pictures
from gaze_vlm_ros.demo.output_folder import fresh_folder
from gaze_vlm_ros.demo.simulated_glasses import address_of, glasses_command, longest_gap_s, replayable
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.neon.recording import NativeRecording
from gaze_vlm_ros.nodes.child_processes import (
    Child,
    StepFailed,
    node_command,
    private_ros_environment,
    python_command,
    require_running,
    started,
    training_command,
    wait_for_line,
)
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.sim.neon_device.check import check_replay
from gaze_vlm_ros.sim.neon_device.clock import SkewedClock
from gaze_vlm_ros.storage.package_files import shared_file
from gaze_vlm_ros.storage.settings_file import load_settings_file
from gaze_vlm_ros.terminal.status_line import StatusLine

CAMERA = "camera/image_raw/compressed"  # the raw images are 170 MB/s
# Files that the child processes write into the output folder.
BAG, FIT = "bag", "fit"
DEVICE_LOG, DELIVERED_LOG = "device.json", "delivered.json"
LIVE, LIVE_DELIVERED_LOG = "live.json", "live_delivered.json"


class RecordingInside(GazeVlmError):
    """The output folder holds the recording."""


class ReplayDiffers(GazeVlmError):
    """The bag lacks something that the glasses delivered, or differs from the recording."""


class MoreThanCamera(GazeVlmError):
    """The predictor subscribes to more than the camera; it must do without gaze."""


@dataclass(frozen=True)
class ReplaySettings:
    """Settings of the demo; config/demo_replay.yaml explains each."""

    clock_offset_s: float
    drift_ppm: float
    transport: str
    label_s: float
    labels: list[str]
    drawn_frames: int
    fit_config: str
    live_s: float
    live_rate_hz: float
    seed: int = 0


def run_device_replay(folder: Path, out: Path, seed: int) -> int:
    """Run the demo on the native Neon recording `folder`, into the folder `out`.

    Raises RecordingNotFound, NotANeonRecording, TurnedVideo, StreamMissing, RecordingInside and NotOurs before anything
    starts, then StepFailed, ReplayDiffers, MoreThanCamera and what the steps raise.
    """
    recording = replayable(folder)
    if out.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise RecordingInside(f"{out} contains the recording {folder} and would be emptied; give another --out")
    config = "config/demo_replay.yaml"
    settings = replace(load_settings_file(ReplaySettings, [shared_file(config)], example=config), seed=seed)
    fresh_folder(out, asdict(settings) | {"recording": str(folder)})
    (out / "logs").mkdir()
    began = time.monotonic()
    first_ns, last_ns = recording.span_ns
    print(
        f"gaze_vlm_ros demo: {folder}, {len(recording.frame_stamps_ns)} frames and {len(recording.gaze.stamps_ns)} "
        f"gaze samples in {(last_ns - first_ns) / 1e9:.1f} s, through simulated glasses. "
        f"Everything goes into {out}; logs into {out / 'logs'}."
    )
    recorded = record(recording, settings, out)
    show_bag(out)
    summary = {
        "settings": asdict(settings),
        "recording": str(folder),
        "recorded": recorded,
        "check": check(recording, settings, out),
        "fit": fit(settings, out),
        "live": predict_live(recording, settings, out),
        "duration_s": round(time.monotonic() - began, 1),
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    print_summary(summary, out)
    return 0


def record(recording: NativeRecording, settings: ReplaySettings, out: Path) -> dict[str, Any]:
    """Replay the recording once into a bag, over DDS, with scripted labels. Return what reached the bag."""
    draw = np.random.default_rng(settings.seed)
    offset_s = draw.uniform(-settings.clock_offset_s, settings.clock_offset_s)
    drift_ppm = draw.uniform(-settings.drift_ppm, settings.drift_ppm)
    status = StatusLine(f"1/5  Record: glasses whose clock is off by {offset_s:+.3f} s and {drift_ppm:+.1f} ppm")
    print("    Labels are SCRIPTED: they alternate by the clock and mean nothing about the video.", flush=True)
    environment, logs = private_ros_environment(), out / "logs"
    device = Child(
        "simulated glasses",
        glasses_command(recording, settings.transport, offset_s, drift_ppm, "--once", "--log", out / DEVICE_LOG),
        logs / "device.log",
        environment,
    )
    labels = Child(
        "scripted labels",
        python_command("gaze_vlm_ros.nodes.scripted_labels", settings.label_s, *settings.labels),
        logs / "scripted_labels.log",
        environment,
    )
    parameters = {
        "bag": str(out / BAG), "session": "neon_replay", "task": "scripted labels", "tracker": "Pupil Labs Neon",
        "stop_when_silent_s": 3.0 + longest_gap_s(recording), "wait_s": 60.0,
    }  # fmt: skip
    recorder = Child("recorder", node_command("recorder", parameters, logs / "recorder.yaml"),
                     logs / "recorder.log", environment)  # fmt: skip
    with started(device, labels, recorder):
        wait_for_line(labels, "is ready", 60)
        streams = ["world", "gaze", *(["imu"] if len(recording.imu.stamps_ns) else [])]
        parameters = {
            "address": address_of(device), "streams": streams, "delivered_log": str(out / DELIVERED_LOG),
            "wait_for_subscribers": [CAMERA, "camera/camera_info", "gaze", "imu"],
        }  # fmt: skip
        glasses = Child("eye_tracker", node_command("eye_tracker", parameters, logs / "eye_tracker.yaml"),
                        logs / "eye_tracker.log", environment)  # fmt: skip
        with started(glasses):
            first_ns, last_ns = recording.span_ns
            deadline = time.monotonic() + 90 + (last_ns - first_ns) / 1e9 + longest_gap_s(recording)
            while recorder.running() and time.monotonic() < deadline:
                require_running(glasses, labels)
                status.show(recorder.last_line())
                time.sleep(0.2)
            # The recorder ends after a silence, so that frames the eye_tracker still had to encode are in the bag.
            recorder.must_succeed(1)
            device.must_succeed(60)
            glasses.stop_cleanly()
            labels.stop_cleanly()
    with open_bag(out / BAG) as bag:
        totals = {topic: asdict(total) for topic, total in bag.totals.items()}
        written_labels = sum(map(len, bag.streams_of(LABEL_TYPE)))
    written, lost = (sum(topic[key] for topic in totals.values()) for key in ("written", "lost"))
    status.done(f"{written} messages in {out / BAG}, {lost} lost; {written_labels} scripted labels among them")
    return {
        "clock_offset_s": offset_s, "drift_ppm": drift_ppm, "messages": written, "lost": lost, "topics": totals,
        "scripted_labels": {"published": _published(labels), "in_bag": written_labels},
    }  # fmt: skip


def show_bag(out: Path) -> None:
    """Print the output of `gaze-vlm bag info`."""
    status = StatusLine("2/5  Look: gaze-vlm bag info")
    command = python_command("gaze_vlm_ros.cli", "bag", "info", out / BAG)
    child = Child("gaze-vlm bag info", command, out / "logs" / "bag_info.log", private_ros_environment())
    with started(child):
        child.must_succeed(60)
    _print_indented(child.log.read_text())
    status.done("read from the bag")


def check(recording: NativeRecording, settings: ReplaySettings, out: Path) -> dict[str, Any]:
    """Compare the bag with the recording, sample by sample, and draw gaze on frames. Raises ReplayDiffers."""
    status = StatusLine("3/5  Check: compare the bag with the recording, on the recording's own clock")
    result = check_replay(out / BAG, recording.folder, out / DELIVERED_LOG, out / DEVICE_LOG)
    _print_indented(result.table())
    if not result.ok:
        wrong = " and ".join(stream.name for stream in result.streams if not stream.ok)
        raise ReplayDiffers(f"{out / BAG} differs from {recording.folder} in {wrong}: see the table; logs: {out}/logs")
    device = json.loads((out / DEVICE_LOG).read_text())
    session = load_session(out / BAG)
    gaze = gaze_on_frames(session, recording, SkewedClock(**device["clock"]), device["session_starts_ns"][0])
    pictures = save_pictures(session.frames, gaze, settings.drawn_frames, out / "gaze_on_frames")
    difference_px = gaze.difference_px
    figures = {
        "frames": len(gaze.frame),
        "difference_px": {"median": float(np.median(difference_px)), "max": float(difference_px.max())},
        "pictures": [str(path.relative_to(out)) for path in pictures],
    }
    status.done(
        f"gaze on {len(gaze.frame)} frames: bag and recording differ by at most {difference_px.max():.4f} px; "
        f"{len(pictures)} of them drawn in {pictures[0].parent}"
    )
    return {"streams": [asdict(stream) for stream in result.streams], "gaze_on_frames": figures}


def fit(settings: ReplaySettings, out: Path) -> dict[str, Any]:
    """Run a few training steps on the bag. Return the number of windows, and the losses."""
    status = StatusLine(
        "4/5  Fit: a few steps of a tiny model on this bag's windows; its answers are the scripted labels"
    )
    command = training_command(
        "fit.py", "--config", shared_file(settings.fit_config), "--set", f"seed={settings.seed}",
        "--out", out / FIT, out / BAG,
    )  # fmt: skip
    child = Child("fit.py", command, out / "logs" / "fit.log", private_ros_environment())
    with started(child):
        deadline = time.monotonic() + 600
        while child.running() and time.monotonic() < deadline:
            status.show(child.last_line())
            time.sleep(0.3)
        child.must_succeed(1)
    (session,) = json.loads((out / FIT / "data.json").read_text())["sessions"]
    steps = [json.loads(line) for line in (out / FIT / "metrics.jsonl").read_text().splitlines()]
    first, last = ({key: row[key] for key in ("lm", "kl")} for row in (steps[0], steps[-1]))
    status.done(
        f"{session['windows']} windows, {session['gaze_share']:.0%} with gaze; {len(steps)} steps; "
        f"attention to gaze: KL {first['kl']:.3f} at the first, {last['kl']:.3f} at the last"
    )
    return {
        "windows": session["windows"], "gaze_share": session["gaze_share"], "steps": len(steps),
        "first": first, "last": last,
    }  # fmt: skip


def predict_live(recording: NativeRecording, settings: ReplaySettings, out: Path) -> dict[str, Any]:
    """Run the predictor on the video, replayed again without gaze. Return what a consumer received.

    Raises MoreThanCamera.
    """
    status = StatusLine(f"5/5  Predict: the video again, without gaze, for {settings.live_s:.0f} s")
    environment, logs = private_ros_environment(), out / "logs"
    view = Child(
        "live view", python_command("gaze_vlm_ros.nodes.live_view", out / LIVE), logs / "live_view.log", environment
    )
    parameters = {"checkpoint": str(out / FIT), "camera_topic": CAMERA, "rate_hz": settings.live_rate_hz}
    predictor = Child(
        "predictor", node_command("predictor", parameters, logs / "predictor.yaml"), logs / "predictor.log", environment
    )
    device = Child(
        "simulated glasses",
        glasses_command(recording, settings.transport, 0.0, 0.0),
        logs / "live_device.log",
        environment,
    )
    with started(view, predictor, device):
        for child in (view, predictor):
            wait_for_line(child, "is ready", 120)
        parameters = {
            "address": address_of(device), "streams": ["world"], "wait_for_subscribers": [CAMERA],
            "delivered_log": str(out / LIVE_DELIVERED_LOG),
        }  # fmt: skip
        glasses = Child("eye_tracker", node_command("eye_tracker", parameters, logs / "live_eye_tracker.yaml"),
                        logs / "live_eye_tracker.log", environment)  # fmt: skip
        with started(glasses):
            wait_for_line(device, "is being played", 60)
            stop = time.monotonic() + settings.live_s
            while (left_s := stop - time.monotonic()) > 0:
                require_running(view, predictor, glasses, device)
                status.show(f"{left_s:.0f} s left; {predictor.last_line()}")
                time.sleep(0.2)
            subscribed = _subscriptions("predictor", CAMERA, environment, logs / "subscriptions.log")
            for child in (predictor, view, glasses, device):
                child.stop_cleanly()
    seen = json.loads((out / LIVE).read_text())["summary"]
    camera = json.loads((out / LIVE_DELIVERED_LOG).read_text())
    if more := [topic for topic, types in subscribed.items() if not set(types) <= set(CAMERA_TYPES)]:
        raise MoreThanCamera(f"the predictor subscribes to {', '.join(more)}, expected only the camera")
    if not seen["answered_frames"]:
        raise StepFailed(f"no prediction had an answer: {seen['status_counts']}; see {predictor.log}")
    status.done(
        f"{seen['predictions']} predictions arrived; the predictor subscribes to {', '.join(subscribed)}: no gaze"
    )
    return {
        "frames": len(camera["streams"]["world"]["header_ns"]),
        "frames_dropped": camera["dropped"],  # encoding JPEG fell behind the camera
        "predictions": seen["predictions"],
        "answered_frames": seen["answered_frames"],
        "status_counts": seen["status_counts"],
        "latency_ms": seen["latency_ms"],
        "predictor_subscribes": subscribed,
    }


def _published(labels: Child) -> int:
    """Number of labels that the publisher reports in its last line."""
    return int(labels.last_line().split()[1])


def _subscriptions(node: str, topic: str, environment: dict[str, str], log: Path) -> dict[str, list[str]]:
    """Types of each topic that a running node subscribes to, once it is known to subscribe to `topic`."""
    child = Child("subscriptions", python_command("gaze_vlm_ros.nodes.subscriptions", node, topic), log, environment)
    with started(child):
        child.must_succeed(60)
    # The log also has what the program says of itself.
    return {topic: types for topic, *types in map(str.split, log.read_text().splitlines()) if topic.startswith("/")}


def _print_indented(text: str) -> None:
    print("\n".join(f"    {line}" for line in text.splitlines()), flush=True)
