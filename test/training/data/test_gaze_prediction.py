"""Gaze predicted from pictures: learned from other training sessions only, and read from a file of any model."""

from pathlib import Path

import numpy as np
import pytest

from gaze_vlm_ros.session.session import load_session
from training.data import gaze_prediction
from training.data.gaze_prediction import NoPredictedGaze, predicted_gaze, read_predictions
from training.data.gaze_targets import frame_gaze
from training.data.recordings import Recording, find_bags, load_recordings
from training.settings import BadSettings, Settings, settings_from

OWN = {"frames": 2, "observation_s": 1.0, "leads_s": [0.4, 1.0], "gaze_flow": False, "gaze": "predicted"}


@pytest.fixture(scope="module")
def recordings(small_bags: Path) -> list[Recording]:
    return load_recordings(find_bags([small_bags / f"s{seed}" for seed in range(3)]), settings_from(OWN, "test"))


def test_what_is_predicted_is_near_where_people_look(recordings: list[Recording], tmp_path: Path) -> None:
    settings = settings_from(OWN, "test")
    files = predicted_gaze(recordings, recordings[:2], settings, tmp_path)
    assert len(set(files.values())) == 3
    session = load_session(recordings[2].path)  # of no fold
    found = read_predictions(files[recordings[2].digest], session)
    nearer = []
    for window in recordings[2].windows:
        index = window.frames[-1]
        points, weights = found[int(session.frames.stamps_ns[index])]
        mean = np.average(points, axis=0, weights=weights)
        looked = frame_gaze(session, index, settings)[0].mean(axis=0)
        nearer.append(np.linalg.norm(mean - looked) < np.linalg.norm(np.array([48, 32]) - looked))
    assert np.mean(nearer) > 0.6  # than the centre of the picture is


def test_a_session_is_predicted_by_a_network_that_has_not_seen_it(
    recordings: list[Recording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[list[str]] = []
    made: dict[int, list[str]] = {}

    def fit(part: list[Recording], _: Settings) -> int:
        learned.append([recording.name for recording in part])
        return len(learned) - 1

    def write(path: Path, network: int, recording: Recording) -> None:
        path.write_text("")
        made.setdefault(network, []).append(recording.name)

    monkeypatch.setattr(gaze_prediction, "_fit", fit)
    monkeypatch.setattr(gaze_prediction, "_write", write)
    predicted_gaze(recordings, recordings[:2], settings_from(OWN, "test"), tmp_path)
    assert sorted(name for part in learned for name in part) == ["s0", "s1"]  # never s2, which is held out
    for network, names in made.items():
        assert not set(names) & set(learned[network])
    assert sorted(name for names in made.values() for name in names) == ["s0", "s1", "s2"]


def test_a_file_of_predictions_is_read_and_must_have_every_session(recordings: list[Recording], tmp_path: Path) -> None:
    session = load_session(recordings[0].path)
    stamp_ns = int(session.frames.stamps_ns[7])
    file = tmp_path / "gaze.csv"
    file.write_text(f"session,stamp_ns,x,y,weight\ns0,{stamp_ns},10.5,20,0.25\ns0,{stamp_ns},30,40,0.75\ns1,5,1,2,1\n")
    points, weights = read_predictions(file, session)[stamp_ns]
    assert (points.tolist(), weights.tolist()) == ([[10.5, 20], [30, 40]], [0.25, 0.75])
    settings = settings_from({**OWN, "gaze_file": str(file)}, "test")
    assert set(predicted_gaze(recordings[:2], [], settings, tmp_path).values()) == {file}
    with pytest.raises(NoPredictedGaze, match=r"gaze\.csv has no gaze for s2"):
        predicted_gaze(recordings, [], settings, tmp_path)
    file.write_text("session,stamp_ns,x\n")
    with pytest.raises(NoPredictedGaze, match="lacks the columns y, weight"):
        predicted_gaze(recordings, [], settings, tmp_path)
    with pytest.raises(BadSettings, match="setting gaze is 'real', expected 'predicted' where gaze_file is given"):
        settings_from({"gaze_file": "gaze.csv"}, "test")


def test_one_session_to_learn_from_is_refused(recordings: list[Recording], tmp_path: Path) -> None:
    with pytest.raises(NoPredictedGaze, match="two folds, and there are 1"):
        predicted_gaze(recordings, recordings[:1], settings_from(OWN, "test"), tmp_path)
