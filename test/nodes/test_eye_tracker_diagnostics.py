"""What /diagnostics and the last lines say about the glasses, without a node."""

import pytest

pytest.importorskip("rclpy", reason="diagnostic_msgs comes with it")

from diagnostic_msgs.msg import DiagnosticStatus

from gaze_vlm_ros.neon.client import StreamState
from gaze_vlm_ros.neon.clock_state import ClockState
from gaze_vlm_ros.neon.device_clock import FUTURE, DeviceClock, OffsetEstimate
from gaze_vlm_ros.neon.gaze_delay import GazeDelay
from gaze_vlm_ros.neon.samples import BLINK, EyeEvent
from gaze_vlm_ros.neon.stream import NeonStream
from gaze_vlm_ros.nodes.eye_tracker_diagnostics import NOT_CONNECTED, StreamReports, device_status, summary_lines

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def known_clock() -> DeviceClock:
    clock = DeviceClock()
    clock.add(OffsetEstimate(0, -3_200_000_000, 150_000, 250_000, 40, 40))
    return clock


def state(name: str, delivered: int = 0, lost: str = "") -> StreamState:
    stream = NeonStream(name, ClockState(known_clock(), lambda: 0, lambda: None), lambda *_: None)
    stream.delivered = delivered
    return StreamState(stream, lost=lost)


def test_without_an_estimate_of_the_clock_nothing_is_connected() -> None:
    assert device_status(DeviceClock(), {"gaze": state("gaze")}, GazeDelay(), 0) == NOT_CONNECTED
    assert NOT_CONNECTED.level == WARN


def test_figures_of_the_device() -> None:
    gaze, world = state("gaze"), state("world")
    gaze.connections, world.connections = 2, 1
    gaze.stream.guard.refuse(FUTURE)
    part, level, text, values = device_status(known_clock(), {"gaze": gaze, "world": world}, GazeDelay(), 4)
    assert (part, level, text) == ("glasses", OK, "receiving")
    assert values == {
        "clock offset host - device [ms]": "-3200.000",
        "clock offset uncertainty [ms]": "0.150",
        "round trip [ms]": "0.250",
        "clock drift of the device [ppm]": "0.00",
        "clock steps": 0,
        "impossible stamps refused": 1,
        "frames dropped": 4,
        "reconnections": 3,
    }


def test_a_lost_stream_is_an_error_of_the_device_and_of_the_stream() -> None:
    states = {"gaze": state("gaze", lost="nothing came for 5 s"), "imu": state("imu", lost="refused"), "x": state("x")}
    assert device_status(known_clock(), states, GazeDelay(), 0)[1:3] == (ERROR, "lost: gaze, imu")
    assert StreamReports().report("gaze", states["gaze"])[:3] == (
        "stream gaze",
        ERROR,
        "lost: nothing came for 5 s",
    )


def test_eye_events_bring_their_own_figures() -> None:
    delay: GazeDelay[str] = GazeDelay()
    delay.add_event(EyeEvent(BLINK, 0, 1), age_ns=61_000_000)
    delay.states.contradicted = 7
    values = device_status(known_clock(), {"eye_events": state("eye_events")}, delay, 0).values
    assert values["longest delay of an eye event [ms]"] == "61"
    assert values["eye states that a later event contradicted"] == 7


def test_a_stream_is_a_warning_until_it_delivers_and_whenever_it_loses_something_new() -> None:
    reports, gaze = StreamReports(), state("gaze")
    assert reports.report("gaze", gaze)[1:3] == (WARN, "nothing has arrived yet")
    gaze.stream.delivered = 5
    assert reports.report("gaze", gaze)[1:3] == (OK, "receiving")
    gaze.stream.untimed = 3
    assert reports.report("gaze", gaze)[1:3] == (WARN, "3 packets or samples lost or refused since the last report")
    part = reports.report("gaze", gaze)
    assert part[1:3] == (OK, "receiving")
    assert (part.values["delivered"], part.values["samples without a time"]) == (5, 3)
    assert "last that was unreadable" not in part.values
    gaze.stream.last_unreadable = "8 bytes"
    assert reports.report("gaze", gaze).values["last that was unreadable"] == "8 bytes"


def test_the_summary_names_what_each_stream_lost() -> None:
    gaze, imu = state("gaze"), state("imu")
    gaze.stream.guard.refuse(FUTURE)
    gaze.stream.untimed = 2
    assert summary_lines({"gaze": 80, "imu": 60}, [gaze.stream, imu.stream], 3, 0) == [
        "the glasses delivered 80 gaze, 60 imu; 1 stamps refused, 3 frames dropped",
        "gaze lost 2 samples without a time, 1 stamps refused: future",
    ]
    assert summary_lines({"gaze": 0}, [], 0, 12) == [
        "the glasses delivered 0 gaze; 0 stamps refused, 0 frames dropped, "
        "12 gaze samples still held for their eye state"
    ]
