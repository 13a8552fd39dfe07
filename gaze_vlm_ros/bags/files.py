"""Which .mcap files make up a bag."""

from __future__ import annotations

from pathlib import Path

from gaze_vlm_ros.bags.errors import BagNotFound, NotABag, sqlite_bag


def bag_files(path: Path) -> list[Path]:
    """Return the .mcap files of a bag folder in the order of writing, or the file itself.

    Raises BagNotFound, NotABag.
    """
    if not path.exists():
        raise BagNotFound(f"no such bag: {path}; give a folder that the recorder wrote, or an .mcap file")
    if path.is_file():
        return [path]
    files = sorted(path.glob("*.mcap"), key=_file_number)
    if not files and any(path.glob("*.db3")):
        raise sqlite_bag(path)
    if not files:
        raise NotABag(f"{path} is not a bag: it holds no .mcap file; give a folder that the recorder wrote")
    return files


def _file_number(path: Path) -> tuple[int, str]:
    """Return a key that sorts NAME_2.mcap before NAME_10.mcap: rosbag2 numbers the files of a split bag."""
    number = path.stem.rpartition("_")[2]
    return (int(number) if number.isdigit() else 0, path.name)
