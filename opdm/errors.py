"""The one error that a user can repair; programs show its text, everything else is a bug and keeps its traceback."""


class InputError(ValueError):
    """What was given cannot be used: one line that names it and the remedy."""
