"""What a trainer makes of an imported bag."""

from pathlib import Path

from gaze_vlm_ros.session.session import load_session, require_labels
from gaze_vlm_ros.windows.cutting import cut_windows
from training.settings import Settings


def answers(bag: Path) -> list[tuple[float, str]]:
    """(seconds from the first frame to the window's last, answer) of each window half a second before an action."""
    session = load_session(bag)
    require_labels(session)
    windows, _ = cut_windows(0, session, Settings(leads_s=(0.5,), frames=4))
    start_ns = int(session.frames.stamps_ns[0])
    return [((window.at_ns - start_ns) / 1e9, window.answer) for window in windows]
