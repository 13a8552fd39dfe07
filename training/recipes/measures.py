"""What is measured of each arm: name -> (title, statistic of person_bootstrap, place of its hits in the scores)."""

MEASURES = {
    "class_mean_recall_at_5": ("class-mean top-5 recall", "class_mean", 2),
    "class_mean_recall": ("class-mean recall", "class_mean", 1),
    "top1": ("top-1", "accuracy", 1),
}
# The same of multiple-choice questions
CHOICE_MEASURES = {
    "right": ("right, by the likelihood of the whole option", "accuracy", 1),
    "right_by_mean": ("right, by its mean over tokens", "accuracy", 2),
}
