"""Errors for users; each message says in one sentence what failed, where, what was expected and what to do next."""


class ExpnetError(Exception):
    """A failure; the command line prints the message without a traceback and exits with ``exit_code``."""

    exit_code = 1


class InputError(ExpnetError):
    """A file, option or value given by the user cannot be used."""

    exit_code = 2


class ConfigError(InputError):
    """A configuration key or value is invalid."""


class DataError(InputError):
    """A track store, corpus or annotation file has unexpected content."""


class MissingAssetError(InputError):
    """A weight file or optional package is missing; the message says how to get it."""


class MachineError(ExpnetError):
    """The machine is at fault and the input is fine: a full disk, a missing permission, too many open files.

    Running the command again continues once the fault is mended; no input may be rejected because of it.
    """
