from pathlib import Path

import pytest

from gaze_vlm_ros.nodes import dds_transport as transport
from gaze_vlm_ros.nodes.dds_transport import NoFreeDomain, unused_domain


def test_a_domain_with_leftovers_is_not_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "SHARED_MEMORY", tmp_path)
    for domain in range(1, 102):
        if domain != 70:
            (tmp_path / f"sem.fastdds_port{7400 + 250 * domain + 11}_mutex").touch()
    (tmp_path / "fastdds_00eebc3146701264").touch()
    (tmp_path / "fastdds_port7004").touch()  # no domain's
    assert unused_domain() == 70
    (tmp_path / f"fastrtps_port{7400 + 250 * 70 + 249}").touch()
    with pytest.raises(NoFreeDomain, match="all ROS domains from 1 to 101 have Fast DDS ports in"):
        unused_domain()
