"""Accuracy of each class."""

from made_records import record

from leaderboard.analysis import classes
from leaderboard.analysis.classes import ClassAccuracy


def test_accuracies_name_the_most_frequent_confusion_of_each_class():
    confusion = [[8, 0, 2], [0, 5, 0], [0, 0, 0]]
    assert classes.accuracies(record(confusion=confusion), ["Bag", "Shirt", "Coat"]) == [
        ClassAccuracy("Bag", 0.8, "Coat", 2),
        ClassAccuracy("Shirt", 1.0, None, 0),
        ClassAccuracy("Coat", 0.0, None, 0),
    ]
    assert classes.accuracies(record(), []) == []
