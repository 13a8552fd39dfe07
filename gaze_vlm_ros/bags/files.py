"""Which .mcap files make up a bag."""

from __future__ import annotations

from pathlib import Path

import yaml

from gaze_vlm_ros.bags.errors import BagDamaged, BagNotFound, NotABag, sqlite_bag


def bag_files(path: Path) -> list[Path]:
    """Return the .mcap files of a bag folder in the order of writing, or the file itself.

    Raises BagNotFound, NotABag.
    """
    if not path.exists():
        raise BagNotFound(f"no such bag: {path}; give a folder that the recorder wrote, or an .mcap file")
    if path.is_file():
        return [path]
    files = sorted((file for file in path.glob("*.mcap") if not is_companion(file)), key=_file_number)
    if not files and any(path.glob("*.db3")):
        raise sqlite_bag(path)
    if not files:
        raise NotABag(f"{path} is not a bag: it holds no .mcap file; give a folder that the recorder wrote")
    return files


def is_companion(path: Path) -> bool:
    """Whether a Mac wrote this file beside another on a foreign disk, named ._ and holding only attributes."""
    return path.name.startswith("._")


def require_files_of_metadata(folder: Path) -> None:
    """Raise BagDamaged if the folder's metadata.yaml names a file that is not there. It need not be readable itself."""
    try:
        content = yaml.safe_load((folder / "metadata.yaml").read_text(encoding="utf-8"))
        named = [str(name) for name in content["rosbag2_bagfile_information"]["relative_file_paths"]]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return
    if missing := [name for name in named if not (folder / name).exists()]:
        raise BagDamaged(
            f"{folder}: metadata.yaml names {', '.join(missing)}, and there is no such file: a part of the recording "
            "is missing; copy the whole folder again, or delete the name in metadata.yaml to use the rest"
        )


def _file_number(path: Path) -> tuple[int, str]:
    """Return a key that sorts NAME_2.mcap before NAME_10.mcap: rosbag2 numbers the files of a split bag."""
    number = path.stem.rpartition("_")[2]
    return (int(number) if number.isdigit() else 0, path.name)
