import pytest

from gaze_vlm_ros.recorder.topic_watch import KNOWN_AFTER, TopicWatch


def said(counts: list[int]) -> dict[int, str]:
    """What the watch says, by second, when so many messages come in each."""
    watch = TopicWatch("/gaze")
    reports = ((second, watch.report(count, 1.0, float(second))) for second, count in enumerate(counts))
    return {second: text for second, text in reports if text}


def test_a_steady_topic_is_not_worth_a_word() -> None:
    assert said([200, 199, 201, 160, 200, 230] * 20) == {}


def test_a_start_is_not_a_change() -> None:
    assert said([0, 0, 0, 3, 90, 200, 200, 200, 200, 200]) == {}


def test_silence_is_said_once_and_so_is_its_end() -> None:
    assert said([200] * 10 + [0] * 12 + [200] * 5) == {
        10: "/gaze has been silent for 1.0 s; usual 200 Hz",
        22: "/gaze is back after 12.0 s",
    }


def test_a_slow_topic_may_be_quiet_for_longer() -> None:
    assert said([1] * 10 + [0] * 9 + [1] * 5) == {}
    assert list(said([1] * 10 + [0] * 12)) == [19]


def test_slowness_is_said_once_and_so_is_its_end() -> None:
    texts = said([30] * 20 + [10] * 10 + [30] * 10)
    assert list(texts) == [22, 30]
    assert texts[22] == "/gaze has slowed down to 10.0 Hz; usual 30 Hz"
    assert texts[30].startswith("/gaze is up again to")


def test_a_short_hiccup_is_not_slowness() -> None:
    assert said([30] * 20 + [10, 10] + [30] * 10) == {}


@pytest.mark.parametrize("beginning", range(KNOWN_AFTER))
def test_before_the_rate_is_known_nothing_is_said(beginning: int) -> None:
    assert said([200] * beginning + [0] * 5) == {}
