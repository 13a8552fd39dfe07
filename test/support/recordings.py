"""Small recordings in the formats that are imported, field by field as publicly documented."""

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

SIZE = (64, 48)
UTC_NS = 1_700_000_000_123_456_789
UID = "0d271871-c8ba-4249-9434-d39ce0060e58"
EGTEA_SESSION = "P26-R05-Cheeseburger"


def write_mp4(
    path: Path,
    levels: Sequence[int],
    rate: int = 30,
    size: tuple[int, int] = SIZE,
    turned: int = 0,
    mirrored: bool = False,
) -> None:
    """One plain grey frame a level; with B-frames, so that the order of packets is not that of frames.

    turned, mirrored: how a player is to show the pictures; degrees.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "10", "bf": "2", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if turned or mirrored:
            stream.set_display_rotation(turned, hflip=mirrored)
        for level in levels:
            pixels = np.full((size[1], size[0], 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def grey(number: int) -> int:
    """Level of frame `number`: neighbours differ by more than JPEG and H.264 lose."""
    return 20 + 40 * (number % 6)


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def write_cloud(folder: Path, frames: int = 150) -> Path:
    """https://docs.pupil-labs.com/neon/data-collection/data-format/: 30 Hz video, 20 Hz gaze from 1 s on.

    Gaze 0 to 9 is a fixation, 10 and 11 a saccade, 20 to 22 a blink, from 50 on the glasses are off; gaze 30 is empty.
    """
    section, recording = "e0b2c246-aaaa-bbbb-cccc-000000000000", "11112222-3333-4444-5555-666677778888"
    write_mp4(folder / "e0b2c246_0.0-5.0.mp4", [grey(i) for i in range(frames)])
    frame_ns = [UTC_NS + i * 33_333_000 + i % 3 for i in range(frames)]
    gaze_ns = [UTC_NS + 1_000_000_000 + i * 50_000_001 for i in range(60)]
    write_csv(folder / "world_timestamps.csv", ["section id", "recording id", "timestamp [ns]"],
              [[section, recording, t] for t in frame_ns])  # fmt: skip
    header = [
        "section id", "recording id", "timestamp [ns]", "gaze x [px]", "gaze y [px]", "worn", "fixation id", "blink id",
        "azimuth [deg]", "elevation [deg]",
    ]  # fmt: skip
    rows = []
    for i, t in enumerate(gaze_ns):
        x, y = ("", "") if i == 30 else (i + 0.25, 40 - i / 2)
        worn, fixation, blink = float(i < 50), 1 if i < 10 else "", 1 if 20 <= i <= 22 else ""
        rows.append([section, recording, t, x, y, worn, fixation, blink, 1.5, -2.5])
    write_csv(folder / "gaze.csv", header, rows)
    start, end = "start timestamp [ns]", "end timestamp [ns]"
    write_csv(
        folder / "fixations.csv",
        ["section id", "recording id", "fixation id", start, end, "duration [ms]", "fixation x [px]", "fixation y [px]",
         "azimuth [deg]", "elevation [deg]"],
        [[section, recording, 1, gaze_ns[0], gaze_ns[9], 450, 4.75, 37.75, 1.5, -2.5]],
    )  # fmt: skip
    write_csv(
        folder / "saccades.csv",
        ["section id", "recording id", "saccade id", start, end, "duration [ms]", "amplitude [px]", "amplitude [deg]",
         "mean velocity [px/s]", "peak velocity [px/s]"],
        [[section, recording, 1, gaze_ns[10], gaze_ns[11], 50, 1.1, 0.1, 22, 30]],
    )  # fmt: skip
    write_csv(
        folder / "blinks.csv",
        ["section id", "recording id", "blink id", start, end, "duration [ms]"],
        [[section, recording, 1, gaze_ns[20] - 5, gaze_ns[22] + 5, 100]],
    )
    write_csv(
        folder / "events.csv",
        ["recording id", "timestamp [ns]", "name", "type"],
        [
            [recording, UTC_NS, "recording.begin", "recording"],
            [recording, UTC_NS + 3_500_000_000, "pour.begin", "cloud"],
            [recording, UTC_NS + 4_000_000_000, "pour.end", "cloud"],
            [recording, UTC_NS + 4_500_000_000, "drink", "cloud"],
            [recording, UTC_NS + 5_000_000_000, "recording.end", "recording"],
        ],
    )
    imu = ["gyro x [deg/s]", "gyro y [deg/s]", "gyro z [deg/s]", "acceleration x [g]", "acceleration y [g]",
           "acceleration z [g]", "roll [deg]", "pitch [deg]", "yaw [deg]", "quaternion w", "quaternion x",
           "quaternion y", "quaternion z"]  # fmt: skip
    write_csv(
        folder / "imu.csv",
        ["section id", "recording id", "timestamp [ns]", *imu],
        [[section, recording, UTC_NS + i * 9_000_000, 90, 0, 0, 0, 0, 1, 0, 0, 90, 0.6, 0, 0, 0.8] for i in range(20)],
    )
    (folder / "scene_camera.json").write_text(
        json.dumps(
            {
                "camera_matrix": [[60.0, 0, 31.5], [0, 61.0, 23.5], [0, 0, 1]],
                "dist_coefs": [[-0.1, 0.1, 0.0, 0.0, 0.0, 0.2, 0.05, 0.03]],
                "serial_number": "404641",
                "version": "1.0",
            }
        )
    )
    (folder / "info.json").write_text(
        json.dumps({"wearer_id": "w-1", "wearer_name": "Nobody", "recording_id": recording, "start_time": UTC_NS})
    )
    return folder


EGO4D_GAZE_COLUMNS = [
    "component_idx", "component_timestamp_s", "canonical_timestamp_s", "world_index", "confidence", "norm_pos_x",
    "norm_pos_y", "base_data", "gaze_point_3d_x", "gaze_point_3d_y", "gaze_point_3d_z", "eye_center0_3d_x",
    "eye_center0_3d_y", "eye_center0_3d_z", "gaze_normal0_x", "gaze_normal0_y", "gaze_normal0_z", "eye_center1_3d_x",
    "eye_center1_3d_y", "eye_center1_3d_z", "gaze_normal1_x", "gaze_normal1_y", "gaze_normal1_z",
]  # fmt: skip
# https://ego4d-data.org/docs/data/gaze/: the first three rows of its sample.
EGO4D_SAMPLE = [
    (0.0, 0.4422956915462719, 0.440328527379919),
    (0.004056999999988875, 0.4444741922266343, 0.4417514942310474),
    (0.008062999999992826, 0.4420773281770594, 0.4421598646375868),
]


def write_ego4d(root: Path, frames: int = 150, gaze_s: float = 4.9) -> Path:
    """The video, laid out with its gaze and annotations as the data set's downloader does."""
    video = root / "full_scale" / f"{UID}.mp4"
    write_mp4(video, [grey(i) for i in range(frames)])
    later = [(round(t, 6), 0.25, 0.75) for t in np.arange(0.5, gaze_s, 0.25).tolist()]
    rows = [[0, t, t, 10583.0, 1.0, x, y, *[""] * 16] for t, x, y in [*EGO4D_SAMPLE, *later]]
    write_csv(root / "gaze" / f"{UID}.csv", EGO4D_GAZE_COLUMNS, rows)
    (root / "annotations").mkdir()
    narrations = [
        (3.5, "#C C picks a cup from the table."), (3.9, "#O A man X walks"), (4.0, "#C C opens #unsure"),
        (4.2, "#C C pours the tea"), (4.2, "#C C pours the tea"),
    ]  # fmt: skip
    narrations = [
        {"timestamp_sec": t, "timestamp_frame": round(t * 30), "_unmapped_timestamp_sec": t, "narration_text": text,
         "annotation_uid": "a"} for t, text in narrations
    ]  # fmt: skip
    passes = {
        "status": "complete",
        "narration_pass_1": {"narrations": narrations, "summaries": []},
        "narration_pass_2": {"narrations": narrations[:2], "summaries": []},
    }
    other = {"status": "complete", "narration_pass_1": {"narrations": [], "summaries": []}}
    # As of version 2; before, the videos were the file's own keys.
    (root / "annotations" / "narration.json").write_text(json.dumps({"videos": {"other": other, UID: passes}}))
    clip = {
        "video_uid": UID, "clip_uid": "c", "clip_parent_start_sec": 1.0, "clip_parent_end_sec": 5.0, "clip_id": 1,
        "action_clip_start_sec": 2.5, "action_clip_end_sec": 3.0, "action_idx": 0, "verb_label": 1, "noun_label": 2,
        "verb": "put_(place,_leave,_drop)", "noun": "tape_measure_(ruler,_tape)",
    }  # fmt: skip
    lta = {"version": "v2", "date": "", "description": "", "split": "train", "clips": [clip, clip | {"video_uid": "x"}]}
    (root / "annotations" / "fho_lta_train.json").write_text(json.dumps(lta))
    return video


BEGAZE_HEADER = [
    "[BeGaze]", "Converted from:\tsession.idf", "Date:\t22.05.2014 14:06:10", "Version:\tBeGaze 3.5.74",
    "Sample Rate:\t30", "[Run]", "Subject:\tP26", "Description:\t", "[Presentation]", "Number of Samples:\t6",
]  # fmt: skip
# (time µs, frame, x, y, event): 30 Hz samples on 24 Hz frames, so that some share one.
BEGAZE_SAMPLES = [
    (2_000_000, 0, 640.5, 480.25, "Fixation"),
    (2_033_333, 0, 641.0, 481.0, "Fixation"),
    (2_066_667, 1, 900.0, 200.0, "Saccade"),
    (2_100_000, 2, 0.0, 0.0, "Blink"),
    (2_133_333, 3, 1279.0, 959.0, "-"),
    (4_500_000, 60, 100.0, 50.0, "Fixation"),
]
LAYOUT_26 = [
    "Time", "Type", "Trial", "L Pupil Diameter [mm]", "R Pupil Diameter [mm]", "B POR X [px]", "B POR Y [px]",
    "L POR X [px]", "L POR Y [px]", "R POR X [px]", "R POR Y [px]", "L EPOS X", "L EPOS Y", "L EPOS Z", "R EPOS X",
    "R EPOS Y", "R EPOS Z", "L GVEC X", "L GVEC Y", "L GVEC Z", "R GVEC X", "R GVEC Y", "R GVEC Z", "Trigger", "Frame",
    "B Event Info",
]  # fmt: skip


def timecode(frame: int) -> str:
    seconds, rest = divmod(frame, 24)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest:02d}"


def write_begaze(
    path: Path, columns: int, samples: Sequence[tuple[int, int, float, float, str]] = BEGAZE_SAMPLES
) -> None:
    """Either layout of the data set's gaze files, with a message among the samples."""
    lines = [f"## {line}" for line in BEGAZE_HEADER] + ["## "] * 23
    if columns == 7:
        lines.append("\t".join(["Time", "Type", "Trial", "L POR X [px]", "L POR Y [px]", "Frame", "L Event Info"]))
    else:
        lines.append("\t".join(LAYOUT_26))
    for time_us, frame, x, y, event in samples:
        if columns == 7:
            row = [time_us, "SMP", 1, x, y, frame, event]
        else:
            row = [time_us, "SMP", 1, 3.1, 3.2, x, y, -1, -1, -2, -2, *range(12), 0, timecode(frame), event]
        lines.append("\t".join(map(str, row)))
    lines.insert(-1, "2133334\tMSG\t1\t# Message: sync")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def write_egtea(root: Path, columns: int = 26, frames: int = 132, rate: int = 24) -> Path:
    """The video, smaller than the image that gaze refers to, with its gaze and the annotations of all sessions."""
    video = root / "videos" / f"{EGTEA_SESSION}.mp4"
    write_mp4(video, [grey(i) for i in range(frames)], rate=rate)
    write_begaze(root / "gaze_data" / f"{EGTEA_SESSION}.txt", columns)
    (root / "action_labels.csv").write_text(
        "# Clip ID (Unique, used only internally); Clip Prefix (Unique); Video Session; Starting Time (ms);  "
        "Ending Time (ms); Action Label; Verb Label; Noun Label(s)\n"
        f"1; {EGTEA_SESSION}-3200-4000; {EGTEA_SESSION}; 3200; 4000; Take eating_utensil; Take; eating_utensil\n"
        "2; P07-R01-PastaSalad-91730-93630; P07-R01-PastaSalad; 91730; 93630; Cut tomato; Cut; tomato\n"
        f"3; {EGTEA_SESSION}-4000-5000; {EGTEA_SESSION}; 4000; 5000; Transfer cucumber,cutting_board,bowl; Transfer; "
        "cucumber,cutting_board,bowl\n"
    )
    return video


def write_egoexo4d(root: Path, frames: int = 150, samples: int = 49, numbered: bool = True) -> Path:
    """A take as the data set's downloader lays it out: a small copy of the video, gaze in px of the full one."""
    folder = root / "takes" / "uniandes_cooking_1"
    video = folder / "frame_aligned_videos" / "downscaled" / "448" / "aria01_214-1.mp4"
    write_mp4(video, [grey(i) for i in range(frames)])
    rows: list[list[object]] = [[n, 700.5 + n, 900.25 - n] for n in range(samples)]
    rows[7][1:] = ["", ""]
    header = ["frame_num", "x", "y"]
    write_csv(
        folder / "eye_gaze" / "general_eye_gaze_2d.csv",
        header if numbered else header[1:],
        rows if numbered else [row[1:] for row in rows],
    )
    takes = [{"take_name": "other"}, {"take_name": folder.name, "participant_uid": 17, "task_name": "Cooking Noodles"}]
    (root / "takes.json").write_text(json.dumps(takes))
    return folder


TOBII_CREATED_NS = 1_779_027_168_123_456_000  # 2026-05-17T14:12:48.123456Z


def write_tobii_g3(folder: Path, frames: int = 75, gaze_s: float = 2.9) -> Path:
    """Tobii Pro Glasses 3: 25 Hz video, 50 Hz gaze from 0.0123 s on; sample 10 has no gaze, sample 20 only one eye."""
    write_mp4(folder / "scenevideo.mp4", [grey(i) for i in range(frames)], rate=25)
    lines = []
    for number in range(round(gaze_s * 50)):
        eye = {"gazeorigin": [30.0, 0.0, 0.0], "gazedirection": [0, 0, 1], "pupildiameter": 3.0 + number / 100}
        data = {
            "gaze2d": [0.25 + number / 1000, 0.75], "gaze3d": [0.0, 0.0, 600.0 + number], "eyeleft": eye,
            "eyeright": {**eye, "gazeorigin": [-30.0, 0.0, 0.0], "pupildiameter": 2.5},
        }  # fmt: skip
        if number == 10:
            data = {}
        if number == 20:
            data["eyeright"] = {}
        lines.append(json.dumps({"type": "gaze", "timestamp": 0.0123 + number / 50, "data": data}))
    lines.insert(3, json.dumps({"type": "other", "timestamp": 0.05, "data": {}}))
    with gzip.open(folder / "gazedata.gz", "wt") as stream:
        stream.write("\n".join(lines) + "\n")
    calibration = {
        "position": [0, 0, 0], "rotation": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "focal-length": [60.0, 61.0], "skew": 0,
        "principal-point": [31.5, 23.5], "radial-distortion": [-0.1, 0.2, 0.3],
        "tangential-distortion": [0.01, 0.02, 0], "resolution": list(SIZE),
    }  # fmt: skip
    about = {
        "uuid": "u-1", "name": "kitchen 1", "version": "1", "created": "2026-05-17T14:12:48.123456Z", "duration": 3.0,
        "scenecamera": {"file": "scenevideo.mp4", "snapshots": [], "camera-calibration": calibration},
        "gaze": {"file": "gazedata.gz", "samples": len(lines) - 1, "valid-samples": len(lines) - 2},
        "meta-folder": "meta",
    }  # fmt: skip
    (folder / "recording.g3").write_text(json.dumps(about))
    (folder / "meta").mkdir()
    (folder / "meta" / "participant").write_text(json.dumps({"name": "Ada"}))
    (folder / "meta" / "RuSerial").write_text("TG03B-1\n")
    return folder


def write_pupil(folder: Path, frames: int = 90, samples: int = 100) -> Path:
    """Pupil Core: 30 Hz video and 40 Hz gaze on a clock of their own, 5000 s at the beginning."""
    import msgpack

    write_mp4(folder / "world.mp4", [grey(i) for i in range(frames)])
    np.save(folder / "world_timestamps.npy", 5000.25 + np.arange(frames) / 30)
    times_s = 5000.3 + np.arange(samples) / 40
    with (folder / "gaze.pldata").open("wb") as stream:
        for number, time_s in enumerate(times_s.tolist()):
            base = [{"id": eye, "diameter_3d": 3.0 + eye + number / 100, "timestamp": time_s} for eye in (0, 1)]
            datum = {
                "topic": "gaze.3d.01.", "norm_pos": [0.25, 0.75 - number / 1000],
                "confidence": 0.1 if number == 5 else 0.9, "timestamp": time_s,
                "base_data": base if number != 7 else base[:1],
            }  # fmt: skip
            stream.write(msgpack.packb(["gaze.3d.01.", msgpack.packb(datum)]))
    np.save(folder / "gaze_timestamps.npy", times_s)
    intrinsics = {
        "version": 1,
        str(SIZE): {
            "camera_matrix": [[60.0, 0, 31.5], [0, 61.0, 23.5], [0, 0, 1]],
            "dist_coefs": [[-0.1, 0.2, 0.01, 0.02, 0.3]], "cam_type": "radial",
        },
    }  # fmt: skip
    (folder / "world.intrinsics").write_bytes(msgpack.packb(intrinsics))
    about = {
        "recording_name": "2026_05_17", "recording_uuid": "r-1", "start_time_synced_s": 5000.0,
        "start_time_system_s": 1_779_000_000.5, "meta_version": "2.3", "min_player_version": "2.0",
    }  # fmt: skip
    (folder / "info.player.json").write_text(json.dumps(about))
    return folder


def write_pupil_export(recording: Path) -> Path:
    """What Pupil Player exports of the recording that `write_pupil` wrote."""
    folder = recording / "exports" / "000"
    folder.mkdir(parents=True)
    (folder / "world.mp4").write_bytes((recording / "world.mp4").read_bytes())
    header = ["gaze_timestamp", "world_index", "confidence", "norm_pos_x", "norm_pos_y", "base_data"]
    rows = [[5000.3 + n / 40, 0, 0.9, 0.25, 0.75 - n / 1000, "5000.3-0"] for n in range(100)]
    write_csv(folder / "gaze_positions.csv", header, rows)
    times = np.load(recording / "world_timestamps.npy")
    write_csv(folder / "world_timestamps.csv", ["# timestamps [seconds]", "pts"], [[t, i] for i, t in enumerate(times)])
    return folder


HOLO_TICK = 637_932_000_001_234_567  # ticks since the year 1, 2022-07-18
HOLO_START_NS = (HOLO_TICK - 621_355_968_000_000_000) * 100


def write_holoassist(root: Path, frames: int = 90) -> Path:
    """A session whose head turns left by 0.2 degrees a frame; gaze stays at one point, 0.5 m ahead at first.

    Every third row of the eyes repeats the one before; row 10 is invalid.
    """
    folder = root / "R007-7July-DSLR"
    export = folder / "Export_py"
    write_mp4(export / "Video_pitchshift.mp4", [grey(i) for i in range(frames)])
    (export / "Video").mkdir()
    (export / "Eyes").mkdir()
    (export / "Video" / "VideoMp4Timing.txt").write_text(f"{HOLO_TICK}\n{HOLO_TICK + frames * 333_333}\n")
    numbers = [60, 0, 31.5, 0, 61, 23.5, 0, 0, 1, 0, 0, *SIZE]
    (export / "Video" / "Intrinsics.txt").write_text("\t".join(map(str, numbers)))
    poses, eyes = [], []
    for i in range(frames):
        tick = HOLO_TICK + i * 333_333
        turn = np.radians(0.2 * i)
        pose = np.eye(4)
        pose[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
        pose[:3, 3] = [0.1, 0.2, 1.5]
        poses.append([i / 30, tick, *pose.ravel()])
        own = tick + 50_000 if i % 3 != 2 else tick - 333_333 + 50_000
        eyes.append([i / 30, own, 0.1, 0.2, 1.5, 2.0, 0.0, 0.0, int(i != 10)])
    (export / "Video" / "Pose_sync.txt").write_text("\n".join("\t".join(map(str, row)) for row in poses) + "\n")
    (export / "Eyes" / "Eyes_sync.txt").write_text("\n".join("\t".join(map(str, row)) for row in eyes) + "\n")
    said = {"Verb": "open", "Adjective": "none", "Noun": "battery_door", "Action Correctness": "Correct Action"}
    wrong = said | {"Verb": "close", "Adjective": "small", "Action Correctness": "Wrong Action, corrected by performer"}
    events = [
        {"id": 1, "label": "Fine grained action", "start": 0.5, "end": 1.0, "attributes": said},
        {"id": 2, "label": "Conversation", "start": 0.6, "end": 1.0, "attributes": {}},
        {"id": 3, "label": "Fine grained action", "start": 1.5, "end": 2.0, "attributes": wrong},
    ]
    (root / "labels.json").write_text(json.dumps([{"video_name": folder.name, "events": events}]))
    return folder


def write_egoexolearn(root: Path, frames: int = 90) -> Path:
    """A video with gaze of every frame; frames 5 and 6 are placeholders, frame 7 is invalid."""
    uid = "0d271871-c8ba-4249-9434-d39ce0060e58"
    write_mp4(root / "full" / f"{uid}.mp4", [grey(i) for i in range(frames)])
    gaze = np.stack([0.25 + np.arange(frames) / 400, np.full(frames, 0.75), np.ones(frames)], axis=1)
    gaze[5:7, :2] = [[0, 0], [0.5, 0.5]]
    gaze[7, 2] = 0
    (root / "full" / "gazes_30fps_npy").mkdir()
    np.save(root / "full" / "gazes_30fps_npy" / f"{uid}.npy", gaze)
    header = ["video_uid", "annotation_uid", "subset", "view", "scene", "start_sec", "end_sec", "narration_en",
              "narration_en_no_hand_prompt"]  # fmt: skip
    rows = [[uid, 1, "train", "ego", "lab", 0.5, 1.25, "The left hand takes a pipette.", "Takes a pipette."],
            ["other", 2, "train", "exo", "kitchen", 0, 9, "Cuts.", "Cuts."]]  # fmt: skip
    write_csv(root / "fine_annotation_trainval_en.csv", header, rows)
    return root / "full" / f"{uid}.mp4"
