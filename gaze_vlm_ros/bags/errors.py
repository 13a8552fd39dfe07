"""Errors about bags that cannot be read, each one line that says what to do."""

from __future__ import annotations

from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError

RECOVER_HINT = "`gaze-vlm bag recover`"


class BagNotFound(GazeVlmError):
    """There is no such file or folder."""


class NotABag(GazeVlmError):
    """The file or folder exists, but is no bag that can be read."""


class BagDamaged(GazeVlmError):
    """The bag was cut off while it was written, or its bytes changed."""


class UnreadableMessage(BagDamaged):
    """The bytes of one message do not fit its type. It says nothing about other topics."""


class NoSuchTopic(GazeVlmError):
    """The bag has no topic of that name."""


def not_mcap(path: Path) -> NotABag:
    """Return the error for a file without MCAP's magic bytes."""
    return NotABag(f"{path} is not an MCAP file: it does not begin with MCAP's magic bytes")


def sqlite_bag(path: Path) -> NotABag:
    """Return the error for a bag in rosbag2's SQLite format, with the command that converts it."""
    return NotABag(
        f"{path} is a SQLite bag, and only MCAP is read; convert it, without ROS: "
        f"`rosbags-convert --src {path} --dst NEW_FOLDER --dst-storage mcap`"
    )


def compressed_file(path: Path) -> NotABag:
    """Return the error for an MCAP file that rosbag2 compressed as a whole (`compression_mode: FILE`)."""
    return NotABag(f"{path} is compressed as a whole; decompress each such file: `zstd -d {path}`")


def cut_off(path: Path) -> BagDamaged:
    """Return the error for a file without an end, as a killed recorder leaves it."""
    return BagDamaged(f"{path} was cut off while it was written: it has no end; {RECOVER_HINT} saves what is in it")


def damaged_index(path: Path, how: str) -> BagDamaged:
    """Return the error for a file whose index does not fit its content. how: what does not fit, for people."""
    return BagDamaged(f"{path}: its index is damaged ({how}); {RECOVER_HINT} writes a new one")
