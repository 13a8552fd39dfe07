"""labels.json beside a bag: exact, complete or not there, and only beside its own bag."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from power_cuts import PowerCuts

from gaze_vlm_ros.inspection.check import check_bag
from gaze_vlm_ros.inspection.info import describe, summarize
from gaze_vlm_ros.labels.label_file import (
    BadLabelFile,
    Label,
    LabelFile,
    LabelsChanged,
    LabelsNotWritable,
    OtherBagsLabels,
    bag_identity,
    label_file_path,
    read_label_file,
    track_of,
    write_label_file,
)
from gaze_vlm_ros.labels.track import actions_of
from gaze_vlm_ros.session.session import NoLabels, load_session, require_labels, session_digest
from gaze_vlm_ros.view.scene import summary_of
from gaze_vlm_ros.windows.settings import WindowSettings

SOURCES = {"import-1": {"kind": "import", "file": "a.csv"}}


def put(bag: Path, *labels: tuple[float, float | None, str], revision: int = 0) -> Path:
    """Labels of (start s, end s, text) beside the bag."""
    session = load_session(bag, labels_from="nowhere")
    first_ns = int(session.frames.stamps_ns[0])
    made = tuple(
        Label(first_ns + round(a * 1e9), None if b is None else first_ns + round(b * 1e9), text, source="import-1")
        for a, b, text in labels
    )
    bag_of = bag_identity(session.metadata["session"], session.frames.stamps_ns)
    write_label_file(label_file_path(bag), LabelFile(bag_of, made, SOURCES, revision))
    return label_file_path(bag)


def test_what_was_written_is_read_and_the_bag_is_untouched(bare: Path) -> None:
    before = {path: path.read_bytes() for path in bare.iterdir()}
    path = put(bare, (1, 2, "pour"), (2, 2.5, "stir"), (4.25, None, "drink"))
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(bare.iterdir()) == sorted([*before, path])  # no lock, no temporary file
    session = load_session(bare)
    assert session.labels is not None
    assert session.labels.texts == ["pour", "stir", "", "drink"]
    starts_s = (session.labels.starts_ns - session.frames.stamps_ns[0]) / 1e9
    np.testing.assert_array_equal(starts_s, [1, 2, 2.5, 4.25])
    assert session.label_file is not None
    assert session.label_file.origin() == "3 by import (a.csv)"
    assert track_of(session.label_file.labels).texts == session.labels.texts


def test_a_track_and_its_actions_are_the_same_labels(labelled: Path) -> None:
    track = require_labels(load_session(labelled))
    labels = [Label(x.start_ns, x.end_ns, x.text, x.verb, x.object_class) for x in actions_of(track)]
    again = track_of(labels)
    np.testing.assert_array_equal(again.starts_ns, track.starts_ns)
    assert (again.texts, again.verbs, again.object_classes) == (track.texts, track.verbs, track.object_classes)


def test_labels_beside_the_bag_take_the_place_of_its_own(labelled: Path) -> None:
    own = load_session(labelled)
    digest = session_digest(own)
    path = put(labelled, (1, 2, "pour"))
    session = load_session(labelled)
    assert session.labels is not None
    assert session.labels.texts == ["pour", ""]
    assert session_digest(session) != digest
    assert session_digest(load_session(labelled, labels_from="bag")) == digest
    assert load_session(labelled, labels_from="nowhere").labels is None
    assert "labels.json (1 by import (a.csv)), in place of /label: 1 labels, 1 distinct" in describe(labelled)
    assert summarize(labelled).label_origin == "1 by import (a.csv)"
    texts = [finding.text for finding in check_bag(labelled, WindowSettings()).findings]
    assert "labels.json: 1 by import (a.csv); the bag's own, on /label, are not used" in texts
    assert "1 labels beside the bag (1 by import (a.csv))" in summary_of(session, [])
    path.unlink()
    assert session_digest(load_session(labelled)) == digest


def test_a_verb_by_itself_changes_the_digest(bare: Path) -> None:
    path = put(bare, (1, 2, "pour"))
    digest = session_digest(load_session(bare))
    path.write_text(path.read_text().replace('"text": "pour"', '"text": "pour", "verb": "pour"'))
    assert session_digest(load_session(bare)) != digest


def test_one_mcap_file_has_its_labels_beside_it(bare: Path, tmp_path: Path) -> None:
    file = tmp_path / "alone.mcap"
    shutil.copy(bare / "s0_0.mcap", file)
    assert put(file, (1, 2, "pour")) == tmp_path / "alone.labels.json"
    assert require_labels(load_session(file)).texts == ["pour", ""]


def test_no_labels_beside_and_none_in_the_bag(bare: Path) -> None:
    put(bare)
    with pytest.raises(NoLabels, match="gaze-vlm label"):
        require_labels(load_session(bare))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "{", "it is not JSON"),
        (lambda text: "[]", "its format is None"),
        (lambda text: text.replace("labels 1", "labels 9"), "expected 'gaze_vlm_labels 1'"),
        (lambda text: text.replace('"revision": 1', '"revision": "x"'), "its revision is 'x'"),
        (lambda text: text.replace('"sources"', '"sauces"'), "'sources' is missing"),
        (lambda text: text.replace('"frames"', '"frame"'), "'frames' is missing"),
        (lambda text: text.replace('"text": "pour"', '"text": " "'), "label 1 has no text"),
        (lambda text: text.replace('"text": "pour"', '"text": 7'), "text of label 1 is 7"),
        (lambda text: text.replace('"text": "pour"', '"text": "pour", "vreb": ""'), "unknown key 'vreb'"),
        (lambda text: text.replace('"end_ns": 1790001002', '"end_ns": 1790001000'), "not after its start"),
        (lambda text: text.replace('"end_ns": 1790001002', '"end_ns": 1790001003'), "label 1 ('pour') and label 2"),
        (lambda text: text.replace('"source": "import-1"', '"source": "import-2"'), "source 'import-2', which is not"),
        (lambda text: text.replace('"start_ns": 17', '"start_ns": 1.7e1'), "start_ns of label 1"),
        (lambda text: "[" * 100_000, "it is not JSON"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_one_line_and_nothing_is_guessed(bare: Path, change, message: str) -> None:
    path = put(bare, (1, 2, "pour"), (2.5, 3, "stir"))
    damaged = change(path.read_text())
    assert damaged != path.read_text()
    path.write_text(damaged)
    with pytest.raises(BadLabelFile) as raised:
        load_session(bare)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert message in describe(bare)  # where the rest is still shown
    assert any(message in finding.text for finding in check_bag(bare, WindowSettings()).findings)


def test_another_bags_labels_are_refused(bare: Path, labelled: Path) -> None:
    path = put(bare, (1, 2, "pour"))
    shutil.copy(path, labelled / "labels.json")
    with pytest.raises(OtherBagsLabels, match=r"made for session 's0' .* is beside session 's1'"):
        load_session(labelled)


def test_a_write_on_an_older_revision_is_refused(bare: Path) -> None:
    path = put(bare, (1, 2, "pour"))
    first, second = read_label_file(path), read_label_file(path)
    assert write_label_file(path, first).revision == 2
    with pytest.raises(LabelsChanged, match="is at revision 2, and these labels are of revision 1"):
        write_label_file(path, second)


def _write_until_refused(path: str, results) -> None:
    written = 0
    for _ in range(40):
        try:
            write_label_file(Path(path), read_label_file(Path(path)))
            written += 1
        except LabelsChanged:
            pass
    results.put(written)


def test_processes_never_write_over_each_other(bare: Path) -> None:
    path = put(bare, (1, 2, "pour"))
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=_write_until_refused, args=(str(path), results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    written = sum(results.get(timeout=200) for _ in workers)
    for worker in workers:
        worker.join()
    assert read_label_file(path).revision == 1 + written  # each write that was not refused counted


def test_a_failed_write_leaves_the_old_file(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(bare, (1, 2, "pour"))
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LabelsNotWritable, match="No space left on device"):
        write_label_file(path, read_label_file(path))
    assert path.read_bytes() == before
    assert not list(bare.glob(".labels*"))
    assert not list(bare.glob("*.part"))


def test_the_file_is_plain_to_read(bare: Path) -> None:
    text = put(bare, (1, 2, "café <b>")).read_text()
    assert '    {"start_ns": 1790001001000000000, "end_ns": 1790001002000000000, "text": "café <b>", "source"' in text
    assert json.loads(text)["bag"] == {
        "session": "s0", "frames": 240, "first_frame_ns": 1790001000000000000, "last_frame_ns": 1790001023900000000,
    }  # fmt: skip


def test_a_power_cut_while_saving_leaves_the_old_labels_or_the_new_ones(bare: Path) -> None:
    path = put(bare, (1.0, 2.0, "stir"))
    before = path.read_bytes()
    with PowerCuts(bare) as cuts:
        put(bare, (1.0, 2.0, "pour"), revision=1)
    for found in cuts.possible():
        assert found["labels.json"] in (before, path.read_bytes())
    assert {found["labels.json"] for found in cuts.at_the_end()} == {path.read_bytes()}
