"""Actions from ELAN's .eaf files: https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from gaze_vlm_ros.annotation.formats.times import BadTime, VideoTimes
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.actions import Action
from gaze_vlm_ros.storage.tables import require_file


class BadElan(GazeVlmError):
    """The file is not an ELAN annotation document, or is damaged."""


class UnclearTier(GazeVlmError):
    """Several tiers are possible, or none has the given name."""


@dataclass(frozen=True)
class _Annotation:
    """An annotation with its own times, or a reference annotation about another one."""

    text: str
    slots: tuple[str, str] | None  # ids of its time slots
    about: str  # id of the annotation that a reference annotation belongs to


def read_elan(
    path: Path,
    times: VideoTimes,
    left_out: Counter[str],
    *,
    tier: str = "",  # with the texts of the labels; "" = the only tier with its own times
    verb_tier: str = "",  # reference annotations about these
    object_tier: str = "",
) -> tuple[list[Action], dict[str, str]]:
    """Return the annotations of a tier as actions, and the tiers that were used by role.

    Raises FileMissing, BadElan, UnclearTier.
    """
    require_file(path, "an ELAN annotation document, .eaf")
    try:
        root = ElementTree.parse(path).getroot()
        if root.tag != "ANNOTATION_DOCUMENT":
            raise BadElan(f"{path} is a {root.tag}, expected an ANNOTATION_DOCUMENT of ELAN")
        slots_ms = {
            slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"]) if "TIME_VALUE" in slot.attrib else None
            for slot in root.iter("TIME_SLOT")
        }
        tiers = {found.attrib["TIER_ID"]: _annotations(found) for found in root.iter("TIER")}
        # Start of the annotated time within each video file.
        origins_ms = {
            str(media.get("RELATIVE_MEDIA_URL") or media.get("MEDIA_URL")): int(media.get("TIME_ORIGIN", "0"))
            for media in root.iter("MEDIA_DESCRIPTOR")
        }
        origin_ms = next(iter(origins_ms.values()), 0)
    except (ElementTree.ParseError, KeyError, ValueError, UnicodeError, LookupError) as error:
        raise BadElan(f"{path} is not a valid ELAN document ({type(error).__name__}: {error})") from None
    if len(set(origins_ms.values())) > 1:
        shown = ", ".join(f"{name} at {at_ms / 1000:g} s" for name, at_ms in origins_ms.items())
        raise BadElan(
            f"{path} is of several videos, and its time begins within them at different moments ({shown}); save a copy "
            "with only the one that this bag was recorded with"
        )
    chosen = _tier(path, tier, tiers)
    by_id = {key: annotation for annotations in tiers.values() for key, annotation in annotations.items()}
    texts_about = {role: _text_about(path, name, tiers, by_id) for role, name in
                  (("verb", verb_tier), ("object", object_tier))}  # fmt: skip
    actions = []
    for key, annotation in tiers[chosen].items():
        if not annotation.text:
            left_out["annotations without a text"] += 1
            continue
        aligned = by_id[_aligned(path, key, by_id)]
        assert aligned.slots is not None
        if unknown := [slot for slot in aligned.slots if slot not in slots_ms]:
            raise BadElan(f"{path}: annotation {key} uses time slot {unknown[0]}, which does not exist")
        start_ms, end_ms = (slots_ms[slot] for slot in aligned.slots)
        if start_ms is None or end_ms is None:
            left_out["annotations whose time is not set in ELAN"] += 1
            continue
        try:
            start_ns, end_ns = (times.of_media((at_ms + origin_ms) * 1_000_000) for at_ms in (start_ms, end_ms))
        except BadTime as error:
            raise BadElan(f"{path}: annotation {key} is at {error}") from None
        actions.append(
            Action(
                start_ns,
                end_ns,
                annotation.text,
                texts_about["verb"].get(key, ""),
                texts_about["object"].get(key, ""),
            )
        )
    used = {"text": chosen, "verb": verb_tier, "object": object_tier}
    return actions, {role: name for role, name in used.items() if name}


def _annotations(tier: ElementTree.Element) -> dict[str, _Annotation]:
    found = {}
    for entry in tier.iter("ALIGNABLE_ANNOTATION"):
        slots = (entry.attrib["TIME_SLOT_REF1"], entry.attrib["TIME_SLOT_REF2"])
        found[entry.attrib["ANNOTATION_ID"]] = _Annotation(_text(entry), slots, "")
    for entry in tier.iter("REF_ANNOTATION"):
        found[entry.attrib["ANNOTATION_ID"]] = _Annotation(_text(entry), None, entry.attrib["ANNOTATION_REF"])
    return found


def _text(entry: ElementTree.Element) -> str:
    return " ".join((entry.findtext("ANNOTATION_VALUE") or "").split())


def _tier(path: Path, requested: str, tiers: dict[str, dict[str, _Annotation]]) -> str:
    filled = [name for name, annotations in tiers.items() if annotations]
    shown = ", ".join(f"{name} ({len(tiers[name])})" for name in filled) or "none with annotations"
    if requested:
        if requested not in tiers:
            raise UnclearTier(f"{path} has no tier {requested!r}; its tiers are {shown}")
        return requested
    timed = [name for name in filled if any(annotation.slots for annotation in tiers[name].values())]
    if len(timed) != 1:
        raise UnclearTier(f"{path}: give --tier with the tier of the actions; its tiers are {shown}")
    return timed[0]


def _text_about(
    path: Path, name: str, tiers: dict[str, dict[str, _Annotation]], by_id: dict[str, _Annotation]
) -> dict[str, str]:
    """Return the texts of a tier by the annotation that each is about, directly or indirectly."""
    if not name:
        return {}
    texts: dict[str, str] = {}
    for annotation in tiers[_tier(path, name, tiers)].values():
        about, seen = annotation.about, set[str]()
        while about and about not in seen:
            texts.setdefault(about, annotation.text)
            seen.add(about)
            about = by_id[about].about if about in by_id else ""
    return texts


def _aligned(path: Path, key: str, by_id: dict[str, _Annotation]) -> str:
    """Return the key of the annotation with its own times that `key` is, or is about. Raises BadElan."""
    seen = {key}
    while by_id[key].slots is None:
        key = by_id[key].about
        if key not in by_id or key in seen:
            raise BadElan(f"{path}: an annotation is about {key}, which does not exist or is about itself")
        seen.add(key)
    return key
