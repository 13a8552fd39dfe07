"""Which .mcap files make up a bag."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from gaze_vlm_ros.bags.errors import BagDamaged, BagNotFound, NotABag, compressed_file, sqlite_bag

_COMPRESSED = (".mcap.zstd", ".mcap.zst")  # rosbag2's, and zstd's own
_LARGEST_METADATA = 16 << 20  # bytes; a bag of a thousand files takes one million


def bag_files(path: Path) -> list[Path]:
    """Return the .mcap files of a bag folder in the order of writing, or the file itself.

    Raises BagNotFound, NotABag.
    """
    if not path.exists():
        raise BagNotFound(f"no such bag: {path}; give a folder that the recorder wrote, or an .mcap file")
    if path.is_file():
        if path.name.endswith(_COMPRESSED):
            raise compressed_file(path)
        return [path]
    own = [file for file in path.glob("*.mcap*") if not is_companion(file)]
    files = sorted((file for file in own if file.suffix == ".mcap"), key=_file_number)
    compressed = (file for file in sorted(own) if file.name.endswith(_COMPRESSED) and file.with_suffix("") not in files)
    if (first := next(compressed, None)) is not None:
        raise compressed_file(first)
    if not files and any(path.glob("*.db3*")):
        raise sqlite_bag(path)
    if not files:
        raise NotABag(f"{path} is not a bag: it holds no .mcap file; give a folder that the recorder wrote")
    return files


def is_companion(path: Path) -> bool:
    """Whether a Mac wrote this file beside another on a foreign disk, named ._ and holding only attributes."""
    return path.name.startswith("._")


def files_of_metadata(folder: Path) -> list[str] | None:
    """Return the names of the .mcap files in metadata.yaml, as decompressed; None where it cannot be read."""
    try:
        path = folder / "metadata.yaml"
        if path.stat().st_size > _LARGEST_METADATA:
            return None
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        named = content["rosbag2_bagfile_information"]["relative_file_paths"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(named, list) or not all(isinstance(name, str) and name.isprintable() for name in named):
        return None
    return [name.removesuffix(".zstd").removesuffix(".zst") for name in named]


def require_files_of_metadata(folder: Path) -> None:
    """Raise BagDamaged if the folder's metadata.yaml names a file that is not there. It need not be readable itself."""
    if missing := [name for name in files_of_metadata(folder) or [] if not os.path.exists(folder / name)]:
        raise BagDamaged(
            f"{folder}: metadata.yaml names {', '.join(missing)}, and there is no such file: a part of the recording "
            "is missing; copy the whole folder again, or delete the name in metadata.yaml to use the rest"
        )


def _file_number(path: Path) -> tuple[int, str]:
    """Return a key that sorts NAME_2.mcap before NAME_10.mcap: rosbag2 numbers the files of a split bag."""
    number = path.stem.rpartition("_")[2]
    return (int(number) if number.isdigit() else 0, path.name)
