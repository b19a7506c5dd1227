"""The exception for errors that users can fix."""

from leaderboard.text import one_line as one_line


class UserError(Exception):
    """A problem that the user can fix.

    The command line prints the message on one line. It says what is wrong, where, and what to do.
    """
