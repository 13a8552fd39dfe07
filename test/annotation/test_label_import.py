"""Annotation files as other programs write them, and as people break them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from gaze_vlm_ros.annotation.label_export import ExportExists, UnknownExport, export_labels
from gaze_vlm_ros.annotation.label_import import columns_from, import_labels
from gaze_vlm_ros.annotation.placement import PlacementSummary
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.label_file import LabelsExist
from gaze_vlm_ros.session.session import load_session, require_labels

Row = tuple[float, float | None, str]


def imported(bag: Path, content: str | bytes, name: str = "labels.csv", **options) -> PlacementSummary:
    file = bag.parent / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return import_labels(bag, file, **options)


def rows_of(bag: Path) -> list[Row]:
    """(start s, end s, text) of the labels beside a bag."""
    session = load_session(bag)
    assert session.label_file
    first_ns = int(session.frames.stamps_ns[0])
    return [
        ((x.start_ns - first_ns) / 1e9, None if x.end_ns is None else (x.end_ns - first_ns) / 1e9, x.text)
        for x in session.label_file.labels
    ]


POURED: list[Row] = [(1.0, 2.5, "pour tea"), (3.0, 4.0, "stir")]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("start,end,text\n1,2.5,pour tea\n3,4,stir\n", {}),
        ("text,end_ms,start_ms\npour tea,2500,1000\n\nstir,4000,3000\n", {}),
        ("Start (s);Duration;Label\n1,0;1,5;pour tea\n3;1;stir\n", {}),  # a comma for the decimal point
        ("begin\tstop\taction\n00:01\t00:02.5\tpour tea\n0:00:03.0\t0:00:04\tstir\n", {}),
        ("start_timestamp,stop_timestamp,narration\n0:00:01.0,0:00:02.5,pour tea\n00:00:03.00,00:00:04.00,stir\n", {}),
        ("start_frame,end_frame,label\n10,25,pour tea\n30,40,stir\n", {}),
        ("start_frame,end_frame,label\n11,26,pour tea\n31,41,stir\n", {"first_frame_number": 1}),
        ("start_frame,end_frame,label\n25,62.5,x\n", {"frame_rate_hz": 25.0, "expected": "frame"}),
        ("start_frame,end_frame,label\n30,75,pour tea\n90,120,stir\n", {"frame_rate_hz": 30.0}),
        ("onset,offset,label\n1790001001,1790001002.5,pour tea\n1790001003.000,1790001004,stir\n", {}),
        ("start_ns,end_ns,label\n1790001001000000000,1790001002500000000,pour tea\n"
         "1790001003000000000,1790001004000000000,stir\n", {}),
        ("start,end,label\n2026-09-21T14:30:01Z,2026-09-21T14:30:02.5Z,pour tea\n"
         "2026-09-21T16:30:03+02:00,2026-09-21 14:30:04,stir\n", {}),
        ("a,b,c\n1,2.5,pour tea\n3,4,stir\n", {"columns": {"start": "a", "end": "b", "text": "c"}}),
        ("a,b,c\n0.1,0.25,pour tea\n0.3,0.4,stir\n",
         {"columns": {"start": "a", "end": "b", "text": "c"}, "unit": "s", "scale": 10}),
        ("start,end,verb,noun\n1,2.5,pour,tea\n3,4,stir,\n", {}),
        ("start,end,text\n0.5,2,pour tea\n2.5,3.5,stir\n", {"offset_s": 0.5}),
        ("\ufeffstart,end,text\n1,2.5,pour tea\n3,4,stir\n", {}),
        ("start,end,text\r\n1,2.5,\"pour\r\n tea\"\r\n3,4,stir\r\n", {}),
        ("start,end,text\n1,2.5,pour tea\n3,4,stir\n".encode("utf-16"), {}),
        # EPIC-KITCHENS' tables: times are better than numbers of frames, and start and end have one unit.
        ("start_timestamp,stop_timestamp,start_frame,stop_frame,narration\n0:00:01.0,0:00:02.5,60,150,pour tea\n"
         "0:00:03.0,0:00:04.0,180,240,stir\n", {}),
        ("Begin Time - hh:mm:ss.ms\tEnd Time - ss.msec\tLabel\n00:00:01.000\t2.5\tpour tea\n00:00:03.000\t4\tstir\n",
         {"columns": {"start": "Begin Time - hh:mm:ss.ms", "end": "End Time - ss.msec"}}),  # ELAN
        ("Time,Behavior,Status\n1,pour tea,START\n2.5,pour tea,STOP\n3,stir,START\n4,stir,STOP\n", {}),  # BORIS
        ("video,start,end,text\na.mp4,1,2.5,pour tea\na.mp4,3,4,stir\n", {}),
    ],
)  # fmt: skip
def test_tables_of_every_kind(bare: Path, content: str | bytes, options: dict) -> None:
    if options.pop("expected", "") == "frame":
        with pytest.raises(GazeVlmError, match=r"line 2: 'end_frame' is 62\.5, expected the whole number of a frame"):
            imported(bare, content, **options)
        return
    scale = options.pop("scale", 1)
    placed = imported(bare, content, **options)
    assert [(a * scale, (b or 0) * scale, text) for a, b, text in rows_of(bare)] == POURED
    assert (placed.new, placed.left_out) == (2, {})


def test_what_does_not_fit_is_counted(bare: Path) -> None:
    placed = imported(
        bare,
        "start,end,text\n-9,-8,early\n-1,1,on the edge\n2,5,long\n4,6,next\n4,6,twin\n7,7,no time\n8,9,\n"
        "25,26,just after\n99,100,late\n",
    )
    assert rows_of(bare) == [(-1, 1, "on the edge"), (2, 4, "long"), (4, 6, "next"), (25, 26, "just after")]
    assert placed.left_out == {
        "labels that end before the video starts": 1,
        "labels that start more than 5 s after the video": 1,
        "remainders of actions that the next one cuts short": 1,
        "actions that start at the same time as another": 1,
        "actions that end before they start": 1,
        "rows without a text": 1,
    }
    assert "1 rows without a text" in placed.table()
    # From -1 to 1 s, of which 1 s is in the video; and 4 s more, of 23.9.
    assert placed.labelled_share == pytest.approx(5 / 23.9)


def test_a_start_alone_holds_until_the_next(bare: Path) -> None:
    imported(bare, "time,label\n1,pour\n2,stir\n")
    assert rows_of(bare) == [(1, 2, "pour"), (2, None, "stir")]
    assert require_labels(load_session(bare)).texts == ["pour", "stir"]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", {}, "no column is known as the start of a label; its columns are none"),
        ("when,text\n1,a\n", {}, "its columns are when, text; name one, such as --column start=NAME"),
        ("start,what\n1,a\n", {}, "no column is known as its text"),
        ("start,text\n1,a\n", {"columns": {"text": "label"}}, "has no column 'label'"),
        ("start,text\n1,a\n", {"columns": {"txt": "text"}}, "--column txt=text: expected one of start, end"),
        ("start,text\n1,a\nsoon,b\n", {}, "line 3: 'start' is 'soon', expected a number (s)"),
        ("start,text\nnan,a\n", {}, "line 2: 'start' is 'nan'"),
        ("start,end,text\n1\n", {}, "line 2: 1 fields, but 'text' is field 3"),
        ("start,text\n0:99:99x,a\n", {}, "line 2: 'start' is '0:99:99x'"),
        ("start,text\n2026-13-45T00:00:00,a\n", {}, "expected a date and time"),
        ("start_ns,text\n99999999999999999999999,a\n", {}, "after the year 2262"),
        ('start,text\n1,"a\n', {}, "it is not a text table"),
        (
            b"start,text\n1,caf\xe9\n",
            {},
            "is not utf-8 text (line 2: byte 0xe9); give its encoding, such as --encoding",
        ),
        (b"start,text\n1,caf\xe9\n", {"encoding": "latin-99"}, "there is no encoding 'latin-99'"),
        ("start,text\n1,a\n".encode("utf-16-le"), {}, "NUL characters"),
        ("start,text\n100,a\n200,b\n", {}, "none of the 2 labels is in the 23.9 s"),
        ("start,text\n1,\n", {}, "no label to write beside"),
        ("start,text\n1,a\n", {"tier": "x"}, "csv takes no --tier"),
        ("start,text\n1,a\n", {"unit": "hours"}, "--unit hours: expected one of s, ms"),
        ("start_frame,duration_frames,text\n1,3,a\n", {}, "durations in frames"),
        ("video_id,start,text\na,1,x\nb,2,y\n", {}, "its column 'video_id' names several videos (a, b); keep the rows"),
        ("time,behavior,status\n1,x,STOP\n", {}, "line 2: 'x' stops without having started"),
        ("start,end_frame,text\n1,9,x\n", {}, "start is 'start' (s) and end is 'end_frame' (frame): name columns"),
    ],
)
def test_bad_tables_are_one_line(bare: Path, content: str | bytes, options: dict, message: str) -> None:
    with pytest.raises(GazeVlmError) as raised:
        imported(bare, content, **options)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (bare / "labels.json").exists()


def test_an_encoding_that_is_said_is_taken(bare: Path) -> None:
    imported(bare, "start,text\n1,café\n".encode("cp1252"), encoding="cp1252")
    assert rows_of(bare) == [(1, None, "café")]


def test_files_of_unknown_names(bare: Path) -> None:
    with pytest.raises(GazeVlmError, match=r"give --format csv\|webvtt"):
        imported(bare, "start,text\n1,a\n", name="labels.doc")
    assert imported(bare, "start,text\n1,a\n", name="labels.doc", format="csv").new == 1
    with pytest.raises(GazeVlmError, match="is missing"):
        import_labels(bare, bare / "none.csv", replace=True)
    with pytest.raises(GazeVlmError, match="expected ROLE=NAME"):
        columns_from(["start"])
    assert columns_from(["start=a=b"]) == {"start": "a=b"}


VTT = """WEBVTT - a title

STYLE
::cue { color: red }

NOTE not a cue

first
00:01.000 --> 00:02.500 align:start position:10%
<v Ada>pour <i>tea</i></v>

00:00:03.000 --> 00:00:04.000
stir
"""
SRT = "1\n00:00:01,000 --> 00:00:02,500\n<i>pour</i>\ntea\n\n2\n00:00:03,000 --> 00:00:04,000\nstir\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.vtt", VTT), ("a.vtt", VTT.replace("\n", "\r\n")), ("a.vtt", "\ufeff" + VTT), ("a.srt", SRT),
     ("a.srt", SRT.replace("\n", "\r\n")), ("a.srt", SRT.replace("02,500", "02,5").replace("01,000", "01,0"))],
)  # fmt: skip
def test_subtitles(bare: Path, name: str, content: str) -> None:
    imported(bare, content, name)
    assert rows_of(bare) == POURED


def test_entities_in_subtitles(bare: Path) -> None:
    imported(bare, "WEBVTT\n\n00:01.000 --> 00:02.000\nsalt &amp; pepper &lt;3\n", "a.vtt")
    assert rows_of(bare) == [(1, 2, "salt & pepper <3")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.vtt", "", "is not a WebVTT file"),
        ("a.vtt", SRT, "is not a WebVTT file"),
        ("a.vtt", "WEBVTT\n\n00:01.000 -> 00:02.000\npour\n", "a.vtt has no cue"),
        ("a.vtt", "WEBVTT\n\n00:01.0 --> 00:02.000\npour\n", "a.vtt"),
        ("a.vtt", b"WEBVTT\n\n00:01.000 --> 00:02.000\ncaf\xe9\n", "is not utf-8 text"),
        ("a.srt", "hello", "a.srt"),
        ("a.srt", SRT.replace("00:00:03,000 --> 00:00:04,000", "3 --> 4"), "a.srt"),
    ],
)
def test_bad_subtitles_are_one_line(bare: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(GazeVlmError) as raised:
        imported(bare, content, name)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.fixture
def elan(tmp_path: Path) -> Path:
    """As another program writes it: actions, verbs about these by symbolic association, remarks with times."""
    from pympi import Eaf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        document = Eaf(author="ada")
    document.add_linguistic_type("about", "Symbolic_Association")
    document.remove_tier("default")
    document.add_tier("action")
    document.add_tier("verb", "about", parent="action")
    document.add_tier("empty")
    for start_ms, end_ms, text in ((3000, 4000, "stir"), (1000, 2500, "pour  tea"), (5000, 6000, "")):
        document.add_annotation("action", start_ms, end_ms, text)
    document.add_ref_annotation("verb", "action", 1200, "pour")
    file = tmp_path / "a.eaf"
    document.to_file(str(file))
    return file


def test_elan(bare: Path, elan: Path) -> None:
    placed = import_labels(bare, elan, verb_tier="verb")
    assert rows_of(bare) == POURED
    assert require_labels(load_session(bare)).verbs == ["pour", "", "", ""]
    assert placed.left_out == {"annotations without a text": 1}
    assert placed.used == {"text": "action", "verb": "verb"}
    # With only the verb tier, annotations have the times of those that they are about.
    import_labels(bare, elan, tier="verb", replace=True)
    assert rows_of(bare) == [(1, 2.5, "pour")]


def test_elan_times_begin_where_the_media_says(bare: Path, elan: Path) -> None:
    text = elan.read_text()
    header = "<HEADER>"
    assert header in text
    media = '<MEDIA_DESCRIPTOR MEDIA_URL="file:///v.mp4" MIME_TYPE="video/mp4" TIME_ORIGIN="500"/>'
    elan.write_text(text.replace(header, header + media))
    import_labels(bare, elan)
    assert [start for start, _, _ in rows_of(bare)] == [1.5, 3.5]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda text: text, {"tier": "Action"}, "has no tier 'Action'; its tiers are action (3), verb (1)"),
        (lambda text: text[:400], {}, "is not a valid ELAN document (ParseError"),
        (lambda text: "<html/>", {}, "is a html, expected an ANNOTATION_DOCUMENT"),
        (
            lambda text: text.replace('TIME_SLOT_REF1="ts2"', 'TIME_SLOT_REF1="ts99"'),
            {},
            "time slot ts99, which does not exist",
        ),
        (lambda text: text.replace('TIME_VALUE="1000"', 'TIME_VALUE="soon"'), {}, "ValueError"),
        (lambda text: text.replace('TIER_ID="verb"', ""), {}, "KeyError: 'TIER_ID'"),
        (lambda text: text.replace('ANNOTATION_REF="a3"', 'ANNOTATION_REF="a77"'), {"tier": "verb"}, "about a77"),
        (lambda text: text.replace('ANNOTATION_REF="a3"', 'ANNOTATION_REF="a5"'), {"tier": "verb"}, "about itself"),
    ],
)
def test_bad_elan_is_one_line(bare: Path, elan: Path, change, options: dict, message: str) -> None:
    text = elan.read_text()
    elan.write_text(change(text))
    with pytest.raises(GazeVlmError) as raised:
        import_labels(bare, elan, **options)
    assert message in str(raised.value), elan.read_text()
    assert "\n" not in str(raised.value)


def test_elan_of_several_videos_that_begin_at_other_times_is_refused(bare: Path, elan: Path) -> None:
    text = elan.read_text()
    media = '<MEDIA_DESCRIPTOR MEDIA_URL="NAME" MIME_TYPE="video/mp4" TIME_ORIGIN="AT"/>'
    both = "".join(media.replace("NAME", name).replace("AT", at) for name, at in (("head", "0"), ("room", "2000")))
    elan.write_text(text.replace("<HEADER>", "<HEADER>" + both))
    with pytest.raises(GazeVlmError, match=r"is of several videos, .*\(head at 0 s, room at 2 s\)"):
        import_labels(bare, elan)
    assert not (bare / "labels.json").exists()


def test_elan_slots_without_a_time_are_counted(bare: Path, elan: Path) -> None:
    elan.write_text(elan.read_text().replace(' TIME_VALUE="1000"', ""))
    placed = import_labels(bare, elan)
    assert rows_of(bare) == POURED[1:]
    assert placed.left_out["annotations whose time is not set in ELAN"] == 1


def test_several_elan_tiers_are_not_guessed(bare: Path, elan: Path) -> None:
    from pympi import Eaf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        document = Eaf(str(elan))
    document.add_tier("remark")
    document.add_annotation("remark", 0, 500, "it rains")
    document.to_file(str(elan))
    with pytest.raises(
        GazeVlmError, match=r"give --tier with the tier of the actions; .* action \(3\), verb \(1\), remark \(1\)"
    ):
        import_labels(bare, elan)


NARRATIONS = {
    "u-1": {
        "narration_pass_1": {
            "narrations": [
                {"timestamp_sec": 1.0, "narration_text": "#C C pours tea."},
                {"timestamp_sec": 2.5, "narration_text": "#O A man walks"},
                {"timestamp_sec": 3.0, "narration_text": "#c c stirs #unsure"},
                {"timestamp_sec": 4.0, "narration_text": "#C C stirs the tea"},
            ]
        },
        "narration_pass_2": {"narrations": [{"timestamp_sec": 1.1, "narration_text": "#C C pours"}]},
    }
}


def test_ego4d_narrations(bare: Path) -> None:
    placed = imported(bare, json.dumps(NARRATIONS), "narration.json", video="u-1")
    assert rows_of(bare) == [(1, 4, "pours tea"), (4, 9, "stirs the tea")]
    assert sum(placed.left_out.values()) == 3
    with pytest.raises(GazeVlmError, match="no action of video s0"):  # the bag's session
        imported(bare, json.dumps(NARRATIONS), "narration.json", replace=True)
    with pytest.raises(GazeVlmError, match="no action of video u-1"):
        imported(bare, "not json", "narration.json", video="u-1", replace=True)
    with pytest.raises(GazeVlmError, match="or it is damaged"):
        imported(bare, json.dumps(NARRATIONS)[:200], "narration.json", video="u-1", replace=True)


def test_labels_are_replaced_or_added_to_only_when_asked(bare: Path) -> None:
    imported(bare, "start,end,text\n1,2,pour\n")
    with pytest.raises(LabelsExist, match="--replace to replace all of it, --add"):
        imported(bare, "start,end,text\n3,4,stir\n")
    placed = imported(bare, "start,end,text\n0,1,take\n1.5,3,stir\n4,5,drink\n", name="b.csv", add=True)
    assert rows_of(bare) == [(0, 1, "take"), (1, 2, "pour"), (4, 5, "drink")]
    assert placed.left_out == {"labels that overlap existing ones": 1}
    assert (placed.new, placed.labels) == (2, 3)
    file = load_session(bare).label_file
    assert file
    assert [label.source for label in file.labels] == ["import-2", "import-1", "import-2"]
    assert [source["file"] for source in file.sources.values()] == ["labels.csv", "b.csv"]
    assert all(len(source["sha256"]) == 64 and source["at"] for source in file.sources.values())
    imported(bare, "start,end,text\n3,4,stir\n", replace=True)
    assert rows_of(bare) == [(3, 4, "stir")]
    file = load_session(bare).label_file
    assert file
    assert (list(file.sources), file.revision) == (["import-1"], 3)


@pytest.mark.parametrize("suffix", [".csv", ".vtt", ".srt"])
def test_what_is_exported_comes_back(labelled: Path, bare: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    assert export_labels(labelled, out) == 8
    import_labels(bare, out)
    ours, theirs = (require_labels(load_session(bag)) for bag in (bare, labelled))
    assert [text for text in ours.texts if text] == theirs.texts
    np.testing.assert_array_equal(ours.starts_ns[: len(theirs)], theirs.starts_ns)
    if suffix == ".csv":
        assert ours.verbs[:8] == theirs.verbs
        assert ours.object_classes[:8] == theirs.object_classes
    with pytest.raises(ExportExists):
        export_labels(labelled, out)
    with pytest.raises(UnknownExport, match=r"ends in \.csv or \.vtt"):
        export_labels(labelled, tmp_path / "out.doc")
