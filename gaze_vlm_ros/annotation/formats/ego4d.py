"""Actions from Ego4D's annotation files, narration.json and fho_lta_<set>.json. See importers.ego4d."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from gaze_vlm_ros.annotation.formats.times import BadTime, VideoTimes
from gaze_vlm_ros.importers.ego4d import BadAnnotations, read_actions
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS
from gaze_vlm_ros.labels.actions import Action


def read_ego4d_labels(
    path: Path, times: VideoTimes, left_out: Counter[str], video: str
) -> tuple[list[Action], dict[str, str]]:
    """Return the camera wearer's actions in one canonical video, and that video's uid as {"video": uid}.

    video: its uid. Raises what read_actions raises.
    """

    def ros_time(at_ns: int) -> int:
        try:
            return times.of_media(at_ns - UNDATED_START_NS)
        except BadTime as error:
            raise BadAnnotations(f"{path}: an action of video {video} is at {error}") from None

    actions = [
        replace(x, start_ns=ros_time(x.start_ns), end_ns=None if x.end_ns is None else ros_time(x.end_ns))
        for x in read_actions(path, video, left_out)
    ]
    return actions, {"video": video}
