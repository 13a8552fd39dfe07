"""Bags of `ros2 bag record -a`: two cameras, gaze as points, and nothing that says which is which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_bags import HEIGHT, START_NS, WIDTH, header

from gaze_vlm_ros import cli
from gaze_vlm_ros.bags.errors import NoSuchTopic
from gaze_vlm_ros.bags.message_types import message_class
from gaze_vlm_ros.bags.role_options import Roles, take_roles
from gaze_vlm_ros.bags.roles import POINT_TYPE, UnclearRole, open_with_roles
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.inspection.info import summarize
from gaze_vlm_ros.session.gaze_track import UnclearGaze
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.video.images import UnknownEncoding, encode_jpeg

COLOUR, DEPTH, EYES = "/head/color/image_raw/compressed", "/head/depth/image_rect_raw", "/eyes/point"
CHOSEN = ["--camera-topic", COLOUR, "--gaze-topic", EYES, "--gaze-coordinates", "normalized_bottom_left"]
LABEL = "gaze_vlm_msgs/msg/ActionLabel"


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    """4 s at 10 Hz: colour and depth of different sizes, a point at (0.25, 0.75), a label each second."""
    writer = BagWriter(tmp_path / "bag", {})
    for name, type_name in ((COLOUR, "sensor_msgs/msg/CompressedImage"), (DEPTH, "sensor_msgs/msg/Image"),
                            (EYES, POINT_TYPE), ("/goal", POINT_TYPE), ("/label", LABEL)):  # fmt: skip
        writer.add_topic(name, type_name)
    jpeg = np.frombuffer(encode_jpeg(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)), np.uint8)
    depth = np.zeros(30 * 40 * 2, np.uint8)
    for number in range(40):
        now_ns = START_NS + number * 10**8
        head = header(now_ns)
        colour = message_class("sensor_msgs/msg/CompressedImage")(head, "rgb8; jpeg compressed bgr8", jpeg)
        point = message_class("geometry_msgs/msg/Point")(0.25, 0.75, 0.0)
        writer.write_message(COLOUR, colour, now_ns)
        writer.write_message(DEPTH, message_class("sensor_msgs/msg/Image")(head, 30, 40, "16UC1", 0, 80, depth), now_ns)
        for topic in (EYES, "/goal"):
            writer.write_message(topic, message_class(POINT_TYPE)(head, point), now_ns)
        if number % 10 == 0:
            writer.write_message("/label", message_class(LABEL)(head, f"action {number}", "do", ""), now_ns)
    writer.close()
    return tmp_path / "bag"


def test_a_session_takes_what_the_user_says(bag: Path) -> None:
    session = load_session(bag, roles=Roles(COLOUR, EYES, "normalized_bottom_left"))
    assert (session.frames.topic, session.frames.size) == (COLOUR, (WIDTH, HEIGHT))
    assert session.gaze is not None
    np.testing.assert_allclose(session.gaze.xy, [[0.25 * WIDTH, 0.25 * HEIGHT]] * 40)
    assert load_session(bag, roles=Roles(COLOUR.lstrip("/"))).frames.topic == COLOUR
    with pytest.raises(UnknownEncoding, match=r"'16UC1' .*it holds measurements such as depth"):
        _ = load_session(bag, roles=Roles(DEPTH)).frames.size


def test_without_it_each_error_names_the_option(bag: Path) -> None:
    with pytest.raises(UnclearRole, match=rf"could be {COLOUR} or {DEPTH}, .*; give --camera-topic$"):
        load_session(bag)
    with pytest.raises(UnclearGaze, match=r"gaze_coordinates is '', expected one of .*; give --gaze-coordinates"):
        load_session(bag, roles=Roles(COLOUR, EYES))
    assert "give --camera-topic" in summarize(bag).camera_role.reason


@pytest.mark.parametrize(
    ("roles", "error", "says"),
    [
        (Roles("/head/colour"), NoSuchTopic, "has no topic /head/colour; it has /head/color"),
        (Roles(EYES), UnclearRole, "/eyes/point cannot be the camera_topic: it carries geometry_msgs/msg/PointStamped"),
        (Roles(COLOUR, DEPTH), UnclearRole, "cannot be the gaze_topic: it carries sensor_msgs/msg/Image, expected"),
    ],
)
def test_what_cannot_play_a_role_is_named(bag: Path, roles: Roles, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        open_with_roles(bag, roles)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("bag", "info", "BAG"), 0),
        (("bag", "check", "BAG"), 1),  # four labels in four seconds are few
        (("view", "BAG", "--save", "OUT"), 0),
        (("view", "BAG", "--save", "OUT.rrd"), 0),
        (("export", "lerobot", "BAG", "--out", "OUT"), 0),
        (("label", "import", "BAG", "LABELS"), 0),
        (("label", "export", "BAG", "OUT.csv"), 0),
        (("label", "describe", "BAG", "--dry-run", "--server", "http://localhost:1", "--model-name", "m"), 0),
    ],
)
def test_every_command_that_takes_camera_or_gaze_takes_the_options(
    bag: Path, tmp_path: Path, command: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("start_s,end_s,label\n1.5,2.5,take the mug\n")
    places = {"BAG": str(bag), "LABELS": str(labels), "OUT": str(tmp_path / "out")}
    arguments = [places.get(word, word).replace("OUT.", f"{tmp_path}/out.") for word in command]
    assert cli.main([*arguments, *CHOSEN]) == code
    printed = capsys.readouterr()
    assert "error:" not in printed.err
    if command[0] == "bag":
        assert COLOUR in printed.out or f"40 of {WIDTH}x{HEIGHT}; 0 damaged" in printed.out
        assert "100.0% of 40 samples" in printed.out
    else:
        before = sorted(tmp_path.rglob("*"))
        assert cli.main(arguments) == 1  # the camera is unclear, or the place is taken
        assert sorted(tmp_path.rglob("*")) == before


def test_replay_and_review_have_the_options_too() -> None:
    for command in (["replay", "b"], ["label", "review", "b"]):
        arguments = vars(cli._parser().parse_args([*command, *CHOSEN]))
        assert take_roles(arguments) == Roles(COLOUR, EYES, "normalized_bottom_left")
