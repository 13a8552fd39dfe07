"""Exporters: bags as data sets that other programs train on, one module per format. No ROS needed."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.exporters.episode import Episode, write_episode
    from gaze_vlm_ros.exporters.grid import Grid, lay_grid, typical_rate_hz
    from gaze_vlm_ros.exporters.lerobot import CannotExport, PyarrowMissing, export_lerobot
    from gaze_vlm_ros.exporters.output_folder import ExportExists, ExportNotWritable, export_folder
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.exporters.episode": ["Episode", "write_episode"],
            "gaze_vlm_ros.exporters.output_folder": ["ExportExists", "ExportNotWritable", "export_folder"],
            "gaze_vlm_ros.exporters.grid": ["Grid", "lay_grid", "typical_rate_hz"],
            "gaze_vlm_ros.exporters.lerobot": ["CannotExport", "PyarrowMissing", "export_lerobot"],
        },
    )

__all__ = [
    "CannotExport",
    "Episode",
    "ExportExists",
    "ExportNotWritable",
    "Grid",
    "PyarrowMissing",
    "export_folder",
    "export_lerobot",
    "lay_grid",
    "typical_rate_hz",
    "write_episode",
]
