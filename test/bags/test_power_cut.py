"""What a loss of power leaves of a bag: by a file system that forgets what was not synced."""

from pathlib import Path

import yaml
from power_cuts import PowerCuts

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.recover import recover
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.recorder.episodes import set_aside

TEXT = "std_msgs/msg/String"
DATA = b"\0\1\0\0\1\0\0\0\0"  # an empty text


def test_a_closed_bag_survives_and_an_open_one_has_what_was_synced(tmp_path: Path) -> None:
    disk, left = tmp_path / "disk", tmp_path / "left"
    disk.mkdir()
    with PowerCuts(disk) as cuts:
        writer = BagWriter(disk / "bag", {"session": "s"})
        writer.add_topic("/words", TEXT)
        for number in range(10):
            writer.write("/words", DATA, number)
        writer.flush()
        writer.sync()
        synced = len(cuts.possible())
        for number in range(10, 20):
            writer.write("/words", DATA, number)
        writer.close()
    name = "bag/bag_0.mcap"
    for found in cuts.possible()[synced:]:  # from here on the first ten messages are never lost
        (left / "bag").mkdir(parents=True, exist_ok=True)
        (left / name).write_bytes(found[name])
        (left / "bag" / "metadata.yaml").unlink(missing_ok=True)
        with open_bag(recover(left / "bag", left / "saved").folder) as bag:
            assert len(bag.read("/words")) in (10, 20)
        for path in sorted((left / "saved").iterdir()):
            path.unlink()
        (left / "saved").rmdir()
        # rosbag2 reads nothing where metadata.yaml is cut off: it is whole, or not there.
        if "bag/metadata.yaml" in found:
            assert yaml.safe_load(found["bag/metadata.yaml"])["rosbag2_bagfile_information"]["message_count"] == 20
    for found in cuts.at_the_end():
        assert found[name] == (disk / name).read_bytes()
        assert found["bag/metadata.yaml"] == (disk / "bag" / "metadata.yaml").read_bytes()


def test_a_discarded_episode_stays_discarded(tmp_path: Path) -> None:
    (tmp_path / "day" / "episode").mkdir(parents=True)
    (tmp_path / "day" / "episode" / "a").touch()
    with PowerCuts(tmp_path / "day") as cuts:
        set_aside(tmp_path / "day" / "episode")
    assert [list(found) for found in cuts.at_the_end()][1] == ["episode_discarded/a"]
    assert "episode_discarded" in cuts._names[tmp_path / "day"]
