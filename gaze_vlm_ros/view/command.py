"""`gaze-vlm view`: show a bag on screen, or write it as a Rerun recording or as pictures."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gaze_vlm_ros.bags.role_options import AS_THE_BAG_SAYS, Roles
from gaze_vlm_ros.bags.roles import open_with_roles
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.session.session import Session, load_session
from gaze_vlm_ros.storage.atomic import new_folder
from gaze_vlm_ros.view.pictures import frames_a_second, save_pictures
from gaze_vlm_ros.view.scene import prediction_tracks, summary_of
from gaze_vlm_ros.view.viewer import NoViewer, start_viewer

RECORDING = ".rrd"


class RerunMissing(GazeVlmError):
    """Rerun, the viewer, is not installed."""


class NoDisplay(GazeVlmError):
    """There is no display."""


class ViewExists(GazeVlmError):
    """A file or folder of that name exists already."""


class ViewNotWritable(GazeVlmError):
    """The output cannot be written."""


class BadEvery(GazeVlmError):
    """--every is not a positive number, or no pictures are written."""


def run_view(bag: Path, save: Path | None, every: int | None, roles: Roles = AS_THE_BAG_SAYS) -> int:
    """Show a bag on screen, or write it to `save`, and return the exit code, 0.

    save: a Rerun recording (.rrd) or a new folder for pictures; None = on screen. every: write every Nth frame as a
    picture; None = about one per second. Raises what load_session raises, and the errors above.
    """
    if every is not None and (every < 1 or save is None or save.suffix == RECORDING):
        raise BadEvery(f"--every {every}: expected 1 or more, together with --save FOLDER")
    if save is not None and os.path.lexists(save):
        raise ViewExists(f"{save} exists already, and nothing is overwritten; give another name")
    if save is None:
        _require_display()
    if save is not None and save.suffix != RECORDING:
        _write_pictures(load_session(bag, roles=roles), every, save)
    else:
        _show(_rerun(), bag, save, roles)
    return 0


def _require_display() -> None:
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise NoDisplay(
            "there is no display here (DISPLAY and WAYLAND_DISPLAY are not set); "
            "use --save FILE.rrd to view it elsewhere, or --save FOLDER for pictures"
        )


def _rerun() -> Any:
    os.environ.setdefault("RUST_LOG", "off")  # silence its log: errors come as exceptions too
    try:
        import rerun
    except ImportError:
        raise RerunMissing(
            "Rerun, which shows bags, is not installed: pip install rerun-sdk; --save FOLDER works without it"
        ) from None
    return rerun


def _write_pictures(session: Session, every: int | None, folder: Path) -> None:
    each = every or frames_a_second(session)
    try:
        with new_folder(folder):
            written, damaged = save_pictures(session, each, folder)
    except OSError as error:
        raise _not_writable(folder, error) from None
    left_out = f"; {damaged} damaged frames are left out" if damaged else ""
    print(f"{folder}: {written} pictures, one for every {each} frames{left_out}; {summary_of(session, [])}")


def _show(rerun: Any, path: Path, save: Path | None, roles: Roles) -> None:
    from gaze_vlm_ros.view.rerun_log import layout, log_session
    from gaze_vlm_ros.view.rrd_file import written_to

    session = load_session(path, roles=roles)
    with open_with_roles(path, roles) as bag:
        tracks = prediction_tracks(bag)
        out = rerun.RecordingStream("gaze-vlm view")
        out.send_recording_name(session.name)
        if save is not None:
            try:
                with written_to(out, save, layout(session, tracks)) as flush:
                    damaged = log_session(out, bag, session, tracks, flush)
            except OSError as error:
                raise _not_writable(save, error) from None
        else:
            address = start_viewer()
            _ask_viewer(lambda: out.connect_grpc(address, default_blueprint=layout(session, tracks)))
            damaged = log_session(out, bag, session, tracks, lambda: _ask_viewer(out.flush))
    left_out = f"; {damaged} damaged frames are left out" if damaged else ""
    place = f"{save} (open it with `rerun {save}`)" if save is not None else "on screen"
    print(f"{place}: {summary_of(session, tracks)}{left_out}")


def _ask_viewer(call: Callable[[], None]) -> None:
    try:
        call()
    except RuntimeError as error:  # Rerun raises no other kind
        reason = " ".join(str(error).split())
        raise NoViewer(f"Rerun's viewer failed: {reason}; use --save FILE.rrd") from None


def _not_writable(place: Path, error: OSError) -> ViewNotWritable:
    return ViewNotWritable(f"cannot write {place}: {error.strerror}; make room, or give another --save")
