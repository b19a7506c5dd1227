"""The error that users see."""

from leaderboard.text import one_line as one_line


class UserError(Exception):
    """A problem that the user can fix.

    The command line prints the message as one line: what is wrong, where, and what to do about it.
    """
