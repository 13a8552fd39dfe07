"""What training would make of a session: the one place from which this package reaches into training/, and late."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.session.session import Session
from gaze_vlm_ros.storage.package_files import SharedFileMissing, shared_file

if TYPE_CHECKING:
    from training.data.windows import CutCounts, Window
    from training.settings import Settings


class TrainingMissing(GazeVlmError):
    """training/ is not on this machine."""


def fit_settings(config: Path | None) -> Settings:
    """Settings of a fit from its YAML file, the defaults without one. Raises TrainingMissing, BadSettings."""
    settings: Settings = _training("settings").load_settings(config)
    return settings


def windows_of(session: Session, settings: Settings) -> tuple[list[Window], CutCounts]:
    """The windows that a fit would cut, in time order, before any frame is decoded. Raises TrainingMissing."""
    cut: tuple[list[Window], CutCounts] = _training("data.windows").cut_windows(0, session, settings)
    return cut


def _training(module: str) -> Any:
    """A module of training/, which is no installed package: in a checkout or under share/."""
    try:
        folder = shared_file("training")
    except SharedFileMissing as error:
        raise TrainingMissing(f"windows cannot be counted without training/: {error}") from None
    if str(folder.parent) not in sys.path:
        sys.path.append(str(folder.parent))
    found = importlib.import_module(f"training.{module}")
    if not Path(str(found.__file__)).resolve().is_relative_to(folder.resolve()):
        raise TrainingMissing(f"windows cannot be counted: {found.__file__} hides {folder}; take it off PYTHONPATH")
    return found
