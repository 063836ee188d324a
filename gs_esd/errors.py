"""Errors that the user can fix."""


class UserError(Exception):
    """A mistake in the user's input or machine; the message says what, what is allowed, what to do.

    The command line prints the message alone, without a traceback.
    """


class NonFiniteError(UserError):
    """A loss, gradient or parameter became NaN or infinite; the message names the step."""
