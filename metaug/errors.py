"""The exceptions that users see."""


class UserError(Exception):
    """Something the user can mend: one line that says what is wrong, where, and what to do.

    Entry points print it on stderr without a traceback and exit with status 2.
    """


class Diverged(UserError):
    """A training or its features are not finite: an outcome of this trial, not a fault of the run.

    The same training would end in the same way again.
    """
