"""The simulator over real DDS, recorded by the real recorder: the bag is the session."""

from pathlib import Path

import numpy as np
import pytest
from ros_processes import finish, isolated_environment, start_node

from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.sim.bench_session import FrameEvent, GazeEvent, LabelEvent, simulate
from gaze_vlm_ros.sim.bench_settings import BenchSettings


@pytest.mark.parametrize("speed", [1, 4])
def test_the_recorded_session_is_the_simulated_one(tmp_path: Path, speed: int) -> None:
    environment = isolated_environment()
    settings = {"seed": 9, "duration_s": 5.0, "width": 320, "height": 240, "person": "eve", "frame_rate_hz": 20.0}
    folder = tmp_path / "bag"
    recorder = start_node("recorder", {"bag": str(folder), "stop_when_silent_s": 3.0}, environment, tmp_path)
    wanted = ["gaze", "label", "camera/image_raw/compressed", "camera/camera_info"]
    simulator = start_node(
        "simulator", {**settings, "speed": speed, "wait_for_subscribers": wanted}, environment, tmp_path
    )
    code, output = finish(simulator)
    assert code == 0, output
    code, output = finish(recorder)
    assert code == 0, output

    session = load_session(folder)
    events = list(simulate(BenchSettings(**settings)))
    assert session.gaze is not None
    assert session.labels is not None
    gaze = [event for event in events if isinstance(event, GazeEvent)]
    start_ns = session.frames.stamps_ns[0]
    # Acquisition times in simulated time, whatever the speed.
    frames = [event for event in events if isinstance(event, FrameEvent)]
    np.testing.assert_array_equal(session.frames.stamps_ns - start_ns, [event.t_ns for event in frames])
    np.testing.assert_array_equal(session.gaze.stamps_ns - start_ns, [event.t_ns for event in gaze])
    np.testing.assert_array_equal(session.gaze.xy, [(event.x, event.y) for event in gaze])
    np.testing.assert_array_equal(session.gaze.worn, [event.worn for event in gaze])
    np.testing.assert_array_equal(session.gaze.eye_state, [event.eye_state for event in gaze])
    assert session.gaze.image_size == (320, 240)
    assert session.labels.texts == [event.text for event in events if isinstance(event, LabelEvent)]
    assert np.abs(session.frames.rgb(30).astype(int) - frames[30].rgb).mean() < 4  # JPEG


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"scene": "kitchen"}, "scene is 'kitchen', expected one of workbench, misleading"),
        ({"duration_s": -1.0}, "duration_s is -1.0, expected more than 0"),
        ({"speed": 0.0}, "speed is 0, expected more than 0"),
        ({"width": "wide"}, "width is 'wide'"),
        ({"wait_for_subscribers": ["gaze"], "wait_s": 0.5}, "nobody subscribed to /gaze within 0.5 s"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, parameters: dict[str, object], says: str) -> None:
    code, output = finish(start_node("simulator", parameters, isolated_environment(), tmp_path))
    assert code == 1
    assert "Traceback" not in output
    errors = [line for line in output.splitlines() if line.startswith("simulator: error:")]
    assert len(errors) == 1, output
    assert says in errors[0]


def test_output_on_a_full_disk_ends_no_session(tmp_path: Path) -> None:
    parameters = {"duration_s": 1.0, "width": 64, "height": 48}
    code, said = finish(start_node("simulator", parameters, isolated_environment(), tmp_path, full_disk=True))
    assert code == 0
    assert [line for line in said.splitlines() if not line.startswith("[INFO]")] == []
