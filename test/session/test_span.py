"""One stamp that cannot be: no command computes with it, whatever stream it is on."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from small_bags import START_NS, write_small_bag

from gaze_vlm_ros import cli
from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.stamps import split_ns
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.labels.label_file import label_file_path
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.session.span import LONGEST_SESSION_S, NotOneSession, require_one_session

CAMERA, GAZE, LABEL = "/camera/image_raw/compressed", "/gaze", "/label"
DAY_NS = 86_400 * 10**9


def with_one_stamp(folder: Path, topic: str, stamp_ns: int) -> Path:
    """A small bag in which the first message of `topic` has another stamp."""
    writer = BagWriter(folder, {"session": folder.name})
    with open_bag(write_small_bag(folder.parent / "right", seed=0, takes=3)) as bag:
        for name, stream in bag.topics.items():
            writer.add_topic(name, stream.type_name)
            for index, arrival_ns in enumerate(stream.arrivals_ns.tolist()):
                data = bytearray(stream.raw(index))
                if name == topic and not index:
                    struct.pack_into("<iI", data, 4, *split_ns(stamp_ns))
                writer.write(name, bytes(data), arrival_ns)
    writer.close()
    return folder


@pytest.mark.parametrize("stamp_ns", [0, 1, -5 * 10**9, START_NS - 30 * DAY_NS, START_NS + 30 * DAY_NS])
@pytest.mark.parametrize(("topic", "name"), [(CAMERA, "frames"), (GAZE, "gaze samples"), (LABEL, "labels")])
def test_a_stamp_days_away_is_named(tmp_path: Path, topic: str, name: str, stamp_ns: int) -> None:
    folder = with_one_stamp(tmp_path / "bag", topic, stamp_ns)
    with pytest.raises(NotOneSession, match=rf"bag: the stamps of 1 of \d+ {name} are wrong, such as .* record again"):
        load_session(folder)


@pytest.mark.parametrize(
    "command",
    [
        ("export", "lerobot", "BAG", "--out", "OUT"),
        ("label", "import", "BAG", "LABELS"),
        ("label", "describe", "BAG", "--dry-run", "--server", "http://localhost:1", "--model-name", "m"),
        ("label", "export", "BAG", "OUT.csv"),
        ("view", "BAG", "--save", "OUT"),
        ("view", "BAG", "--save", "OUT.rrd"),
    ],
)
def test_every_command_that_takes_a_session_refuses_it_in_one_line_and_writes_nothing(
    tmp_path: Path, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    bag = with_one_stamp(tmp_path / "bag", CAMERA, 0)
    labels = tmp_path / "labels.csv"
    labels.write_text("start_s,end_s,label\n1.5,2.5,take the mug\n")
    before = sorted(tmp_path.rglob("*"))
    places = {"BAG": str(bag), "LABELS": str(labels), "OUT": str(tmp_path / "out")}
    arguments = [places.get(word, word).replace("OUT.", f"{tmp_path}/out.") for word in command]
    assert cli.main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"gaze-vlm: error: {bag}: the stamps of 1 of 90 frames are wrong, such as 1970-01-01 00:00:")
    assert sorted(tmp_path.rglob("*")) == before
    assert not label_file_path(bag).exists()


def test_info_and_check_read_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = with_one_stamp(tmp_path / "bag", CAMERA, 0)
    assert cli.main(["bag", "info", str(bag)]) == 0
    assert cli.main(["bag", "check", str(bag)]) == 1
    assert "error    camera order" in capsys.readouterr().out


def test_a_week_is_allowed() -> None:
    frames_ns = START_NS + np.arange(5) * 10**8
    edge_ns = int(frames_ns[2]) + round(LONGEST_SESSION_S * 1e9)
    require_one_session("bag", frames_ns, {"gaze samples": np.array([edge_ns])})
    with pytest.raises(NotOneSession, match="1 of 1 gaze samples"):
        require_one_session("bag", frames_ns, {"gaze samples": np.array([edge_ns + 1000])})
