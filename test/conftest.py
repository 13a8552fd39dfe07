import os
import shutil
from pathlib import Path

# One compute thread for each process, children included, and before torch is imported: tests run side by side, and the
# threads of a model this small only wait for each other, 100 times longer than they compute where a machine is busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from neon_fixtures import neon_window, synthetic  # noqa: F401  # fixtures
from parallel import order_files
from shared_builds import build_once
from small_bags import write_small_bag

# A model and a recipe that learn the small world in seconds.
SMALL = [
    "model_options={image_size: 32, patch_size: 8, merge: 2, hidden: 32, text_layers: 3, vision_layers: 1}",
    "frames=2", "observation_s=1.0", "leads_s=[0.4, 1.0]", "gaze_flow=false", "steps=120", "batch_size=8",
    "learning_rate=3e-3", "check_every=40", "gaze_window_s=0.1", "validation=[s2]",
]  # fmt: skip


@pytest.hookimpl(optionalhook=True)  # known only where pytest-xdist is installed
def pytest_xdist_auto_num_workers() -> int:
    """Return the processes of `-n auto`: one more than cores, since many tests wait for nodes and sockets."""
    return min(len(os.sched_getaffinity(0)) + 1, 8)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        order_files(items, Path(__file__).parent)


@pytest.fixture(scope="session")
def small_bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of four sessions: s0 to s2 for a fit, s3 of another kind of scene."""

    def build(folder: Path) -> None:
        for seed in range(4):
            write_small_bag(folder / f"s{seed}", seed, takes=12, scene="bench" if seed < 3 else "elsewhere")

    return build_once(tmp_path_factory, "small_bags", build)


@pytest.fixture(scope="session")
def small_settings() -> list[str]:
    """Arguments of fit.py."""
    return [argument for value in SMALL for argument in ("--set", value)]


@pytest.fixture(scope="session")
def small_checkpoint(small_bags: Path, small_settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint that fit.py trained on s0 and s1 and chose by s2."""

    def build(folder: Path) -> None:
        from training.fit import main

        bags = [str(small_bags / f"s{seed}") for seed in range(3)]
        assert main([*small_settings, "--out", str(folder / "real"), "--cache", str(folder / "cache"), *bags]) == 0

    return build_once(tmp_path_factory, "small_runs", build) / "real"


@pytest.fixture(scope="session")
def small_stream_checkpoint(
    small_bags: Path, small_settings: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Checkpoint of the stream: what begins and when, or nothing; trained on s0 and s1, calibrated on s2."""

    def build(folder: Path) -> None:
        from training.fit import main

        stream = ["moments_every_s=0.3", "leads_s=[]", "when_words=[soon, later]", "nothing_words=nothing yet"]
        settings = [*small_settings, *(argument for value in stream for argument in ("--set", value))]
        bags = [str(small_bags / f"s{seed}") for seed in range(3)]
        assert main([*settings, "--out", str(folder / "real"), "--cache", str(folder / "cache"), *bags]) == 0

    return build_once(tmp_path_factory, "small_stream_runs", build) / "real"


@pytest.fixture(scope="session")
def held_bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of four sessions as small_bags, whose actions show and end after 1.5 s: nothing goes on between them."""

    def build(folder: Path) -> None:
        for seed in range(4):
            scene = "bench" if seed < 3 else "elsewhere"
            write_small_bag(folder / f"s{seed}", seed, takes=12, scene=scene, hold_s=1.5)

    return build_once(tmp_path_factory, "held_bags", build)


@pytest.fixture(scope="session")
def small_both_checkpoint(held_bags: Path, small_settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint that says what begins next and what goes on now; trained on s0 and s1, calibrated on s2."""

    def build(folder: Path) -> None:
        from training.fit import main

        own = ["moments_every_s=0.3", "leads_s=[]", "when_words=[soon, later]", "tasks=[next, now]"]
        settings = [*small_settings, *(argument for value in own for argument in ("--set", value))]
        bags = [str(held_bags / f"s{seed}") for seed in range(3)]
        assert main([*settings, "--out", str(folder / "real"), "--cache", str(folder / "cache"), *bags]) == 0

    return build_once(tmp_path_factory, "small_both_runs", build) / "real"


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Bags of 24 s of video at 10 Hz, without labels and with 8 of them."""

    def build(folder: Path) -> None:
        for labels in (False, True):
            write_small_bag(folder / f"s{labels:d}", seed=1, labels=labels)

    folder = build_once(tmp_path_factory, "recorded", build)
    return {labels: folder / f"s{labels:d}" for labels in (False, True)}


@pytest.fixture
def bare(recorded: dict[bool, Path], tmp_path: Path) -> Path:
    """A bag without labels that a test may put some beside."""
    return shutil.copytree(recorded[False], tmp_path / "bare")


@pytest.fixture
def labelled(recorded: dict[bool, Path], tmp_path: Path) -> Path:
    """A bag with labels of its own."""
    return shutil.copytree(recorded[True], tmp_path / "labelled")
