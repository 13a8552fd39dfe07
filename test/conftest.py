import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from neon_fixtures import neon_window, synthetic  # noqa: F401  # fixtures
from small_bags import write_small_bag

# A model and a recipe that learn the small world in seconds.
SMALL = [
    "model_options={image_size: 32, patch_size: 8, merge: 2, hidden: 32, text_layers: 3, vision_layers: 1}",
    "frames=2", "observation_s=1.0", "leads_s=[0.4, 1.0]", "gaze_flow=false", "steps=120", "batch_size=8",
    "learning_rate=3e-3", "check_every=40", "gaze_window_s=0.1", "validation=[s2]",
]  # fmt: skip


@pytest.fixture
def one_thread() -> Iterator[None]:
    """More only wait for each other on so small a model."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def small_bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of four sessions: s0 to s2 for a fit, s3 of another kind of scene."""
    folder = tmp_path_factory.mktemp("bags")
    for seed in range(4):
        write_small_bag(folder / f"s{seed}", seed, takes=12, scene="bench" if seed < 3 else "elsewhere")
    return folder


@pytest.fixture(scope="session")
def small_settings() -> list[str]:
    """Arguments of fit.py."""
    return [argument for value in SMALL for argument in ("--set", value)]


@pytest.fixture(scope="session")
def small_checkpoint(small_bags: Path, small_settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What fit.py made of s0 and s1, chosen by s2."""
    from training.fit import main

    folder = tmp_path_factory.mktemp("runs")
    bags = [str(small_bags / f"s{seed}") for seed in range(3)]
    assert main([*small_settings, "--out", str(folder / "real"), "--cache", str(folder / "cache"), *bags]) == 0
    return folder / "real"


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
