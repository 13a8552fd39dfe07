"""A LeRobot data set comes back as the bags that it was made from."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_bags import write_small_bag

from gaze_vlm_ros.exporters.lerobot import export_lerobot
from gaze_vlm_ros.importers.importing import import_recording
from gaze_vlm_ros.importers.lerobot import BadDataSet
from gaze_vlm_ros.session.session import Session, load_session
from gaze_vlm_ros.storage.tables import FileMissing


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    export_lerobot([write_small_bag(folder / f"s{seed}", seed, takes=3) for seed in range(2)], folder / "set")
    return folder


def back(made: Path, out: Path, **options: object) -> Session:
    import_recording("lerobot", made, out, progress=False, **options)  # type: ignore[arg-type]
    return load_session(out)


def test_gaze_and_labels_come_back_bit_for_bit(made: Path, tmp_path: Path) -> None:
    for episode in (0, 1):
        was, now = load_session(made / f"s{episode}"), back(made / "set", tmp_path / f"b{episode}", episode=episode)
        assert was.gaze is not None
        assert now.gaze is not None
        for name in ("stamps_ns", "xy", "confidence", "worn", "eye_state"):
            assert getattr(now.gaze, name).tobytes() == getattr(was.gaze, name).tobytes()
        assert now.gaze.image_size == was.gaze.image_size
        assert was.labels is not None
        assert now.labels is not None
        assert now.labels.starts_ns.tobytes() == was.labels.starts_ns.tobytes()
        assert (now.labels.texts, now.labels.verbs, now.labels.object_classes) == (
            was.labels.texts, was.labels.verbs, was.labels.object_classes,
        )  # fmt: skip
        assert now.frames.stamps_ns.tolist() == was.frames.stamps_ns.tolist()
        for index in (0, 17, 44):
            assert np.abs(now.frames.rgb(index).astype(int) - was.frames.rgb(index)).mean() < 6  # H.264 and JPEG
        assert (now.name, now.person, now.task) == (was.name, was.person, was.task)


@pytest.mark.parametrize("language", [True, False])
def test_a_data_set_of_another_program_has_its_features(made: Path, tmp_path: Path, language: bool) -> None:
    """Without our own files: labels are subtasks, or tasks; gaze is that of each frame."""
    export_lerobot([made / "s0"], tmp_path / "set", language=language)
    for name in ("gaze_vlm.json", "gaze_vlm_gaze.parquet"):
        (tmp_path / "set" / "meta" / name).unlink()
    now, was = back(tmp_path / "set", tmp_path / "bag"), load_session(made / "s0")
    assert now.labels is not None
    assert was.labels is not None
    # Rows do not separate two actions of the same text that follow each other.
    different = [
        text for text, before in zip(was.labels.texts, ["", *was.labels.texts], strict=False) if text != before
    ]
    assert [text for text in now.labels.texts if text] == [text for text in different if text]
    assert now.gaze is not None
    assert len(now.gaze) == len(now.frames)
    assert now.name == "set_0"


def test_labels_are_subtasks_from_the_row_in_which_they_begin(made: Path) -> None:
    table = pq.read_table(made / "set" / "data/chunk-000/file-000.parquet")
    tasks = pq.read_table(made / "set" / "meta/tasks.parquet").to_pydict()
    info = json.loads((made / "set" / "meta/info.json").read_text())
    assert info["features"]["language_persistent"] == {"dtype": "language", "shape": [1], "names": None}
    assert str(table.schema.field("language_persistent").type).count("timestamp: float not null") == 1
    said = table["language_persistent"].to_pylist()
    assert all(rows == said[0] for rows in said[:90])  # the same list in each row of an episode
    assert {(row["role"], row["style"], row["camera"]) for row in said[0]} == {("assistant", "subtask", None)}
    for row in (0, 31, 60, 89):
        now_s = table["timestamp"][row].as_py()
        active = [entry for entry in said[0] if entry["timestamp"] <= now_s][-1]
        assert active["content"] == tasks["task"][table["task_index"][row].as_py()]


def test_bad_data_sets_are_one_line(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(made / "set", folder)

    def refused(error: type[Exception], line: str, **options: object) -> None:
        with pytest.raises(error, match=line) as raised:
            back(folder, tmp_path / "bag", **options)
        assert "\n" not in str(raised.value)
        assert not (tmp_path / "bag").exists()

    refused(BadDataSet, "has no episode 7, expected 0 to 1", episode=7)
    info = folder / "meta/info.json"
    said = info.read_text()
    for text, line in (
        (said.replace("v3.0", "v2.1"), r"is of LeRobot's format 'v2\.1', expected v3\.0"),
        (said.replace("observation.gaze", "observation.state"), r"has no observation\.gaze beside a video"),
        (said[:-9], "cannot be read as JSON"),
        ("[]", "holds no object"),
    ):
        info.write_text(text)
        refused(BadDataSet, line)
    info.write_text(said)
    data = folder / "data/chunk-000/file-000.parquet"
    data.write_bytes(data.read_bytes()[:500])
    refused(BadDataSet, "episode 0 cannot be read")
    info.unlink()
    refused(FileMissing, r"info\.json is missing")
