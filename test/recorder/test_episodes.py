from pathlib import Path

import pytest

from gaze_vlm_ros.recorder.episodes import BadEpisode, episode_folder, is_discarded, set_aside


def test_numbers_go_on_from_the_highest_that_was_ever_used(tmp_path: Path) -> None:
    root = tmp_path / "day"
    assert episode_folder(root) == root / "episode_0000"
    (root / "episode_0000").mkdir(parents=True)
    (root / "episode_0004").mkdir()
    (root / "pouring").mkdir()
    assert episode_folder(root) == root / "episode_0005"
    aside = set_aside(root / "episode_0004")
    assert aside.is_dir()
    assert is_discarded(aside)
    assert not is_discarded(root / "episode_0000")
    assert episode_folder(root) == root / "episode_0005"


def test_no_name_is_used_twice(tmp_path: Path) -> None:
    assert episode_folder(tmp_path, "pour-2") == tmp_path / "pour-2"
    (tmp_path / "pour-2").mkdir()
    with pytest.raises(BadEpisode, match=r"there is an episode .*pour-2 already"):
        episode_folder(tmp_path, "pour-2")
    set_aside(tmp_path / "pour-2")
    with pytest.raises(BadEpisode, match="pour-2_discarded already"):
        episode_folder(tmp_path, "pour-2")


@pytest.mark.parametrize("name", ["../out", "a/b", ".hidden", " ", "x_discarded", "a b"])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadEpisode, match="is not a plain name"):
        episode_folder(tmp_path, name)
