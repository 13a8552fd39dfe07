"""MCAP metadata records that a training bag holds: the session, each topic's totals, and what a recovery did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

METADATA_RECORD = "gaze_vlm"  # session, person, task, ...: written first, so a bag that was cut off has it too
TOTALS_RECORD = "gaze_vlm_totals"  # one per topic, written last: a bag without it was cut off
RECOVERY_RECORD = "gaze_vlm_recovery"  # in a recovered bag: its source, and how much of that was unusable
RECOVERED_TOPIC_RECORD = "gaze_vlm_recovered_topic"  # in a recovered bag, one per topic: messages saved and lost


@dataclass(frozen=True)
class TopicTotals:
    """Counts of one topic's messages."""

    received: int  # reached the recorder
    written: int  # are in the bag
    lost: int  # published but never received, by their sequence numbers; or dropped by a full queue
    lost_is_known: bool = True  # False: several publishers were not distinguished, so that more may have been lost


def totals_record(topic: str, totals: TopicTotals) -> dict[str, str]:
    """Return the content of a TOTALS_RECORD."""
    record = {"topic": topic, **{key: str(value) for key, value in asdict(totals).items()}}
    if totals.lost_is_known:
        del record["lost_is_known"]
    return record


def totals_of(record: Mapping[str, str]) -> tuple[str, TopicTotals]:
    """Return topic and totals of a TOTALS_RECORD. Raises ValueError where the record is not one."""
    counts = {name: int(record.get(name, "")) for name in ("received", "written", "lost")}
    if "topic" not in record:
        raise ValueError("no topic")
    return record["topic"], TopicTotals(**counts, lost_is_known="lost_is_known" not in record)
