"""Errors that a user can act on: one sentence that says what, where, what was expected and what to do next."""


class ExpnetError(Exception):
    """Something failed; the command line prints the message without a traceback and exits with ``exit_code``."""

    exit_code = 1


class InputError(ExpnetError):
    """The user gave something that cannot be used: a file, an option, a value."""

    exit_code = 2


class ConfigError(InputError):
    """A configuration key or value is wrong."""


class DataError(InputError):
    """A track store, corpus or annotation file does not hold what it should."""


class MissingAssetError(InputError):
    """A weight file or optional package is not there; the message says how to get it."""


class MachineError(ExpnetError):
    """The machine is at fault and the input is fine: a full disk, a missing permission, too many open files.

    Running the command again continues once the fault is mended; no input may be rejected because of it.
    """
