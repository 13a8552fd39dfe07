from concurrent.futures import ThreadPoolExecutor
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


def test_two_that_choose_at_the_same_time_get_different_domains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "SHARED_MEMORY", tmp_path)
    with ThreadPoolExecutor(8) as pool:
        chosen = list(pool.map(lambda _: unused_domain(), range(101)))
    assert sorted(chosen) == list(range(1, 102))


def test_where_all_are_reserved_it_waits_for_the_first_and_shares_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two programs in one domain would record each other's messages."""
    monkeypatch.setattr(transport, "SHARED_MEMORY", tmp_path)
    clock = [1_000_000.0]
    monkeypatch.setattr(transport.time, "time", lambda: clock[0])
    monkeypatch.setattr(transport.time, "sleep", lambda wait_s: clock.append(clock.pop() + wait_s))
    first = unused_domain()
    clock[0] += 10
    assert first not in {unused_domain() for _ in range(100)}
    assert clock[0] == 1_000_010.0
    assert unused_domain() == first  # its reservation ends first
    assert clock[0] == pytest.approx(1_000_060, abs=0.1)


def test_without_shared_memory_a_domain_is_still_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "SHARED_MEMORY", tmp_path / "none")
    assert unused_domain() in range(1, 102)
