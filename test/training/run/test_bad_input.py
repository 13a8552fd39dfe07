"""What fit.py makes of recordings that are bad in part: one line, or a note and a count in data.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_bags
from small_bags import write_small_bag

from gaze_vlm_ros.bags.errors import BagDamaged
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.session.session import NoFrames
from gaze_vlm_ros.vlm.loading import UnknownModel
from gaze_vlm_ros.vlm.tiny import build_tiny
from training import fit
from training.model.device import NoDevice
from training.model.out_of_memory import OutOfMemory
from training.run import batches, fitting, loop, run_folder
from training.run.data_notes import NoUsableGaze
from training.settings import BadSettings

Point = tuple[float, float]
TAKES = 5


@pytest.fixture
def gaze_bag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a small bag whose gaze samples are moved: change(number, x, y)."""

    def write(name: str, seed: int, change: Callable[[int, float, float], Point]) -> Path:
        with monkeypatch.context() as patch:
            real, number = small_bags.message_class, iter(range(10**6))

            def changed(type_name: str) -> Any:
                made = real(type_name)
                if type_name != "gaze_vlm_msgs/msg/GazeStamped":
                    return made
                return lambda header, x, y, *rest: made(header, *change(next(number), x, y), *rest)

            patch.setattr(small_bags, "message_class", changed)
            return write_small_bag(tmp_path / name, seed, takes=TAKES)

    return write


@pytest.fixture
def plain_bag(tmp_path: Path) -> Callable[..., Path]:
    return lambda name, seed: write_small_bag(tmp_path / name, seed, takes=TAKES)


@pytest.fixture
def run(small_settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs fit.py over bags; what it wrote into data.json. The checkpoint is others' business, and left out."""
    monkeypatch.setattr(fitting, "_export", lambda *_: None)

    def run(bags: list[Path], *arguments: str, name: str = "out") -> dict[str, Any]:
        common = [*small_settings, "--set", "steps=1", "--set", "device=cpu", "--out", str(tmp_path / name)]
        assert fit.main([*common, *arguments, *map(str, bags)]) == 0
        return json.loads((tmp_path / name / run_folder.DATA).read_text())

    return run


def off(number: int, x: float, y: float) -> Point:
    return (-50.0, y) if number % 2 else (x, 1e6)


def nothing(number: int, x: float, y: float) -> Point:
    return ((np.nan, np.nan), (np.inf, y), (x, -np.inf))[number % 3]


@pytest.mark.parametrize("change", [off, nothing])
def test_gaze_that_is_nowhere_on_the_image_trains_nothing(
    change: Callable[..., Point], gaze_bag: Callable[..., Path], run: Callable[..., Any], tmp_path: Path
) -> None:
    bags = [gaze_bag(f"s{seed}", seed, change) for seed in (0, 2)]
    with pytest.raises(NoUsableGaze, match=r"no training window has usable gaze \(of 750 samples 750 off the image"):
        run(bags)
    assert not (tmp_path / "out").exists()


def test_gaze_off_the_image_in_one_bag_is_a_note_that_names_it(
    gaze_bag: Callable[..., Path], plain_bag: Callable[..., Path], run: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    data = run([gaze_bag("away", 0, off), plain_bag("s1", 1), plain_bag("s2", 2)])
    (note,) = [note for note in data["notes"] if "no window of" in note]
    assert note.startswith("no window of away has usable gaze (of 750 samples 750 off the image or none)")
    assert f"note: {note}" in capsys.readouterr().out
    away, s1, _ = data["sessions"]
    assert (away["gaze_share"], away["gaze_samples"]["off_image"], away["gaze_samples"]["no_estimate"]) == (0, 750, 0)
    assert (s1["gaze_share"], s1["gaze_samples"]["off_image"]) == (1, 0)


def test_gaze_without_a_number_is_counted_and_the_rest_is_used(
    gaze_bag: Callable[..., Path], plain_bag: Callable[..., Path], run: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    some = gaze_bag("some", 0, lambda number, x, y: nothing(number, x, y) if number % 4 else (x, y))
    data = run([some, plain_bag("s2", 2)])
    note = "562 gaze samples are left out: their x or y is NaN or infinite"  # three of four of 750
    assert note in data["notes"]
    assert f"note: {note}" in capsys.readouterr().out
    assert data["sessions"][0]["gaze_samples"]["no_estimate"] == 562
    assert data["sessions"][0]["gaze_share"] == 1
    log = [json.loads(line) for line in (some.parent / "out" / run_folder.METRICS).read_text().splitlines()]
    assert log[0]["kl"] > 0
    assert np.isfinite(log[0]["kl"])


def torn(monkeypatch: pytest.MonkeyPatch, is_torn: Iterator[bool]) -> None:
    """Pictures of small bags end in the middle, where `is_torn` says so."""
    encode = small_bags.encode_jpeg
    monkeypatch.setattr(
        small_bags, "encode_jpeg", lambda picture: encode(picture)[: 200 if next(is_torn) else None]
    )  # a header, and no end


def test_damaged_frames_are_a_note_and_a_session_of_them_is_named(
    plain_bag: Callable[..., Path], run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = [plain_bag("s0", 0), plain_bag("s2", 2)]
    with monkeypatch.context() as patch:
        torn(patch, iter([False, True, False, False, False]))
        partly = plain_bag("partly", 1)
    with monkeypatch.context() as patch:
        torn(patch, iter([True] * TAKES))
        wholly = plain_bag("wholly", 3)
    data = run([*good, partly, wholly])
    lost = data["dropped"]["with a damaged frame"]
    windows = {session["name"]: session["windows"] for session in data["sessions"]}
    assert windows["s0"] > windows["partly"] > windows["wholly"] == 0
    assert lost == 2 * windows["s0"] - windows["partly"]
    assert any(note.startswith(f"left out: {lost} with a damaged frame") for note in data["notes"])
    assert "wholly, of the sessions to train on, gives no window; see what is left out" in data["notes"]


def test_nothing_left_to_choose_by_is_a_note(
    plain_bag: Callable[..., Path], run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = plain_bag("s0", 0)
    torn(monkeypatch, iter([True] * TAKES))
    data = run([good, plain_bag("s2", 2)])  # s2 is the session to choose by
    assert (
        "no window is left to choose by: the last weights are kept, and probabilities stay uncalibrated"
        in (data["notes"])
    )
    assert "s2, of the sessions to choose by, gives no window; see what is left out" in data["notes"]


def test_labels_without_a_window_are_named(
    plain_bag: Callable[..., Path], run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bags = [plain_bag("s0", 0), plain_bag("s2", 2)]
    # An action so soon after the first frame that nothing is seen before it: no window asks for it.
    monkeypatch.setattr(small_bags, "COLOURS", {"take the green disc": (30, 220, 30)})
    monkeypatch.setattr(small_bags, "TAKE_S", 0.5)
    data = run([*bags, write_small_bag(tmp_path / "short", 4, takes=1)])
    assert "take the green disc" in data["labels"]
    assert "1 of 3 labels have no window to train on: take the green disc" in data["notes"]
    assert "short, of the sessions to train on, gives no window; see what is left out" in data["notes"]


def test_a_person_on_both_sides_is_a_note_that_split_by_person_ends(
    plain_bag: Callable[..., Path], run: Callable[..., Any], tmp_path: Path
) -> None:
    bags = [plain_bag(f"s{seed}", seed) for seed in range(4)]  # persons p0 and p1 in turn
    data = run(bags)
    assert any(note.startswith("p0, as a person, is in training and in held-out") for note in data["notes"])
    assert any("--set split_by=person" in note for note in data["notes"])
    for seed in range(3):
        arguments = ["--set", "split_by=person", "--set", "validation=0.5", "--set", f"seed={seed}"]
        data = run(bags, *arguments, name=f"by_person_{seed}")
        assert not any("as a person" in note for note in data["notes"])


def test_balanced_classes_are_drawn_equally_often_by_a_fit(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bags = [write_small_bag(tmp_path / "many", 9, takes=12), write_small_bag(tmp_path / "s2", 2, takes=TAKES)]
    drawn: list[np.ndarray] = []
    real = batches.NumberedBatches.__getitem__

    def watched(self: Any, index: tuple[int, int]) -> Any:
        number, question = index
        drawn.append(self.questions[question].answer_index[self.batch_rows(number)])
        return real(self, index)

    monkeypatch.setattr(batches.NumberedBatches, "__getitem__", watched)
    shares = {}
    for balance in ("none", "classes"):
        drawn.clear()
        # As many draws as there are windows: each comes once, or each answer as often as the other.
        run(bags, "--set", f"balance={balance}", "--set", "batch_size=4", "--set", "steps=6",
            name=balance)  # fmt: skip
        counts = np.bincount(np.concatenate(drawn), minlength=2)
        assert counts.sum() == 24
        shares[balance] = counts
    assert max(shares["none"]) >= 3 * min(shares["none"])
    assert shares["classes"].tolist() == [12, 12]


def test_tensorboard_reads_back_what_metrics_jsonl_holds(
    plain_bag: Callable[..., Path], run: Callable[..., Any], tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run([plain_bag("s0", 0), plain_bag("s2", 2)], "--tensorboard", "--set", "steps=5", "--set", "check_every=2")
    board = EventAccumulator(str(tmp_path / "out" / "tensorboard"))
    board.Reload()
    rows = [json.loads(line) for line in (tmp_path / "out" / run_folder.METRICS).read_text().splitlines()]
    names = set().union(*rows) - {"step"}
    assert set(board.Tags()["scalars"]) == names
    assert {"lm", "kl", "validation_lm"} < names
    for name in names:
        curve = {event.step: event.value for event in board.Scalars(name)}
        assert curve == pytest.approx({row["step"]: row[name] for row in rows if name in row}, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("where", ["losses", "prepare"])
def test_memory_that_runs_out_is_one_line(
    where: str, plain_bag: Callable[..., Path], run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    much = 2**62  # bytes; more than any address space
    if where == "prepare":
        monkeypatch.setattr(fitting, "prepare", lambda *_, **__: np.empty(much, np.uint8))
    else:
        monkeypatch.setattr(loop, "losses", lambda *_, **__: torch.empty(much, dtype=torch.uint8))
    with pytest.raises(OutOfMemory, match=r"out of memory on cpu .* try --set batch_size=4 with") as caught:
        run([plain_bag("s0", 0), plain_bag("s2", 2)])
    assert "\n" not in str(caught.value)


def bag_of_nothing(folder: Path, *topics: tuple[str, str]) -> Path:
    writer = BagWriter(folder, {"session": folder.name})
    for name, type_name in topics:
        writer.add_topic(name, type_name)
    writer.close()
    return folder


def empty_file(folder: Path) -> Path:
    folder.mkdir()
    (folder / "bag.mcap").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("make", "error", "line"),
    [
        (bag_of_nothing, NoFrames, "has no camera images; it has no topic at all; leave the bag out"),
        (
            lambda folder: bag_of_nothing(folder, ("/camera", "sensor_msgs/msg/Image")),
            NoFrames,
            r"has no camera images; it has /camera \(sensor_msgs/msg/Image, 0 messages\); leave the bag out",
        ),
        (
            empty_file,
            BagDamaged,
            r"bag\.mcap was cut off while it was written: it has no end; `gaze-vlm bag recover` saves",
        ),
    ],
)
def test_a_bag_with_nothing_in_it_is_one_line(
    make: Callable[[Path], Path], error: type[GazeVlmError], line: str, run: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(error, match=line) as caught:
        run([make(tmp_path / "bag")])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "line"),
    [
        (["--set", "device=cuda:99"], NoDevice, "device is cuda:99, and t"),
        (["--set", "device=gpu0"], NoDevice, "device is 'gpu0', expected auto, cpu, cuda or cuda:N"),
        (["--config", "folder"], BadSettings, "no settings from folder: Is a directory"),
        (["--set", "model=./folder", "--set", "model_options={}"], UnknownModel, "./folder holds no vision-language"),
        (["--out", "file"], run_folder.WillNotOverwrite, "file is a file, expected a folder or a new name"),
        (["--out", "file/new"], run_folder.CannotWrite, r"cannot write to file \(Not a directory\); give an --out"),
        (["--out", "/proc/new"], run_folder.CannotWrite, "cannot write to /proc .*; give an --out that can be"),
    ],
)
def test_what_is_asked_for_and_is_not_there_is_one_line(
    arguments: list[str], error: type[GazeVlmError], line: str, plain_bag: Callable[..., Path],
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(error, match=line) as caught:
        run([plain_bag("s0", 0), plain_bag("s2", 2)], *arguments)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "out").exists()


def test_a_model_folder_without_weights_is_one_line(
    plain_bag: Callable[..., Path], run: Callable[..., Any], tmp_path: Path
) -> None:
    for part in build_tiny("tiny:smolvlm", ["What?"], image_size=32, hidden=32):
        part.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(UnknownModel, match=r"holds no vision-language model that loads: .* model\.safetensors"):
        run([plain_bag("s0", 0), plain_bag("s2", 2)],
            "--set", f"model={tmp_path / 'model'}", "--set", "model_options={}")  # fmt: skip
