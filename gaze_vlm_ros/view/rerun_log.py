"""A bag as a Rerun recording: frames, gaze, labels, delays and predictions, at their times of acquisition."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import rerun as rr
import rerun.blueprint as rrb
from numpy.typing import NDArray

from gaze_vlm_ros.bags.reader import Bag
from gaze_vlm_ros.bags.topic_stream import TopicStream
from gaze_vlm_ros.session.session import LabelTrack, Session
from gaze_vlm_ros.video.frame_stream import FrameStream
from gaze_vlm_ros.video.images import DamagedImage, UnknownEncoding, encode_jpeg, viewable_kind
from gaze_vlm_ros.view.pictures import TRAIL_RGB, UNUSABLE_RGB, USABLE_RGB
from gaze_vlm_ros.view.scene import GazeOnPicture, PredictionTrack, gaze_on_picture

TIMELINE, ELAPSED = "acquisition", "elapsed"  # ROS time; seconds since the first frame
CAMERA, GAZE, TRAIL, FOCUS, LABEL, PREDICTION, DELAY = (
    "camera", "camera/gaze", "camera/trail", "camera/focus", "label", "prediction", "delay",
)  # fmt: skip
FOCUS_RGB = (0, 200, 255)
FLUSH_EACH = 64  # frames; at most some tens of MB
_STILL_TYPES = {"jpeg": "image/jpeg", "png": "image/png"}


def log_session(
    out: rr.RecordingStream,
    bag: Bag,
    session: Session,
    tracks: list[PredictionTrack],
    flush: Callable[[], None],
) -> int:
    """Log a whole bag and return the number of damaged frames, which are left out.

    flush: empties Rerun's buffer; called regularly.
    """
    start_ns = int(session.frames.stamps_ns[0])
    gaze = None
    if session.gaze is not None:
        gaze = gaze_on_picture(session.gaze, session.frames.size)
        _log_gaze(out, gaze, start_ns, radius_px=session.frames.size[0] / 40)
    if session.labels is not None:
        _log_labels(out, session.labels, start_ns)
    for stream in bag.topics.values():
        if stream.is_stamped and len(stream):
            _log_delay(out, stream, start_ns)
    for track in tracks:
        _log_predictions(out, track, start_ns, radius_px=session.frames.size[0] / 80)
    damaged = 0
    for index, stamp_ns in enumerate(session.frames.stamps_ns.tolist()):
        if index % FLUSH_EACH == 0:
            flush()
        _set_time(out, stamp_ns, start_ns)
        try:
            data, media_type = _still(session.frames, index)
        except (DamagedImage, UnknownEncoding):
            damaged += 1
            continue
        out.log(CAMERA, rr.EncodedImage(contents=data, media_type=media_type))
        if gaze is not None:
            out.log(TRAIL, rr.LineStrips2D([gaze.trail(stamp_ns)], colors=[TRAIL_RGB]))
    flush()
    return damaged


def layout(session: Session, tracks: list[PredictionTrack]) -> rrb.Blueprint:
    """Return the screen layout: the picture on the left; labels, predictions and delays on the right."""
    lanes = [LABEL, *(f"{PREDICTION}{track.topic}/best" for track in tracks)]
    views: list[rrb.View] = [rrb.StateTimelineView(origin="/", contents=lanes, name="label and prediction")]
    for track in tracks:
        place = f"{PREDICTION}{track.topic}"
        views.append(rrb.TimeSeriesView(origin=f"{place}/probability", name=f"{track.topic}: probability"))
        views.append(rrb.TextLogView(origin=f"{place}/text", name=f"{track.topic}: changes"))
    views.append(rrb.TimeSeriesView(origin=DELAY, name="arrival minus acquisition, ms"))
    return rrb.Blueprint(
        rrb.Horizontal(rrb.Spatial2DView(origin=CAMERA, name=session.name), rrb.Vertical(*views)),
        rrb.TimePanel(timeline=TIMELINE),
        collapse_panels=True,
    )


def _times(stamps_ns: NDArray[np.int64], start_ns: int) -> list[rr.TimeColumn]:
    return [
        rr.TimeColumn(TIMELINE, timestamp=stamps_ns.astype("datetime64[ns]")),
        rr.TimeColumn(ELAPSED, duration=(stamps_ns - start_ns).astype("timedelta64[ns]")),
    ]


def _set_time(out: rr.RecordingStream, stamp_ns: int, start_ns: int) -> None:
    out.set_time(TIMELINE, timestamp=np.datetime64(stamp_ns, "ns"))
    out.set_time(ELAPSED, duration=np.timedelta64(stamp_ns - start_ns, "ns"))


def _still(frames: FrameStream, index: int) -> tuple[bytes, str]:
    """Return JPEG or PNG of a frame, copied if the bag has one of them. Raises DamagedImage, UnknownEncoding."""
    rgb = frames.rgb(index)  # decode it, to detect damage
    message = frames.message(index)
    media_type = _STILL_TYPES.get(viewable_kind(message))
    return (bytes(message.data), media_type) if media_type else (encode_jpeg(rgb), "image/jpeg")


def _log_gaze(out: rr.RecordingStream, gaze: GazeOnPicture, start_ns: int, radius_px: float) -> None:
    known = np.isfinite(gaze.xy).all(axis=1)
    colours = np.where(gaze.usable[:, None], USABLE_RGB, UNUSABLE_RGB).astype(np.uint8)
    # Log an empty entry for a sample without an estimate; otherwise the previous ring would stay.
    columns = rr.Ellipses2D.columns(
        centers=gaze.xy[known],
        half_sizes=np.full((int(known.sum()), 2), radius_px),
        colors=colours[known],
    )
    out.send_columns(GAZE, _times(gaze.stamps_ns, start_ns), columns.partition(known.astype(int)))


def _log_labels(out: rr.RecordingStream, labels: LabelTrack, start_ns: int) -> None:
    # An empty state ends the previous one, as an empty label does.
    out.send_columns(LABEL, _times(labels.starts_ns, start_ns), rr.StateChange.columns(state=labels.texts))


def _log_delay(out: rr.RecordingStream, stream: TopicStream, start_ns: int) -> None:
    stamps_ns = stream.stamps_ns
    order = np.argsort(stamps_ns, kind="stable")
    delays_ms = (stream.arrivals_ns - stamps_ns)[order] / 1e6
    place = f"{DELAY}{stream.topic}"
    out.log(place, rr.SeriesLines(names=stream.topic), static=True)
    out.send_columns(place, _times(stamps_ns[order], start_ns), rr.Scalars.columns(scalars=delays_ms))


def _log_predictions(out: rr.RecordingStream, track: PredictionTrack, start_ns: int, radius_px: float) -> None:
    place, times = f"{PREDICTION}{track.topic}", _times(track.stamps_ns, start_ns)
    for name, values in [*track.probabilities.items(), ("everything else", track.other)]:
        series = f"{place}/probability/{rr.escape_entity_path_part(name)}"
        out.log(series, rr.SeriesLines(names=name), static=True)
        out.send_columns(series, times, rr.Scalars.columns(scalars=values))
    known = np.isfinite(track.focus).all(axis=1)
    out.send_columns(
        FOCUS,
        times,
        rr.Points2D.columns(
            positions=track.focus[known], radii=np.full(known.sum(), radius_px), colors=[FOCUS_RGB] * int(known.sum())
        ).partition(known.astype(int)),
    )
    times = _times(track.stamps_ns[track.changes], start_ns)
    out.send_columns(f"{place}/best", times, rr.StateChange.columns(state=[track.best[row] for row in track.changes]))
    out.send_columns(f"{place}/text", times, rr.TextLog.columns(text=[track.texts[row] for row in track.changes]))
