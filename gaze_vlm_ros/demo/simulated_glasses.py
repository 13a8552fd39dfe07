"""The recording to replay, and the simulated glasses that replay it as a child process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gaze_vlm_ros.demo.gaze_frames import gaze_at
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.neon.recording import NativeRecording, read_recording
from gaze_vlm_ros.nodes.child_processes import Child, python_command, wait_for_line

HOST = "127.0.0.1"


class RecordingNotFound(GazeVlmError):
    """The folder to replay does not exist."""


class StreamMissing(GazeVlmError):
    """The recording has no scene video, or no gaze during the video."""


def replayable(folder: Path) -> NativeRecording:
    """Read a recording that has scene video with gaze.

    Raises RecordingNotFound, NotANeonRecording, TurnedVideo, StreamMissing.
    """
    if not folder.is_dir():
        raise RecordingNotFound(f"no such folder: {folder}; give the folder that the Neon Companion app wrote")
    recording = read_recording(folder)
    if not len(recording.frame_stamps_ns):
        raise StreamMissing(f"{folder} has no scene video that can be read; give another recording")
    if not np.isfinite(gaze_at(recording.gaze.stamps_ns, recording.gaze.xy_px, recording.frame_stamps_ns)).any():
        raise StreamMissing(f"{folder} has no gaze at the time of any of its frames; give another recording")
    return recording


def glasses_command(
    recording: NativeRecording, transport: str, offset_s: float, drift_ppm: float, *more: object
) -> list[str]:
    """Command line of the simulated glasses, on a free port.

    transport: tcp or udp, of the streams. offset_s, drift_ppm: error of their clock. more: further options.
    """
    return python_command(
        "gaze_vlm_ros.sim.neon_device", recording.folder, "--host", HOST, "--port", 0, "--transport",
        transport, f"--clock-offset-s={offset_s:.6f}", f"--drift-ppm={drift_ppm:.6f}", *more,
    )  # fmt: skip


def address_of(device: Child) -> str:
    """Wait until the glasses listen, and return their host:port. Raises StepFailed."""
    wait_for_line(device, f" at {HOST}:", 60)
    line = next(line for line in device.log.read_text().splitlines() if f" at {HOST}:" in line)
    return line.rpartition(" ")[2]


def longest_gap_s(recording: NativeRecording) -> float:
    """Longest time without a sample of any stream, s; between two parts of a recording it may be long."""
    stamps_ns = (recording.frame_stamps_ns, recording.gaze.stamps_ns, recording.imu.stamps_ns)
    return float(np.diff(np.sort(np.concatenate(stamps_ns))).max()) / 1e9
