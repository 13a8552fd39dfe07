"""Messages of the phone's status websocket."""

import json
from typing import Any

import pytest

from gaze_vlm_ros.neon.status_watch import StatusWatch, connected_sensor


def message(sensor: Any = "gaze", connected: Any = True, model: str = "Sensor", conn_type: str = "DIRECT") -> str:
    data = {"sensor": sensor, "conn_type": conn_type, "connected": connected, "ip": "1.2.3.4", "port": 8086}
    return json.dumps({"model": model, "data": data | {"protocol": "rtsp", "params": "camera=gaze"}})


@pytest.mark.parametrize("connected", [True, False])
def test_a_sensor_that_is_connected_or_not(connected: bool) -> None:
    assert connected_sensor(message(connected=connected)) == ("gaze", connected)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", message(model="Telescope"), message(sensor=5), message(conn_type="WEBSOCKET"), b"\xff"],
)
def test_messages_about_no_sensor(text: str | bytes) -> None:
    assert connected_sensor(text) is None


def test_only_changes_are_reported_and_the_first_message_is_none() -> None:
    changes: list[tuple[str, bool]] = []
    watch = StatusWatch(lambda *change: changes.append(change))
    for sensor, connected in [("gaze", True), ("imu", False), ("gaze", False), ("gaze", False), ("imu", True)]:
        watch.take(message(sensor, connected))
        watch.take("{}")
    assert changes == [("gaze", False), ("imu", True)]
