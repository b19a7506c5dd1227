"""The error that users see, and texts cut to one line."""


class UserError(Exception):
    """A problem that the user can fix.

    The command line prints the message as one line: what is wrong, where, and what to do about it.
    """


def one_line(text: object, max_chars: int = 500) -> str:
    """Return ``text``, for example an exception, without line breaks and control characters.

    A text of more than ``max_chars`` characters is cut and marked with ``[...]``.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= max_chars else f"{line[:max_chars]} [...]"
