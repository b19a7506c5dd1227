"""Bounded reads, locks, and atomic creation of files and folders."""

from leaderboard.files import locked as locked
from leaderboard.files import new_folder as new_folder
from leaderboard.files import read_bounded as read_bounded
from leaderboard.files import replacing as replacing
