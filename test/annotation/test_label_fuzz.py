"""Label files that no program writes: each is read, or refused in one line."""

from __future__ import annotations

import json
import os
import random
from functools import partial
from pathlib import Path

import pytest
from odd_inputs import Tally, odd
from small_bags import write_small_bag

from gaze_vlm_ros.annotation.label_import import import_labels
from gaze_vlm_ros.labels.label_file import label_file_path
from gaze_vlm_ros.session.session import load_session

INPUTS, SOAK_INPUTS = 240, round(20_000 * float(os.environ.get("SOAK_SCALE", "1")))
ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><HEADER><MEDIA_DESCRIPTOR MEDIA_URL="a.mp4" TIME_ORIGIN="500"/></HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1000"/>
<TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="2500"/></TIME_ORDER>
<TIER TIER_ID="actions"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>take the mug</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="verbs" PARENT_REF="actions"><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a2" ANNOTATION_REF="a1">
<ANNOTATION_VALUE>take</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>
"""
NARRATIONS = [
    {"timestamp_sec": 1.5, "narration_text": "#C C takes the mug"},
    {"timestamp_sec": 3.0, "narration_text": "#C C pours"},
]
CLIP = {
    "video_uid": "bag", "clip_parent_start_sec": 1.0, "action_clip_start_sec": 0.5, "action_clip_end_sec": 2.0,
    "verb": "put_(place)", "noun": "mug",
}  # fmt: skip
GOOD = {
    "table.csv": "start_s,end_s,label,verb\n1.5,2.5,take the mug,take\n3.25,4.0,pour,pour\n4.5,5.0,put,\n",
    "semicolon.csv": 'Begin Time - ss.msec;Duration - ss.msec;Action\n1,5;0,5;"take; now"\n3,25;1,0;pour\n',
    "clock.tsv": "begin\tend\ttext\n00:00:01.500\t0:02.5\ttake\n00:03\t00:04\tpour\n",
    "dates.csv": "timestamp,label\n2026-09-21T14:13:21.5+00:00,take\n2026-09-21 14:13:23,pour\n",
    "frames.csv": "start frame,end frame,label\n10,20,take\n30,40,pour\n",
    "boris.csv": "Time,Behavior,Behavior type,Media file\n1.5,take,START,a.mp4\n2.5,take,STOP,a.mp4\n"
    "3.0,wink,POINT,a.mp4\n",
    "epic.csv": "video_id,start_timestamp,stop_timestamp,start_frame,stop_frame,narration,verb,noun\n"
    "P01,00:00:01.50,00:00:02.50,90,150,take mug,take,mug\n",
    "cues.srt": "1\n00:00:01,500 --> 00:00:02,5\ntake the mug\n\n2\n00:00:03,000 --> 00:00:04,000\n<i>pour</i>\n",
    "cues.vtt": "WEBVTT\n\n00:01.500 --> 00:02.500\ntake &amp; hold\n\n00:00:03.000 --> 00:00:04.000\npour\n",
    "elan.eaf": ELAN,
    "narration.json": json.dumps({"videos": {"bag": {"narration_pass_1": {"narrations": NARRATIONS}}}}),
    "lta.json": json.dumps({"version": "v2", "clips": [CLIP]}),
}


@pytest.mark.parametrize("inputs", [INPUTS, pytest.param(SOAK_INPUTS, marks=pytest.mark.soak)])
def test_odd_label_files_are_read_or_refused_in_one_line(tmp_path: Path, inputs: int) -> None:
    bag = write_small_bag(tmp_path / "bag", seed=0, takes=2, gaze=False)
    tally = Tally()
    names = sorted(GOOD)
    for number in range(inputs):
        name = names[number % len(names)]
        drawn = random.Random(f"{number} {name}")
        file = tmp_path / name
        file.write_bytes(odd(GOOD[name].encode(), drawn))
        offset_s = drawn.choice((0.0,) * 11 + (1e9,))
        done = tally.take(f"input {number}, {name}", partial(import_labels, bag, file, replace=True, offset_s=offset_s))
        if done is not None:  # what was written is read again, as often as it was said to be
            labels = load_session(bag).labels
            assert labels is not None
            assert sum(map(bool, labels.texts)) == done.labels
            label_file_path(bag).unlink()
    tally.check(inputs, growth_mb=300)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_each_good_file_is_read(tmp_path: Path, name: str) -> None:
    bag = write_small_bag(tmp_path / "bag", seed=0, takes=2)
    (tmp_path / name).write_text(GOOD[name])
    assert import_labels(bag, tmp_path / name).labels in (1, 2, 3)


@pytest.mark.parametrize("inputs", [INPUTS // 4, pytest.param(SOAK_INPUTS // 4, marks=pytest.mark.soak)])
def test_an_odd_label_file_beside_a_bag_is_read_or_refused_in_one_line(tmp_path: Path, inputs: int) -> None:
    bag = write_small_bag(tmp_path / "bag", seed=0, takes=2)
    (tmp_path / "good.csv").write_text(GOOD["table.csv"])
    import_labels(bag, tmp_path / "good.csv")
    good = label_file_path(bag).read_bytes()
    tally = Tally()
    for number in range(inputs):
        label_file_path(bag).write_bytes(odd(good, random.Random(number)))
        tally.take(f"input {number}", lambda: load_session(bag))
    tally.check(inputs, growth_mb=300)
