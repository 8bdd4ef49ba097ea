"""The error that a user can cause and mend."""

from collections.abc import Sequence


class InputError(ValueError):
    """An error that the user can fix: a wrong flag, path, file or data set.

    The message is one line. It names the thing and says what to do, so that a launch
    script can print it alone, without a traceback, and exit non-zero.
    """


class InUseError(InputError):
    """Another process works on it; later it may be free."""


def listed(names: Sequence[str], most: int = 3, between: str = ", ") -> str:
    """Return the first of several names for a message, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return between.join(names[:most]) + more
