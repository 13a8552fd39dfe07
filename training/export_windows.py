"""Training windows as tar files for the webdataset package, cut as fit.py cuts them with the same settings.

    python training/export_windows.py --config config/fit_smolvlm.yaml --out datasets/bench BAG...

Each part of the split has files of its own: training-000000.tar, validation-000000.tar, test-000000.tar.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tqdm import tqdm

from gaze_vlm_ros.errors import GazeVlmError, exit_code
from gaze_vlm_ros.exporters.output_folder import export_folder, require_absent
from gaze_vlm_ros.windows.cutting import NoWindows, reasons_text
from training.data.recordings import find_bags, load_recordings
from training.data.split import split_sessions
from training.data.tar_shards import PartCounts, TarShardWriter, write_recording
from training.run.run_folder import SETTINGS
from training.settings import load_settings, save_settings

SUMMARY = "dataset.json"


class BadShardSize(GazeVlmError):
    """No tar file can be of this size."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    settings, out = load_settings(arguments.config, arguments.set), arguments.out
    if arguments.shard_mb <= 0:
        raise BadShardSize(f"--shard-mb {arguments.shard_mb:g}: expected more than 0")
    require_absent(out)
    recordings = load_recordings(find_bags(arguments.bags), settings)
    split = asdict(split_sessions(recordings, settings))
    total = sum(len(recording.windows) for recording in recordings)
    counts = {part: PartCounts() for part, chosen in split.items() if chosen}
    with export_folder(out), tqdm(total=total, desc="windows", unit="window", mininterval=0.5) as bar:
        save_settings(settings, out / SETTINGS)
        files = {}
        for part in counts:
            shards = TarShardWriter(out, part, round(arguments.shard_mb * 1e6))
            try:
                for number in split[part]:
                    write_recording(recordings[number], number, part, settings, shards, counts[part], bar.update)
            finally:
                shards.close()
            files[part] = shards.files
        if not counts["training"].windows:
            dropped = reasons_text(counts["training"].dropped) or "no action in any bag"
            raise NoWindows(f"the training sessions give no window: {dropped}")
        summary = {part: {**vars(found), "files": files[part]} for part, found in counts.items()}
        (out / SUMMARY).write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for part, found in counts.items():
        dropped = reasons_text(dict(sorted(found.dropped.items()))) or "none"
        print(
            f"{part}: {found.windows} windows, {found.with_gaze} with gaze, of {len(split[part])} bags in "
            f"{len(files[part])} files; left out: {dropped}"
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, help="recipe, a YAML file (default: defaults of training/settings.py)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the new data set")
    parser.add_argument("--shard-mb", type=float, default=500, metavar="N", help="of a tar file, about (default: 500)")
    parser.add_argument("bags", nargs="+", metavar="BAG", help="bag folders, .mcap files, folders of bags, or globs")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code("export_windows.py", main))
