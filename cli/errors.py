"""What goes wrong for the person at the terminal."""

from __future__ import annotations


class CliError(Exception):
    """Ends the program: the message goes to stderr, the exit code to the shell."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        """Says what is wrong, and how to mend it."""
        super().__init__(message)
        self.hint = hint


class NotRunningError(CliError):
    """There is no gateway to talk to."""
