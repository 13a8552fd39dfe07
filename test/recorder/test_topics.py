"""Which topics a recording waits for, and when it gives up."""

import pytest

from gaze_vlm_ros.bags.roles import CAMERA_TYPES, GAZE_TYPE, LABEL_TYPE, POINT_TYPE
from gaze_vlm_ros.recorder.topics import TopicMissing, TopicWait, WantedTopic, WrongTopicType, wanted_topics

JPEG, INFO = "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/CameraInfo"
ALL = {"camera": "/cam", "camera_info": "/info", "gaze": "/gaze", "label": "/label", "imu": "/imu"}


def waiting(wait_s: float = 10.0, extra: tuple[str, ...] = (), **changed: str) -> TopicWait:
    return TopicWait(wanted_topics(**{**ALL, **changed}, extra=extra), wait_s)


def nothing_published() -> list[str]:
    return []


def test_an_empty_name_leaves_a_topic_out() -> None:
    topics = wanted_topics(camera="/cam", camera_info="", gaze="", label="/label", imu="", extra=["/odom"])
    assert topics == (
        WantedTopic("/cam", CAMERA_TYPES, True),
        WantedTopic("/label", (LABEL_TYPE,), False),
        WantedTopic("/odom", (), True),
    )


def test_optional_topics_of_a_single_type_are_recorded_before_they_are_published() -> None:
    types = waiting().types({"/cam": {JPEG}, "/gaze": {GAZE_TYPE}}, 0.0, nothing_published)
    assert types == {
        "/cam": JPEG, "/info": INFO, "/gaze": GAZE_TYPE, "/label": LABEL_TYPE, "/imu": "sensor_msgs/msg/Imu"
    }  # fmt: skip


def test_it_waits_for_required_topics_and_names_them_when_it_gives_up() -> None:
    wait = waiting(wait_s=2.5, extra=("/odom",))
    offered = {"/gaze": [POINT_TYPE], "/odom": ["a/msg/A", "b/msg/B"]}  # two types at once: not yet clear
    assert wait.types(offered, 2.4, nothing_published) is None
    with pytest.raises(
        TopicMissing, match=r"^no publisher of /cam, /odom appeared within 2\.5 s; published topics: /gaze, /tf; start"
    ):
        wait.types(offered, 2.5, lambda: ["/gaze", "/tf"])
    with pytest.raises(TopicMissing, match="published topics: none; start the source"):
        wait.types({}, 2.5, nothing_published)


def test_a_wrong_type_is_refused_at_once() -> None:
    with pytest.raises(WrongTopicType, match=r"topic /label carries std_msgs/msg/String, expected gaze_vlm_msgs"):
        waiting().types({"/label": ["std_msgs/msg/String"]}, 0.0, nothing_published)
    both = {"/cam": ["std_msgs/msg/String", JPEG]}
    with pytest.raises(WrongTopicType, match=r"carries sensor_msgs/msg/CompressedImage and std_msgs/msg/String, exp"):
        waiting().types(both, 0.0, nothing_published)


def test_required_topics_must_be_connected() -> None:
    wait = waiting(wait_s=1.0)
    assert wait.is_connected({"/cam": 1, "/gaze": 2}, 0.0)
    assert not wait.is_connected({"/cam": 1, "/gaze": 0, "/label": 1}, 0.9)
    with pytest.raises(TopicMissing, match="the publishers of /gaze are known, but none connected within 1 s"):
        wait.is_connected({"/cam": 1}, 1.0)


def test_camera_and_gaze_must_be_heard() -> None:
    """Other required topics may be rare."""
    wait = waiting(wait_s=5.0, extra=("/emergency",))
    assert wait.is_heard({"/cam", "/gaze"}, 9.0)
    assert not wait.is_heard({"/cam", "/imu"}, 4.9)
    with pytest.raises(TopicMissing, match=r"^no message came on /gaze within 5 s, though somebody publishes there"):
        wait.is_heard({"/cam", "/imu"}, 5.0)
