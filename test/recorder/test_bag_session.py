"""Bags of one run: a single one, or one per episode; read back from the disk."""

import errno
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcap.reader import make_reader

from gaze_vlm_ros.bags.message_types import UnknownMessageType
from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.roles import LABEL_TYPE
from gaze_vlm_ros.bags.session_records import TopicTotals
from gaze_vlm_ros.bags.writer import DEFAULT_QOS, BagExists, Split
from gaze_vlm_ros.recorder.bag_session import BagSession, BagSettings
from gaze_vlm_ros.recorder.disk import DiskFull

TEXT = "std_msgs/msg/String"
TYPES = {"/words": TEXT, "/label": TEXT}
DATA = b"\0\1\0\0\1\0\0\0\0"  # an empty text


class Run:
    """A session with what it printed."""

    def __init__(self, folder: Path, in_episodes: bool = False, **changed: Any) -> None:
        self.said: list[str] = []
        self.errors: list[str] = []
        settings: dict[str, Any] = {
            "metadata": {"session": "", "task": "sort"}, "label_topic": "/label", "queue_bytes": 1_000_000,
            "flush_s": 0.2, "sync_s": 0.0, "min_free_bytes": 0.0,
        }  # fmt: skip
        settings = BagSettings(folder, in_episodes, **{**settings, **changed})
        self.session = BagSession(settings, self.offered_qos, self.said.append, self.errors.append)

    def offered_qos(self, topic: str) -> list[dict[str, Any]]:
        return [{**DEFAULT_QOS, "depth": 3}] if topic == "/words" else []

    def write(self, *sequences: int) -> None:
        for sequence in sequences:
            self.session.write("/words", DATA, 1000 + sequence, 500 + sequence, sequence, b"p")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path / "day", in_episodes=True)
    yield run
    run.session.finish([])


def test_one_bag_from_beginning_to_end(tmp_path: Path) -> None:
    run = Run(tmp_path / "bag")
    assert (run.session.is_ready, run.session.is_recording) == (False, False)
    run.session.begin(TYPES)
    assert (run.session.is_ready, run.session.is_recording, run.session.episode_id) == (True, True, "")
    assert run.session.doing.startswith("recording for ")
    run.write(1, 2, 3)
    assert run.session.add_label("stir", DATA, 2000).done
    assert run.session.finish(["/words"])
    assert not run.session.is_recording
    assert run.errors == []
    assert run.said[0] == "label: stir"
    assert "MB waited for the disk; the longest write took" in run.said[1]
    assert run.said[2] == f"closed {tmp_path / 'bag'}"
    with open_bag(tmp_path / "bag") as bag:
        assert bag.totals["/words"].written == 3
        assert bag.totals["/label"].written == 1
        assert list(bag.read("/words").arrivals_ns) == [1001, 1002, 1003]
        assert (bag.metadata["session"], bag.metadata["task"]) == ("bag", "sort")


def test_what_is_lost_makes_the_run_incomplete(tmp_path: Path) -> None:
    run = Run(tmp_path / "bag")
    run.session.begin(TYPES)
    run.write(1, 4)
    assert not run.session.finish(["/words"])
    assert run.errors == ["2 messages were lost, see the table"]


def test_a_required_topic_without_a_message_makes_the_run_incomplete(tmp_path: Path) -> None:
    run = Run(tmp_path / "bag")
    run.session.begin(TYPES)
    assert not run.session.finish(["/words", "/label"])
    assert run.errors == ["no message came on /words, /label"]


def test_a_bag_without_any_message_leaves_its_name_free(tmp_path: Path) -> None:
    for _ in range(2):
        run = Run(tmp_path / "bag")
        run.session.begin(TYPES)
        assert not run.session.finish(["/words"])
        assert f"removed {tmp_path / 'bag'}, which has no message" in run.said[-1]
        assert not (tmp_path / "bag").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    Run(bag, in_episodes=True)  # an empty folder may take episodes
    with pytest.raises(BagExists, match="exists already, and bags are never overwritten"):
        Run(bag)
    (bag / "bag_0.mcap").write_text("data")
    with pytest.raises(BagExists, match="is a bag, expected a folder for the bags of episodes"):
        Run(bag, in_episodes=True)


def test_what_can_be_refused_is_refused_before_there_is_a_bag(tmp_path: Path) -> None:
    run = Run(tmp_path / "bag")
    with pytest.raises(UnknownMessageType):
        run.session.begin({"/words": "no_such_msgs/msg/Type"})
    run = Run(tmp_path / "bag", min_free_bytes=1e18)
    with pytest.raises(DiskFull, match=r"expected at least 1000000000000 \(min_free_mb\)"):
        run.session.begin(TYPES)
    assert not (tmp_path / "bag").exists()
    assert run.session.finish(["/words"])  # nothing was recorded, so nothing is missing
    assert run.said == run.errors == []


def test_episodes_are_bags_of_their_own(run: Run, tmp_path: Path) -> None:
    session = run.session
    assert session.start_episode().message == (
        "still waiting for topics; start an episode when the recorder says it is ready"
    )
    session.begin(TYPES)
    run.write(1)  # before the first episode: dropped
    assert session.add_label("stir", DATA, 2000).message == "nothing is being recorded"
    assert session.stop_episode(keep=True) == (False, "no episode is being recorded", "")
    assert session.doing == "between episodes"
    assert session.start_episode("pour", "fill a glass") == (True, "", "pour")
    assert session.episode_id == "pour"
    assert session.start_episode() == (False, "episode pour is being recorded; stop it first", "pour")
    run.write(2, 3)
    assert session.stop_episode(keep=True) == (True, "", "pour")
    assert session.episode_id == ""
    assert session.start_episode("pour").message.startswith("there is an episode")
    assert session.start_episode() == (True, "", "episode_0000")
    run.write(5, 7)
    assert session.stop_episode(keep=True) == (True, "1 messages were lost", "episode_0000")
    assert session.start_episode().episode_id == "episode_0001"
    assert session.stop_episode(keep=False) == (True, "", "episode_0001")
    assert sorted(path.name for path in (tmp_path / "day").iterdir()) == [
        "episode_0000", "episode_0001_discarded", "pour"
    ]  # fmt: skip
    with open_bag(tmp_path / "day/pour") as bag:
        assert (bag.metadata["session"], bag.metadata["task"]) == ("pour", "fill a glass")
        assert bag.totals["/words"].received == 2
    with open_bag(tmp_path / "day/episode_0000") as bag:
        assert (bag.metadata["session"], bag.metadata["task"]) == ("episode_0000", "sort")
    assert session.lost == 1
    assert not session.finish(["/words"])  # losses of every episode count
    assert run.errors == ["1 messages were lost, see the table"]


def test_labels_without_their_topic(tmp_path: Path) -> None:
    run = Run(tmp_path / "bag", label_topic="")
    run.session.begin({"/words": TEXT})
    assert run.session.add_label("stir", DATA, 1).message == "labels are not recorded: parameter label_topic is empty"
    run.session.finish([])


def test_the_bag_has_what_publishers_offer(tmp_path: Path) -> None:
    run = Run(tmp_path / "bag")
    run.session.begin(TYPES)
    run.write(1)
    run.session.finish([])
    text = (tmp_path / "bag/metadata.yaml").read_text()
    assert text.count("depth: 3") == 1
    assert text.count("depth: 10") == 1


def test_an_end_that_the_disk_does_not_take_is_reported(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    session = run.session
    session.begin(TYPES)
    session.start_episode()
    assert session._bag is not None
    close = session._bag.close

    def full() -> None:
        close()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(session._bag, "close", full)
    outcome = session.stop_episode(keep=True)
    text = "the end of episode episode_0000 was not written: No space left on device"
    assert outcome == (False, text, "episode_0000")
    assert run.errors == [text]
    assert not session.is_recording


def test_a_request_that_the_disk_refuses_is_answered_and_leaves_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.session.begin(TYPES)
    assert "has 300 bytes, expected at most 128" in run.session.start_episode("e" * 300).message
    assert "has 130 bytes, expected at most 128" in run.session.start_episode("\N{GREEK SMALL LETTER MU}" * 65).message
    assert "the task has 5000 characters" in run.session.start_episode("a", "t" * 5000).message
    with monkeypatch.context() as patch:  # a file system whose names are shorter
        patch.setattr("gaze_vlm_ros.bags.writer.BagWriter._open_file", raise_name_too_long)
        assert not run.session.start_episode("a").done
    assert not (tmp_path / "day" / "a").exists()
    assert run.session.start_episode("a", "t" * 1000).done
    run.session.refuse("/words", 1, b"p")
    assert run.session.stop_episode(keep=True).message == "1 messages were lost"


def raise_name_too_long(writer: object) -> None:
    raise OSError(errno.ENAMETOOLONG, "File name too long")


def latched(text: bytes) -> bytes:
    """A serialized std_msgs/String."""
    return b"\0\1\0\0" + (len(text) + 1).to_bytes(4, "little") + text + b"\0"


class LatchedRun(Run):
    def offered_qos(self, topic: str) -> list[dict[str, Any]]:
        return [{**DEFAULT_QOS, "durability": "transient_local"}]


def texts(bag: Path, number: int = 0) -> list[tuple[str, str]]:
    """Topic and text of each message of one of the bag's files."""
    with (bag / f"{bag.name}_{number}.mcap").open("rb") as stream:
        reader = make_reader(stream)
        return [(channel.topic, message.data[8:-1].decode()) for _, channel, message in reader.iter_messages()]


def test_each_episode_has_what_publishers_keep_for_late_subscribers(tmp_path: Path) -> None:
    """A robot's description is sent once, long before. A label stays where it was."""
    run = LatchedRun(tmp_path / "day", in_episodes=True)
    types = {"/robot_description": TEXT, "/tf_static": TEXT, "/label": LABEL_TYPE}
    run.session.begin(types)
    for topic, text, publisher in (
        ("/robot_description", b"old", b"a"), ("/robot_description", b"robot", b"a"),
        ("/tf_static", b"base", b"b"), ("/tf_static", b"camera", b"c"), ("/label", b"before", b"d"),
    ):  # fmt: skip
        run.session.write(topic, latched(text), 1, 1, 1, publisher)
    kept = [("/robot_description", "robot"), ("/tf_static", "base"), ("/tf_static", "camera")]
    for episode in ("first", "second"):
        assert run.session.start_episode(episode).done
        if episode == "second":
            run.session.write("/tf_static", latched(b"moved"), time.time_ns(), 1, 2, b"c")
        assert run.session.stop_episode(keep=True).done
    assert texts(tmp_path / "day/first") == kept
    assert texts(tmp_path / "day/second") == [*kept, ("/tf_static", "moved")]
    assert run.session.finish([])
    with open_bag(tmp_path / "day/second") as bag:
        assert bag.totals["/tf_static"] == TopicTotals(received=3, written=3, lost=0)


def test_each_file_of_a_split_bag_has_them(tmp_path: Path) -> None:
    run = LatchedRun(tmp_path / "bag", split=Split(max_s=1.0))
    run.session.begin({"/robot_description": TEXT, "/words": TEXT, "/label": LABEL_TYPE})
    second = 10**9
    run.session.write("/robot_description", latched(b"robot"), 0, 0, 1, b"a")
    run.session.write("/label", latched(b"take"), 0, 0, 1, b"b")
    run.session.write("/words", latched(b"one"), 0, 0, 1, b"c")
    run.session.write("/words", latched(b"two"), 2 * second, 0, 2, b"c")
    run.session.write("/robot_description", latched(b"new"), 4 * second, 0, 2, b"a")
    assert run.session.finish([])
    files = [texts(tmp_path / "bag", number) for number in range(3)]
    assert files[0] == [("/robot_description", "robot"), ("/label", "take"), ("/words", "one")]
    assert sorted(files[1]) == [("/robot_description", "robot"), ("/words", "two")]
    assert sorted(files[2]) == [("/robot_description", "new"), ("/words", "two")]
