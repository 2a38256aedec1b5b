"""The one exception that users see."""


class UserError(Exception):
    """Something the user can mend: one line that says what is wrong, where, and what to do.

    Entry points print it on stderr without a traceback and exit with status 2.
    """
