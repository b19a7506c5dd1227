"""Bounded reads, locks, and atomic, lasting creation of files and folders."""

from leaderboard.files import holds as holds
from leaderboard.files import listed as listed
from leaderboard.files import locked as locked
from leaderboard.files import new_folder as new_folder
from leaderboard.files import open_regular as open_regular
from leaderboard.files import read_bounded as read_bounded
from leaderboard.files import replacing as replacing
from leaderboard.files import size as size
from leaderboard.files import sync as sync
