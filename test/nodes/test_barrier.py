"""What a peer sends and a callback cannot take is counted, reported now and then, and answered."""

from types import SimpleNamespace

import pytest

from gaze_vlm_ros.nodes.barrier import REPORT_PERIOD_S, Barrier
from gaze_vlm_ros.video.images import DamagedImage, to_rgb


def test_every_input_is_counted_and_few_are_reported() -> None:
    shown: list[str] = []
    now_s = [0.0]
    barrier = Barrier(shown.append, lambda: now_s[0])
    for _ in range(100):
        barrier.refuse("/gaze", ValueError("a\nline\x1b[2J"))
    assert shown == ["refused an input of /gaze (ValueError: a line\x1b[2J); 1 so far"]
    now_s[0] = REPORT_PERIOD_S
    barrier.refuse("/gaze", ValueError("x" * 10_000))
    assert len(shown) == 2
    assert len(shown[1]) < 300
    assert shown[1].endswith("101 so far")
    barrier.refuse("/camera", ValueError())
    assert len(shown) == 3
    assert barrier.summary() == "inputs refused: 1 of /camera, 101 of /gaze"
    assert Barrier(shown.append).summary() == ""


def test_a_report_names_the_line_of_this_package() -> None:
    shown: list[str] = []
    barrier = Barrier(shown.append)
    image = SimpleNamespace(encoding="rgb8", height=2, width=2, step=6, data=b"", is_bigendian=0)
    with barrier.around("/camera"):
        to_rgb(image)
    assert DamagedImage.__name__ in shown[0]
    assert "; at video/images.py:" in shown[0]


def test_a_service_answers_where_its_callback_fails() -> None:
    barrier = Barrier(lambda text: None)

    def fail(request: object, response: object) -> object:
        raise OSError("File name too long")

    response = barrier.answering("~/start_episode", fail)(None, SimpleNamespace(success=True, message=""))
    assert not response.success
    assert "File name too long" in response.message
    assert barrier.refused == {"~/start_episode": 1}


def test_what_ends_a_node_is_not_foreign_input() -> None:
    pytest.importorskip("rclpy", reason="a node needs rclpy")
    from gaze_vlm_ros.nodes.running import NodeFinished

    barrier = Barrier(lambda text: None)
    with pytest.raises(NodeFinished), barrier.around("/gaze"):
        raise NodeFinished
