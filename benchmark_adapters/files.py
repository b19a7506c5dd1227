"""Bounded reads, and files and folders that appear only when they are whole."""

from leaderboard.files import new_folder as new_folder
from leaderboard.files import read_bounded as read_bounded
from leaderboard.files import replacing as replacing
