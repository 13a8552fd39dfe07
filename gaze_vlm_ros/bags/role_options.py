"""Options of commands that say which topic of a bag is the camera or the gaze. They import no library."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from typing import Any

# What bare points mean, as a user or the bag's record gaze_coordinates says; normalized: from 0 to 1 over the image's
# width and height.
GAZE_COORDINATES = ("px_top_left", "px_bottom_left", "normalized_top_left", "normalized_bottom_left")


@dataclass(frozen=True)
class Roles:
    """Which topics are camera and gaze, and what points mean, as a user says; "" = as the bag says, or shows."""

    camera_topic: str = ""
    gaze_topic: str = ""
    gaze_coordinates: str = ""  # one of GAZE_COORDINATES


AS_THE_BAG_SAYS = Roles()
ROLE_OPTIONS = tuple(field.name for field in fields(Roles))


def add_role_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --camera-topic, --gaze-topic and --gaze-coordinates to a command that reads bags; `take_roles` reads them."""
    group = parser.add_argument_group("bags of other recorders, or with several cameras")
    by_default = "(default: as the bag says, or the only one that fits)"
    group.add_argument("--camera-topic", default="", metavar="TOPIC", help=f"topic of the camera {by_default}")
    group.add_argument("--gaze-topic", default="", metavar="TOPIC", help=f"topic of the gaze {by_default}")
    group.add_argument(
        "--gaze-coordinates",
        default="",
        choices=GAZE_COORDINATES,
        help="what points on the gaze topic mean (default: as the bag says)",
    )


def role_overrides(options: argparse.Namespace) -> dict[str, Any]:
    """Return what a user gave of `add_role_arguments`, as settings of a fit of the same names."""
    return {name: value for name in ROLE_OPTIONS if (value := getattr(options, name))}


def take_roles(options: dict[str, Any]) -> Roles:
    """Remove what `add_role_arguments` added from a command's options, and return it."""
    return Roles(**{name: options.pop(name) for name in ROLE_OPTIONS})
