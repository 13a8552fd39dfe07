"""Files: atomic writes, delimited tables, settings files, values for JSON, and the package's own data files."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.storage.atomic import (
        new_folder,
        remove_unfinished,
        replacing,
        sync_folder,
        write_bytes,
        write_text,
    )
    from gaze_vlm_ros.storage.json_values import json_ready
    from gaze_vlm_ros.storage.lock import FolderTaken, only_one
    from gaze_vlm_ros.storage.package_files import SharedFileMissing, shared_file
    from gaze_vlm_ros.storage.settings_file import (
        BadSettingsFile,
        load_settings_file,
        save_settings_file,
        settings_from_values,
    )
    from gaze_vlm_ros.storage.tables import (
        BadRow,
        FileMissing,
        OutOfOrder,
        Table,
        WrongColumns,
        read_table,
        require_file,
        time_order,
    )
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.storage.atomic": [
                "new_folder",
                "remove_unfinished",
                "replacing",
                "sync_folder",
                "write_bytes",
                "write_text",
            ],
            "gaze_vlm_ros.storage.json_values": ["json_ready"],
            "gaze_vlm_ros.storage.lock": ["FolderTaken", "only_one"],
            "gaze_vlm_ros.storage.package_files": ["SharedFileMissing", "shared_file"],
            "gaze_vlm_ros.storage.settings_file": [
                "BadSettingsFile",
                "load_settings_file",
                "save_settings_file",
                "settings_from_values",
            ],
            "gaze_vlm_ros.storage.tables": [
                "BadRow",
                "FileMissing",
                "OutOfOrder",
                "Table",
                "WrongColumns",
                "read_table",
                "require_file",
                "time_order",
            ],
        },
    )

__all__ = [
    "BadRow",
    "BadSettingsFile",
    "FileMissing",
    "FolderTaken",
    "OutOfOrder",
    "SharedFileMissing",
    "Table",
    "WrongColumns",
    "json_ready",
    "load_settings_file",
    "new_folder",
    "only_one",
    "read_table",
    "remove_unfinished",
    "replacing",
    "require_file",
    "save_settings_file",
    "settings_from_values",
    "shared_file",
    "sync_folder",
    "time_order",
    "write_bytes",
    "write_text",
]
