"""Check whether a bag is fit for training: findings with limits, as text and as JSON. No ROS needed."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gaze_vlm_ros.bags.errors import UnreadableMessage
from gaze_vlm_ros.bags.reader import Bag
from gaze_vlm_ros.bags.role_options import AS_THE_BAG_SAYS, Roles
from gaze_vlm_ros.bags.roles import open_with_roles
from gaze_vlm_ros.bags.topic_stream import TopicStream
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.inspection.finding import SEVERITIES, Finding, Severity, graded, worse
from gaze_vlm_ros.inspection.gaze_findings import (
    blinks,
    camera_gaze_lag,
    frames_with_gaze,
    gaze_coverage,
    gaze_image,
    gaze_validity,
)
from gaze_vlm_ros.inspection.gaze_source_findings import gaze_against_picture, gaze_rate, gaze_repeats, picture_turn
from gaze_vlm_ros.inspection.label_findings import label_coverage, window_use
from gaze_vlm_ros.inspection.roles import camera_of, gaze_of, labels_of
from gaze_vlm_ros.inspection.stream_findings import camera_gaps, clock, frame_quality, gaze_gaps, look_at_frames, order
from gaze_vlm_ros.labels.label_file import label_file_path
from gaze_vlm_ros.session.session import Session
from gaze_vlm_ros.terminal.text import printable
from gaze_vlm_ros.windows.settings import WindowSettings, load_window_settings

NO_CAMERA_LIMIT = "error: nothing to train on without frames"


@dataclass(frozen=True)
class BagCheck:
    """All findings of `gaze-vlm bag check` about one bag."""

    path: str
    findings: list[Finding]

    @property
    def worst(self) -> Severity:
        """The worst severity of all findings; ok without any."""
        return max((finding.severity for finding in self.findings), key=SEVERITIES.index, default="ok")


def run_check(paths: Sequence[Path], config: Path | None, as_json: bool, roles: Roles = AS_THE_BAG_SAYS) -> int:
    """Print the check of each bag and return the exit code: 0 = nothing worse than notes, 1 = anything worse.

    Several bags end in a table of one line each. An unreadable bag among several is reported in one line on stderr; a
    single one raises what `check_bag` raises.
    """
    settings = load_window_settings(config)
    checks: list[dict[str, Any]] = []
    lines: list[tuple[str, Severity, str]] = []
    failed = False
    for path in paths:
        try:
            check = check_bag(path, settings, roles, progress=True)
        except GazeVlmError as error:
            if len(paths) == 1:
                raise
            print(f"gaze-vlm: error: {error}", file=sys.stderr)
            checks.append({"path": str(path), "worst": "error", "unreadable": str(error), "findings": []})
            lines.append((str(path), "error", "cannot be read"))
            failed = True
            continue
        checks.append({"path": check.path, "worst": check.worst, "findings": [asdict(f) for f in check.findings]})
        lines.append((check.path, check.worst, problems_text(check)))
        failed |= check.worst in ("warning", "error")
        if not as_json:
            print(check_text(check) + "\n", flush=True)
    if not as_json and len(lines) > 1:
        width = max(len(path) for path, *_ in lines)
        print("\n".join(f"{path:<{width}}  {worst:<7}  {text}".rstrip() for path, worst, text in lines))
    if as_json:
        print(json.dumps(checks, indent=2, allow_nan=False))
    return int(failed)


def check_bag(
    path: Path | str, settings: WindowSettings, roles: Roles = AS_THE_BAG_SAYS, progress: bool = False
) -> BagCheck:
    """Check one bag, decoding every frame, gaze sample and label once. Raises what open_with_roles raises.

    settings: of the windows that a fit would cut; their topics count where `roles` names none.
    progress: show a bar on stderr where that is a terminal.
    Memory: a few frames, and some tens of bytes per frame and sample.
    """
    with open_with_roles(path, settings.roles if roles == AS_THE_BAG_SAYS else roles) as bag:
        camera_role, camera, stream = camera_of(bag)
        gaze_role, samples, gaze = gaze_of(bag, stream)
        findings: list[Finding] = []
        frames = None
        if camera is None or stream is None:
            findings.append(Finding("camera", "error", camera_role.reason, NO_CAMERA_LIMIT))
        elif not len(stream):
            findings.append(Finding("camera", "error", f"{camera.topic} holds no picture", NO_CAMERA_LIMIT))
        else:
            frames = look_at_frames(stream, progress)
            findings.append(camera_gaps(frames.stamps_ns, settings))
            findings += _stamp_findings("camera", camera)
            findings.append(frame_quality(frames))
            if camera.type_name == "sensor_msgs/msg/CompressedImage":
                findings.append(picture_turn(bytes(camera.message(0).data)))
        if samples is None or gaze is None:
            limit = "warning: a fit on this bag needs `gaze: none`, and cannot supervise attention"
            findings.append(Finding("gaze", "warning", gaze_role.reason, limit))
        else:
            findings.append(gaze_gaps(gaze.stamps_ns, settings))
            findings += _stamp_findings("gaze", samples)
            findings.append(gaze_validity(gaze, frames.size if frames else None, settings))
            findings.append(blinks(gaze))
            findings.append(gaze_repeats(gaze))
            findings.append(gaze_rate(gaze, bag.metadata.get("tracker", "")))
        covered = None
        if frames and gaze and frames.size:
            findings.append(gaze_image(gaze, frames.size))
            covered = frames_with_gaze(frames.stamps_ns, gaze, frames.size, settings)
            findings.append(gaze_coverage(covered, frames.stamps_ns, gaze.stamps_ns, settings))
            findings.append(camera_gaze_lag(frames, gaze))
            findings.append(gaze_against_picture(frames, gaze))
        label_role, own_labels, labels, label_file = labels_of(bag, stream)
        if labels is None:
            limit = "warning: training needs what the person does"
            findings.append(Finding("labels", "warning", label_role.reason, limit))
        else:
            if label_file is not None:
                text = f"{label_file_path(Path(path)).name}: {printable(label_file.origin())}"
                text += f"; the bag's own, on {printable(label_role.topic)}, are not used" if label_role.topic else ""
                limit = "never worse: labels beside the bag replace those in it"
                findings.append(Finding("label source", "ok", text, limit))
            elif own_labels is not None:
                findings.append(order("labels", own_labels.stamps_ns))
            if frames and stream:
                findings.append(label_coverage(labels, frames.stamps_ns))
                session = Session(Path(path), dict(bag.metadata), stream, gaze, labels)
                findings.append(window_use(session, frames, covered, settings))
        findings += other_topics(bag)
        findings.append(losses(bag))
        return BagCheck(str(path), findings)


def _stamp_findings(name: str, stream: TopicStream) -> list[Finding]:
    return [order(name, stream.stamps_ns), clock(name, stream.stamps_ns, stream.arrivals_ns)]


def other_topics(bag: Bag) -> list[Finding]:
    """Return a finding about topics whose messages cannot be decoded, nothing where all can be."""
    reasons = {}
    for name, stream in bag.topics.items():
        try:
            if stream:
                stream.message(0)
        except UnreadableMessage as error:
            reasons[name] = str(error)
    if not reasons:
        return []
    text = "; ".join(f"{printable(name)} cannot be read ({printable(why)})" for name, why in reasons.items())
    limit = "note: any that cannot be read; those that training takes have errors of their own"
    return [Finding("other topics", "note", text, limit, {"unreadable": list(reasons)})]


def losses(bag: Bag) -> Finding:
    """Return the finding about lost messages, by the recorder's totals."""
    limit = "note: anything lost, or not known; warning: above 1 % of a topic, or totals that disagree with the bag"
    unknown = [name for name in bag.topics if name not in bag.totals]
    mixed = [name for name in bag.topics if name in bag.totals and not bag.totals[name].lost_is_known]
    lost = {name: bag.totals[name].lost for name in bag.topics if name in bag.totals and bag.totals[name].lost}
    differing = [n for n, stream in bag.topics.items() if n in bag.totals and bag.totals[n].written != len(stream)]
    shares = [count / (count + bag.totals[name].received) for name, count in lost.items()]
    text = ", ".join(f"{count} of {printable(name)}" for name, count in lost.items()) or "nothing known to be lost"
    if unknown:
        text += f"; no totals of {', '.join(map(printable, unknown))}: the bag was cut off, or another program wrote it"
    if mixed:
        text += f"; not known of {', '.join(map(printable, mixed))}: several publishers that were not distinguished"
    if differing:
        text += f"; the totals of {', '.join(map(printable, differing))} disagree with the messages in the bag"
    severity = worse(
        "note" if lost or unknown or mixed else "ok",
        graded(max(shares, default=0), warning=0.01),
        graded(len(differing), warning=0),
    )
    return Finding(
        "recorder", severity, text, limit, {"lost": lost, "not_known": unknown + mixed, "differing": differing}
    )


def problems_text(check: BagCheck) -> str:
    """Return the names of the checks that found something, worst first, such as "warning: gaze gaps; note: order"."""
    found = {
        severity: [finding.check for finding in check.findings if finding.severity == severity]
        for severity in reversed(SEVERITIES[1:])
    }
    return "; ".join(f"{severity}: {', '.join(names)}" for severity, names in found.items() if names)


def check_text(check: BagCheck) -> str:
    """Return the check as text: one line per finding, with its limit at the end."""
    counts = Counter(finding.severity for finding in check.findings)
    summary = [
        f"{counts[name]} {name}{'s' * (counts[name] > 1)}" for name in ("error", "warning", "note") if counts[name]
    ]
    width = max(len(finding.check) for finding in check.findings)
    lines = [f"{check.path}: {', '.join(summary) or 'no remarks'}"]
    for finding in check.findings:
        lines.append(f"  {finding.severity:<7}  {finding.check:<{width}}  {finding.text}  [{finding.limit}]")
    return "\n".join(lines)
