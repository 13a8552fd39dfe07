"""Account of what the glasses delivered: counts for the last line of a run, every stamp for a check against a bag."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path


class DeliveredLog:
    """Counts the samples of each stream and, where a log file is requested, keeps their stamps."""

    def __init__(self, streams: Iterable[str], path: str = "") -> None:
        self.counts = dict.fromkeys(streams, 0)
        self._path = path
        self._stamps: dict[str, dict[str, list[int]]] = {
            name: {"device_ns": [], "header_ns": []} for name in self.counts
        }

    def add(self, stream: str, device_ns: int, header_ns: int) -> None:
        """Note one sample: its acquisition on the device's clock and, as published, on this host's."""
        self.counts[stream] += 1
        if self._path:
            self._stamps[stream]["device_ns"].append(device_ns)
            self._stamps[stream]["header_ns"].append(header_ns)

    def write(self, refused: int, dropped: int, losses: Mapping[str, Mapping[str, int]]) -> None:
        """Write the JSON log, where one is requested. Raises OSError.

        refused: samples with an impossible stamp. dropped: frames lost in the node. losses: counts by stream and kind.
        """
        if self._path:
            log = {"streams": self._stamps, "refused": refused, "dropped": dropped, "losses": losses}
            Path(self._path).write_text(json.dumps(log))
