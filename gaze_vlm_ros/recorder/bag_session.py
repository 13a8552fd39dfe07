"""Bags of one run of the recorder: a single bag from start to end, or one bag per episode. No ROS here."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from gaze_vlm_ros.bags.message_types import begins_with_stamp, describe_type, known_types
from gaze_vlm_ros.bags.writer import BagExists, BagWriter, Split
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.recorder.bag_thread import BagThread
from gaze_vlm_ros.recorder.disk import require_free_disk
from gaze_vlm_ros.recorder.episodes import episode_folder, is_bag, set_aside
from gaze_vlm_ros.recorder.latched import NEVER_REPEATED, LatchedMessages
from gaze_vlm_ros.recorder.tables import totals_table
from gaze_vlm_ros.recorder.tally import MIXED, TopicTally

OWN_PUBLISHER = b"recorder"  # publisher id of the labels that the recorder itself writes
LONGEST_TASK = 1000  # characters


@dataclass(frozen=True)
class BagSettings:
    """Where and how bags are written."""

    folder: Path  # the bag; with `in_episodes` the folder of the episodes' bags
    in_episodes: bool
    metadata: Mapping[str, str]  # stored in each bag; an empty "session" is replaced by the bag's name
    label_topic: str  # resolved; empty = labels are not recorded
    queue_bytes: int
    flush_s: float
    sync_s: float
    min_free_bytes: float
    split: Split = field(default_factory=Split)


class Outcome(NamedTuple):
    """Result of starting or stopping an episode, or of adding a label."""

    done: bool
    message: str = ""  # why not, or what the caller should know
    episode_id: str = ""


class BagSession:
    """Opens and closes bags, starts and stops episodes, and hands messages to the bag that is open.

    Without episodes one bag is open from `begin` to `finish`. With them each episode is a bag of its own below the
    folder, and messages between two episodes are dropped.

    offered_qos: QoS profiles that publishers of a topic offer now, as rosbag2 writes them; asked when a bag is opened.
    show, show_error: print a line for the user.
    Raises BagExists when there is a bag already where this one, or a folder of episodes, should be.
    """

    def __init__(
        self,
        settings: BagSettings,
        offered_qos: Callable[[str], Sequence[Mapping[str, Any]]],
        show: Callable[[str], object],
        show_error: Callable[[str], object],
    ) -> None:
        self._settings = settings
        self._offered_qos, self._show, self._show_error = offered_qos, show, show_error
        self.folder = settings.folder  # of the bag that is open, or of the last one
        self.tallies: dict[str, TopicTally] = {}  # of the bag that is open, or of the last one
        self.lost = 0  # messages lost in all bags that are closed
        self._types: dict[str, str] | None = None
        self._bag: BagThread | None = None
        self._latched = LatchedMessages()
        self._latched_topics: set[str] = set()
        self._opened_s = 0.0  # time.monotonic()
        if settings.folder.exists() and not settings.in_episodes:
            raise BagExists(f"{settings.folder} exists already, and bags are never overwritten; give another name")
        if settings.in_episodes and is_bag(settings.folder):
            raise BagExists(
                f"{settings.folder} is a bag, expected a folder for the bags of episodes; give another name"
            )

    @property
    def is_ready(self) -> bool:
        """Whether `begin` was called."""
        return self._types is not None

    @property
    def is_recording(self) -> bool:
        """Whether a bag is open."""
        return self._bag is not None

    @property
    def write_error(self) -> OSError | None:
        """Why the bag that is open cannot be written any more."""
        return self._bag.error if self._bag is not None else None

    @property
    def episode_id(self) -> str:
        """Name of the episode that is being recorded; empty = none."""
        return self.folder.name if self._settings.in_episodes and self.is_recording else ""

    @property
    def doing(self) -> str:
        """Describe in some words what is going on."""
        if not self.is_recording:
            return "between episodes"
        return f"recording {self.episode_id}".rstrip() + f" for {time.monotonic() - self._opened_s:.0f} s"

    def begin(self, types: Mapping[str, str]) -> None:
        """Get ready to record topics of these types; without episodes open the bag.

        Everything that can be refused is refused before there is a bag: raises UnknownMessageType, DiskFull, BagExists
        or BagNotWritable.
        """
        for type_name in types.values():
            describe_type(type_name)
        require_free_disk(self._settings.folder, self._settings.min_free_bytes)
        self._types = dict(types)
        for name in types:
            self._find_latched(name, self._offered_qos(name))
        if not self._settings.in_episodes:
            self._open(self._settings.folder)

    def write(
        self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int, sequence: int, publisher: bytes
    ) -> None:
        """Hand one received message to the bag; dropped where none is open.

        sequence: the `publisher`'s number of the message; 0 without numbers. publisher: its id or MIXED.
        """
        if self._types and self._types[topic] not in NEVER_REPEATED:
            # Several publishers that are not distinguished keep one message each: better too many of them than too few.
            is_one_of_several = publisher == MIXED and topic in self._latched_topics
            self._latched.note(topic, data if is_one_of_several else publisher, data)
        if self._bag is None:
            return
        self.tallies[topic].count(data, sequence, publisher)
        # Sequence numbers are 32 bit in MCAP.
        self._bag.put(topic, data, log_time_ns, publish_time_ns, sequence & 0xFFFFFFFF, publisher)

    def refuse(self, topic: str, sequence: int, publisher: bytes) -> None:
        """Count a received message that is not written because its bytes are no message of the topic's type."""
        if self._bag is not None:
            self.tallies[topic].refuse(sequence, publisher)

    def start_episode(self, episode_id: str = "", task: str = "") -> Outcome:
        """Open the bag of an episode; an empty id is numbered, an empty task leaves the settings' one."""
        if not self.is_ready:
            return Outcome(False, "still waiting for topics; start an episode when the recorder says it is ready")
        if self.is_recording:
            return Outcome(False, f"episode {self.episode_id} is being recorded; stop it first", self.episode_id)
        if len(task) > LONGEST_TASK:
            return Outcome(False, f"the task has {len(task)} characters, expected at most {LONGEST_TASK}")
        try:
            require_free_disk(self._settings.folder, self._settings.min_free_bytes)
            folder = episode_folder(self._settings.folder, episode_id)
            self._open(folder, **({"task": task} if task else {}))
        except GazeVlmError as error:
            return Outcome(False, str(error))
        except OSError as error:
            return Outcome(False, f"no episode can be begun in {self._settings.folder} ({error.strerror})")
        self._show(f"episode {folder.name} began")
        return Outcome(True, "", folder.name)

    def stop_episode(self, keep: bool) -> Outcome:
        """Close the bag of the episode; without `keep` mark it as discarded by its folder's name."""
        if not self.is_recording:
            return Outcome(False, "no episode is being recorded")
        folder = self.folder
        try:
            table = self._close()
        except OSError as error:
            text = f"the end of episode {folder.name} was not written: {error.strerror}"
            self._show_error(text)
            return Outcome(False, text, folder.name)
        if not keep:
            self._show(f"episode {folder.name} discarded; its bag is kept as {set_aside(folder)}")
            return Outcome(True, "", folder.name)
        self._show(f"{table}\nepisode {folder.name} kept: {folder}")
        lost = self._lost_now()
        return Outcome(True, f"{lost} messages were lost" if lost else "", folder.name)

    def add_label(self, text: str, data: bytes, now_ns: int) -> Outcome:
        """Write a label, serialized as `data`, into the bag that is open."""
        topic = self._settings.label_topic
        if not self.is_recording:
            return Outcome(False, "nothing is being recorded")
        if topic not in self.tallies:
            return Outcome(False, "labels are not recorded: parameter label_topic is empty")
        self.write(topic, data, now_ns, now_ns, 0, OWN_PUBLISHER)
        self._show(f"label: {text or '(none from here on)'}")
        return Outcome(True)

    def finish(self, required: Sequence[str]) -> bool:
        """Close the bag that is open, print its totals and what went wrong; return whether nothing did.

        required: topics that must have had a message. An episode that is being recorded is kept. A bag
        without any message is removed, so that its name is free for another try.
        """
        complete = True
        if self.is_recording:
            try:
                self._show(self._close())
            except OSError as error:
                self._show_error(f"the end of {self.folder} was not written: {error.strerror}")
                return False
            empty = [topic for topic in required if not self.tallies[topic].taken]
            if empty:
                self._show_error(f"no message came on {', '.join(empty)}")
                complete = False
            if any(tally.received for tally in self.tallies.values()):
                self._show(f"closed {self.folder}")
            else:
                shutil.rmtree(self.folder)
                self._show(f"removed {self.folder}, which has no message")
        if self.lost:
            self._show_error(f"{self.lost} messages were lost, see the table")
            complete = False
        return complete

    def _open(self, folder: Path, **metadata: str) -> None:
        described = {**self._settings.metadata, **metadata}
        described["session"] = described.get("session") or folder.name
        writer = BagWriter(folder, described, self._settings.split)
        self.tallies = {}
        for name, type_name in (self._types or {}).items():
            profiles = [dict(profile) for profile in self._offered_qos(name)]
            writer.add_topic(name, type_name, *([profiles] if profiles else []))
            self._find_latched(name, profiles)
            self.tallies[name] = TopicTally(type_name, stamped=begins_with_stamp(type_name, known_types()))
        settings = self._settings
        self._bag = BagThread(
            writer,
            self.tallies,
            settings.queue_bytes,
            settings.flush_s,
            sync_s=settings.sync_s,
            latched=self._latched.of(self._latched_topics),
            latched_topics=frozenset(self._latched_topics),
        )
        self.folder, self._opened_s = folder, time.monotonic()

    def _find_latched(self, topic: str, profiles: Sequence[Mapping[str, Any]]) -> None:
        """Note whether a topic is latched: it still is for this recording once its publisher has gone."""
        is_kept = any(profile.get("durability") == "transient_local" for profile in profiles)
        if is_kept and (self._types or {})[topic] not in NEVER_REPEATED:
            self._latched_topics.add(topic)

    def _close(self) -> str:
        """Write queued messages, totals and index; return the table of totals.

        Raises OSError when the disk does not take them; the bag counts as closed all the same.
        """
        assert self._bag is not None
        bag, self._bag = self._bag, None
        try:
            bag.close()
        finally:
            self.lost += self._lost_now()
        mixed = ", ".join(topic for topic, tally in self.tallies.items() if tally.is_mixed)
        why = f"what was lost on the way is unknown of {mixed}: several publishers, not distinguished by this ROS\n"
        return (
            f"{totals_table(self.tallies)}\n{why if mixed else ''}"
            f"at most {bag.most_waiting_bytes / 1e6:.1f} MB waited for the disk; "
            f"the longest write took {bag.longest_write_s:.3f} s"
        )

    def _lost_now(self) -> int:
        return sum(tally.lost for tally in self.tallies.values())
