import shutil
from pathlib import Path

import pytest
from small_bags import write_small_bag


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Bags of 24 s of video at 10 Hz, without labels and with 8 of them."""
    folder = tmp_path_factory.mktemp("recorded")
    return {labels: write_small_bag(folder / f"s{labels:d}", seed=1, labels=labels) for labels in (False, True)}


@pytest.fixture
def bare(recorded: dict[bool, Path], tmp_path: Path) -> Path:
    """A bag without labels that a test may put some beside."""
    return shutil.copytree(recorded[False], tmp_path / "bare")


@pytest.fixture
def labelled(recorded: dict[bool, Path], tmp_path: Path) -> Path:
    """A bag with labels of its own."""
    return shutil.copytree(recorded[True], tmp_path / "labelled")
