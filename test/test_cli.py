"""The installed `gaze-vlm` command: a mistake gives one line and leaves no file."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from small_bags import write_small_bag

from gaze_vlm_ros.bags.writer import BagWriter

COMMAND = Path(sys.executable).with_name("gaze-vlm")


def gaze_vlm(*arguments: str | Path, cwd: Path | None = None, file_bytes: int | None = None):
    """Run the command. file_bytes: no file may grow beyond it, as on a full disk."""

    def limit() -> None:
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    return subprocess.run(
        [COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, timeout=200, preexec_fn=limit, check=False
    )


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    return write_small_bag(tmp_path / "session", seed=1, takes=2)


@pytest.fixture
def cut_bag(bag: Path) -> Path:
    file = bag / "session_0.mcap"
    os.truncate(file, file.stat().st_size * 2 // 3)
    (bag / "metadata.yaml").unlink()
    return bag


def test_info_in_words_and_as_json(bag: Path) -> None:
    done = gaze_vlm("bag", "info", bag)
    assert (done.returncode, done.stderr) == (0, "")
    assert "person     p1" in done.stdout
    read = json.loads(gaze_vlm("bag", "info", bag, "--json").stdout)
    assert read["path"] == str(bag)
    assert {topic["name"]: topic["messages"] for topic in read["topics"]} == {
        "/camera/image_raw/compressed": 60, "/gaze": 300, "/label": 2,
    }  # fmt: skip


def test_recover_says_what_it_saved(cut_bag: Path) -> None:
    before = everything_in(cut_bag)
    done = gaze_vlm("bag", "recover", cut_bag.name, cwd=cut_bag.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert "bytes could not be used" in done.stdout
    assert "wrote session_recovered; session is unchanged" in done.stdout
    assert everything_in(cut_bag) == before
    read = json.loads(gaze_vlm("bag", "info", cut_bag.with_name("session_recovered"), "--json").stdout)
    saved = {line.split()[0]: int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("/")}
    assert saved == {topic["name"]: topic["messages"] for topic in read["topics"]}
    assert saved["/gaze"] > 100

    done = gaze_vlm("bag", "recover", cut_bag, "--out", cut_bag.parent / "elsewhere")
    assert done.returncode == 0
    assert (cut_bag.parent / "elsewhere" / "elsewhere_0.mcap").is_file()


def make_bad_input(kind: str, folder: Path) -> Path:
    place = folder / "bad"
    if kind == "text file":
        place.write_text("Dear robot, " * 20)
    elif kind == "short text file":
        place.write_text("hello")
    elif kind == "empty file":
        place.touch()
    elif kind == "empty folder":
        place.mkdir()
    elif kind == "folder of other things":
        place.mkdir()
        (place / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: 9}")
    elif kind == "folder named like a file":
        (place / "bad_0.mcap").mkdir(parents=True)
    elif kind == "sqlite":
        place.mkdir()
        (place / "bad_0.db3").write_bytes(b"SQLite format 3\0" + bytes(84))
    return place


@pytest.mark.parametrize("command", ["info", "recover"])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nothing there", "no such bag: "),
        ("text file", "is not an MCAP file"),
        ("short text file", "is not an MCAP file"),
        ("empty folder", "holds no .mcap file"),
        ("folder of other things", "holds no .mcap file"),
        ("folder named like a file", "cannot be read: Is a directory"),
        ("sqlite", "`rosbags-convert --src"),
    ],
)
def test_what_is_no_bag_is_one_line(tmp_path: Path, command: str, kind: str, message: str) -> None:
    assert_one_line_and_nothing_written(make_bad_input(kind, tmp_path), message, "bag", command)


@pytest.mark.parametrize(("command", "message"), [("info", "`gaze-vlm bag recover`"), ("recover", "no whole message")])
def test_an_empty_file_is_one_line(tmp_path: Path, command: str, message: str) -> None:
    assert_one_line_and_nothing_written(make_bad_input("empty file", tmp_path), message, "bag", command)


def assert_one_line_and_nothing_written(place: Path, message: str, *command: str | Path) -> None:
    folder = place.parent
    before, names = everything_in(folder), sorted(folder.rglob("*"))
    result = gaze_vlm(*command, place, cwd=folder)
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("gaze-vlm: error: ")
    assert message in line
    assert str(place) in line
    assert (everything_in(folder), sorted(folder.rglob("*"))) == (before, names)


def test_a_cut_bag_names_the_command_that_recovers_it(cut_bag: Path) -> None:
    assert_one_line_and_nothing_written(cut_bag, "`gaze-vlm bag recover` saves what is in it", "bag", "info")


def test_a_whole_bag_is_not_recovered(bag: Path) -> None:
    assert_one_line_and_nothing_written(bag, "is whole; nothing to recover", "bag", "recover")


def test_nothing_is_overwritten(cut_bag: Path) -> None:
    place = cut_bag.parent / "taken"
    place.mkdir()
    assert_one_line_and_nothing_written(place, "exists already", "bag", "recover", cut_bag, "--out")


def test_a_full_disk_is_one_line_and_leaves_nothing(cut_bag: Path) -> None:
    names = sorted(cut_bag.parent.rglob("*"))
    result = gaze_vlm("bag", "recover", cut_bag, file_bytes=20_000)
    assert result.returncode == 1
    assert "File too large; make room, or give another place" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert sorted(cut_bag.parent.rglob("*")) == names


def test_a_reader_that_goes_away_sees_no_traceback(bag: Path) -> None:
    done = subprocess.run(
        f"{COMMAND} bag info {bag} --json | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("{", "")


def test_wrong_usage_names_the_commands() -> None:
    result = gaze_vlm("bag")
    assert result.returncode == 2
    assert "usage: gaze-vlm bag" in result.stderr
    assert "demo" in gaze_vlm("--help").stdout


def test_help_imports_no_library() -> None:
    """Start-up stays fast because each command imports its own modules when it runs."""
    program = "import sys; from gaze_vlm_ros import cli; cli._parser().format_help(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"numpy", "yaml", "cv2", "av", "mcap", "rclpy", "torch", "transformers", "aiohttp", "httpx2"}


def test_a_terminal_that_is_not_utf_8_shows_escapes_and_json_stays_json(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag", {"person": "Zo\u00eb", "task": "\u8336"})
    writer.add_topic("/gaze", "gaze_vlm_msgs/msg/GazeStamped")
    writer.close()
    for encoding in ("ascii", "latin-1", "utf-8"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        for command in ("info", "check"):
            for options in ([], ["--json"]):
                words = [COMMAND, "bag", command, tmp_path / "bag", *options]
                done = subprocess.run(words, capture_output=True, env=environment, timeout=200, check=False)
                assert (done.returncode, done.stderr) == (int(command == "check"), b"")
                if options:
                    json.loads(done.stdout)
                if (command, options) == ("info", ["--json"]):
                    assert json.loads(done.stdout)["metadata"]["task"] == "\u8336"
