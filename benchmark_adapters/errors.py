"""What users are told: the exception for errors that they can fix, and notices."""

from leaderboard.text import one_line as one_line


class UserError(Exception):
    """A problem that the user can fix.

    The command line prints the message on one line. It says what is wrong, where, and what to do.
    """


class Notice(UserWarning):
    """Something that the user would want to know before the command goes on.

    The command line prints the message on one line.
    """
