"""All messages of one topic of a bag, read at random: stamps, arrival times, serialized and decoded messages."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.serde.errors import SerdeError
from rosbags.typesys.store import Typestore

from gaze_vlm_ros.bags.compression import NotDecompressed, decompress_message
from gaze_vlm_ros.bags.errors import UnreadableMessage
from gaze_vlm_ros.bags.mcap_file import IndexedMessages, McapFile
from gaze_vlm_ros.bags.message_types import begins_with_stamp
from gaze_vlm_ros.bags.stamps import acquisition_ns, leading_stamp_ns


@dataclass(frozen=True)
class MessagePlaces:
    """Where the messages of one topic are, in the order of arrival."""

    log_ns: NDArray[np.int64]  # (N,) ascending
    file: NDArray[np.int32]  # (N,) number of the bag's file
    chunk: NDArray[np.int32]  # (N,) number of the file's chunk
    offset: NDArray[np.int64]  # (N,) in the uncompressed chunk, bytes


def places_of(parts: Sequence[tuple[int, IndexedMessages]]) -> MessagePlaces:
    """Return the places of one topic's messages in the order of arrival.

    parts: (number of the file, messages of one chunk). Messages that arrived at one time keep the order of `parts`.
    """
    lengths = [len(part.log_ns) for _, part in parts]
    log_ns = np.concatenate([part.log_ns for _, part in parts] or [np.empty(0, np.int64)])
    offset = np.concatenate([part.offsets for _, part in parts] or [np.empty(0, np.int64)])
    order = np.argsort(log_ns, kind="stable")
    return MessagePlaces(
        log_ns=log_ns[order],
        file=np.repeat(np.array([number for number, _ in parts], np.int32), lengths)[order],
        chunk=np.repeat(np.array([part.chunk for _, part in parts], np.int32), lengths)[order],
        offset=offset[order],
    )


class TopicStream:
    """Messages of one topic by their number in the order of arrival, read when they are used.

    Memory does not grow with the recording, except for 24 bytes a message of index. Valid while the bag is open.
    """

    def __init__(
        self,
        bag_path: Path,
        topic: str,
        type_name: str,
        files: Sequence[McapFile],
        places: MessagePlaces,
        types: Typestore,
    ) -> None:
        self.bag_path = bag_path
        self.topic = topic
        self.type_name = type_name  # e.g. "sensor_msgs/msg/Image"; "" where the file does not give it
        self.is_known = type_name in types.fielddefs  # otherwise no message can be decoded
        self.is_stamped = begins_with_stamp(type_name, types)  # messages begin with their acquisition time
        self._files, self._places, self._types = files, places, types
        self._stamps_ns: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self._places.log_ns)

    @property
    def count(self) -> int:
        """Number of messages."""
        return len(self)

    @property
    def arrivals_ns(self) -> NDArray[np.int64]:
        """(N,) arrival (log) times, ns, ascending. Do not write into it."""
        return self._places.log_ns

    @property
    def stamps_ns(self) -> NDArray[np.int64]:
        """(N,) acquisition times, ns, in the order of arrival: `header.stamp`, or Foxglove's `timestamp`.

        Decodes nothing else. Only for streams that `is_stamped`. Do not write into it. Raises BagDamaged.
        """
        return self.read_stamps()

    def read_stamps(self, progress: Callable[[], object] = lambda: None) -> NDArray[np.int64]:
        """Return `stamps_ns`; call `progress` after each message that is read for it."""
        if self._stamps_ns is None:
            stamps_ns = np.empty(len(self), np.int64)
            for index in range(len(stamps_ns)):
                data = self.raw(index)
                stamp_ns = leading_stamp_ns(data)
                stamps_ns[index] = acquisition_ns(self._decode(data)) if stamp_ns is None else stamp_ns
                progress()
            self._stamps_ns = stamps_ns
        return self._stamps_ns

    def raw(self, index: int) -> memoryview:
        """Return serialized (CDR) message number `index`, decompressed. Raises BagDamaged, IndexError."""
        try:
            return decompress_message(self._stored(index)[2])
        except NotDecompressed as error:
            raise UnreadableMessage(
                f"{self.bag_path}: a message on {self.topic} is compressed, and does not decompress ({error}); "
                "leave the topic out"
            ) from None

    def sequence(self, index: int) -> int:
        """Return the publication sequence number of message number `index`. Raises BagDamaged, IndexError."""
        return self._stored(index)[0]

    def message(self, index: int) -> Any:
        """Return message number `index`, decoded. Raises BagDamaged where its bytes do not fit its type, IndexError."""
        return self._decode(self.raw(index))

    def messages(self) -> Iterator[Any]:
        """Yield all messages, decoded, in the order of arrival. Raises BagDamaged."""
        for index in range(len(self)):
            yield self.message(index)

    def verify(self, progress: Callable[[], object] = lambda: None) -> None:
        """Read every message, which verifies the checksums of their chunks. Raises BagDamaged."""
        for index in range(len(self)):
            self.raw(index)
            progress()

    def _stored(self, index: int) -> tuple[int, int, memoryview]:
        places = self._places
        log_ns = int(places.log_ns[index]) % 2**64  # unsigned in the file
        chunk, offset = int(places.chunk[index]), int(places.offset[index])
        return self._files[places.file[index]].message(chunk, offset, self.topic, log_ns)

    def _decode(self, data: memoryview) -> Any:
        if not self.is_known:
            raise UnreadableMessage(
                f"{self.bag_path}: {self.topic} carries {self.type_name or 'no type'}, which the bag does not define "
                "in a form that can be read, nor is it a standard type; record it again, or leave the topic out"
            )
        try:
            return self._types.deserialize_cdr(data, self.type_name)
        except (SerdeError, struct.error, ValueError, IndexError, KeyError, AssertionError) as error:
            raise UnreadableMessage(
                f"{self.bag_path}: a message on {self.topic} is no {self.type_name} "
                f"({type(error).__name__}: {error}); record it again, or leave the topic out"
            ) from None


def merged(
    streams: Mapping[str, TopicStream], start_ns: int | None, stop_ns: int | None
) -> Iterator[tuple[str, int, int]]:
    """Yield (topic, index, arrival time ns) of all messages in the order of arrival, in [start_ns, stop_ns)."""
    names = list(streams)
    arrivals = [stream.arrivals_ns for stream in streams.values()]
    ranges = [
        (
            0 if start_ns is None else int(np.searchsorted(times, start_ns)),
            len(times) if stop_ns is None else int(np.searchsorted(times, stop_ns)),
        )
        for times in arrivals
    ]
    which = np.repeat(np.arange(len(names)), [stop - start for start, stop in ranges])
    index = np.concatenate([np.arange(start, stop) for start, stop in ranges] or [np.empty(0, np.int64)])
    times = np.concatenate([times[a:b] for times, (a, b) in zip(arrivals, ranges, strict=True)] or [index])
    for position in np.argsort(times, kind="stable"):
        yield names[which[position]], int(index[position]), int(times[position])
