"""Compare a bag with the recording that the simulated glasses replayed: is everything there, at its own time?

Four accounts of the same samples meet here: the recording; the device's log (where on its clock the recording lay, and
how that clock ran); the eye_tracker node's `delivered_log` (what the real client delivered, and how it was stamped);
and the bag.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.neon.recording import NativeRecording, read_recording
from gaze_vlm_ros.sim.neon_device.clock import SkewedClock

TOLERANCE_MS = 2.0
Stamps = npt.NDArray[np.int64]


class NoReplayLog(GazeVlmError):
    """A log that the check needs is missing, or is not a replay log."""


@dataclass(frozen=True)
class StreamCheck:
    """How one stream came through."""

    name: str
    recorded: int  # in the recording
    delivered: int  # by the real client
    in_bag: int  # of those
    only_in_bag: int  # that the client did not deliver
    device_error_ms: float  # largest |delivered device stamp - the recording's stamp on the device's clock|
    header_error_ms: float  # largest |header stamp in the bag - true acquisition time on the host's clock|
    gaze_error_px: float = 0.0  # largest difference of a coordinate from the recording's
    worn_differs: int = 0

    @property
    def ok(self) -> bool:
        """Everything delivered is in the bag, nothing else is, and all of it is right."""
        complete = self.delivered > 0 and self.in_bag == self.delivered and not self.only_in_bag
        in_time = max(self.device_error_ms, self.header_error_ms) <= TOLERANCE_MS
        return complete and in_time and self.gaze_error_px == 0 and not self.worn_differs


@dataclass(frozen=True)
class ReplayCheck:
    """How all streams came through."""

    streams: tuple[StreamCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether every stream is complete and right."""
        return all(stream.ok for stream in self.streams)

    def table(self) -> str:
        """Return the comparison for the screen, one line for each stream."""
        lines = ["stream  recorded  delivered  in bag    only in bag  device stamp  acquisition time  gaze        "]
        for s in self.streams:
            gaze = f"{s.gaze_error_px:.4f} px, worn differs {s.worn_differs}" if s.name == "gaze" else "-"
            lines.append(
                f"{s.name:<6}  {s.recorded:8d}  {s.delivered:9d}  {s.in_bag:6d}  {s.only_in_bag:13d}  "
                f"{s.device_error_ms:9.4f} ms  {s.header_error_ms:13.4f} ms  {gaze}"
            )
        verdict = "every delivered sample is in the bag, within" if self.ok else "NOT every delivered sample is within"
        return "\n".join([*lines, f"{verdict} {TOLERANCE_MS:g} ms of its acquisition time"])


def check_replay(bag: Path, recording_folder: Path, delivered_log: Path, device_log: Path) -> ReplayCheck:
    """Compare scene frames and gaze of a recorded bag with the native recording that was replayed into it.

    Raises NoReplayLog without one of the logs, and what `load_session` and `read_recording` raise.
    """
    from gaze_vlm_ros.session.session import load_session, require_gaze

    recording = read_recording(recording_folder)
    session = load_session(bag)
    delivered = _read_log(delivered_log, "streams")["streams"]
    device = _read_log(device_log, "session_starts_ns")
    gaze = require_gaze(session)
    clock = SkewedClock(**device["clock"])
    starts_ns = np.asarray(device["session_starts_ns"], np.int64)
    frames, _, _ = check_stream(
        "world", recording, recording.frame_stamps_ns, delivered, starts_ns, clock, np.asarray(session.frames.stamps_ns)
    )
    samples, bag_index, recorded_index = check_stream(
        "gaze", recording, recording.gaze.stamps_ns, delivered, starts_ns, clock, np.asarray(gaze.stamps_ns)
    )
    return ReplayCheck((frames, _with_gaze(samples, recording, recorded_index, gaze, bag_index)))


def check_stream(
    name: str,
    recording: NativeRecording,
    recorded_ns: Stamps,
    delivered: dict[str, dict[str, list[int]]],
    starts_ns: Stamps,
    clock: SkewedClock,
    bag_ns: Stamps,
) -> tuple[StreamCheck, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Compare one stream's times; also return the indices of the delivered samples in the bag and in the recording."""
    device_ns = np.asarray(delivered[name]["device_ns"], np.int64)
    header_ns = np.asarray(delivered[name]["header_ns"], np.int64)
    # On the recording's clock: time since the start of the pass that the sample belongs to.
    passes = np.maximum(np.searchsorted(starts_ns, device_ns, side="right") - 1, 0)
    replayed_ns = device_ns - starts_ns[passes] + recording.span_ns[0]
    recorded_index = _nearest(recorded_ns, replayed_ns)
    error_ns = np.abs(replayed_ns - recorded_ns[recorded_index])
    true_device_ns = recorded_ns[recorded_index] - recording.span_ns[0] + starts_ns[passes]
    true_host_ns = np.array([clock.host_ns(stamp) for stamp in true_device_ns.tolist()], np.int64)
    in_bag = np.isin(header_ns, bag_ns)
    check = StreamCheck(
        name=name,
        recorded=len(recorded_ns),
        delivered=len(device_ns),
        in_bag=int(in_bag.sum()),
        only_in_bag=int((~np.isin(bag_ns, header_ns)).sum()),
        device_error_ms=float(error_ns.max(initial=0)) / 1e6,
        header_error_ms=float(np.abs(header_ns - true_host_ns)[in_bag].max(initial=0)) / 1e6,
    )
    return check, _nearest(bag_ns, header_ns[in_bag]), recorded_index[in_bag]


def _with_gaze(
    check: StreamCheck,
    recording: NativeRecording,
    recorded_index: npt.NDArray[np.intp],
    gaze: Any,
    bag_index: npt.NDArray[np.intp],
) -> StreamCheck:
    from dataclasses import replace

    expected_px = recording.gaze.xy_px[recorded_index].astype(float)
    error_px = np.abs(np.asarray(gaze.xy)[bag_index] - expected_px)
    worn_yes = 2  # gaze_vlm_msgs/GazeStamped
    worn = np.asarray(gaze.worn)[bag_index] == worn_yes
    return replace(
        check,
        gaze_error_px=float(error_px.max(initial=0.0)),
        worn_differs=int((worn != recording.gaze.worn[recorded_index]).sum()),
    )


def _nearest(sorted_ns: Stamps, query_ns: Stamps) -> npt.NDArray[np.intp]:
    """Index of the nearest of `sorted_ns` for each of `query_ns`."""
    if not len(sorted_ns):
        return np.zeros(0, np.intp)
    right = np.clip(np.searchsorted(sorted_ns, query_ns), 1, max(len(sorted_ns) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(sorted_ns) - 1)
    return np.where(np.abs(sorted_ns[right] - query_ns) < np.abs(query_ns - sorted_ns[left]), right, left)


def _read_log(path: Path, needed: str) -> dict[str, Any]:
    try:
        log: dict[str, Any] = json.loads(Path(path).read_text())
        log[needed]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoReplayLog(f"{path} is not a replay log ({type(error).__name__}: {error})") from None
    return log
