"""Action labels: the actions of a person, label tracks, closed label sets, and the label file beside a bag."""

from gaze_vlm_ros.labels.actions import Action, actions_from_events
from gaze_vlm_ros.labels.answer_words import NOTHING, AnswerWords, UnclearWords, now_answers, part_of, parts_after
from gaze_vlm_ros.labels.label_file import (
    BadLabelFile,
    Label,
    LabelFile,
    LabelsChanged,
    LabelsExist,
    LabelsNotWritable,
    OtherBagsLabels,
    bag_identity,
    label_file_path,
    read_label_file,
    track_of,
    write_label_file,
)
from gaze_vlm_ros.labels.label_set import (
    LabelSet,
    NoLabelTexts,
    collect_labels,
    label_key,
    label_set_id,
    one_spelling,
    spellings,
)
from gaze_vlm_ros.labels.track import LabelTrack, actions_of, current_label, next_label, track_from_actions

__all__ = [
    "NOTHING",
    "Action",
    "AnswerWords",
    "BadLabelFile",
    "Label",
    "LabelFile",
    "LabelSet",
    "LabelTrack",
    "LabelsChanged",
    "LabelsExist",
    "LabelsNotWritable",
    "NoLabelTexts",
    "OtherBagsLabels",
    "UnclearWords",
    "actions_from_events",
    "actions_of",
    "bag_identity",
    "collect_labels",
    "current_label",
    "label_file_path",
    "label_key",
    "label_set_id",
    "next_label",
    "now_answers",
    "one_spelling",
    "part_of",
    "parts_after",
    "read_label_file",
    "spellings",
    "track_from_actions",
    "track_of",
    "write_label_file",
]
