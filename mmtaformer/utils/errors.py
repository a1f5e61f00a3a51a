"""Errors that a user can put right, as one sentence."""


class UsageError(Exception):
    """A command line or config that contradicts itself or names what is not there."""


class DataError(ValueError):
    """Data that break their format or do not fit together.

    Raised where the sentence is written: what was found, in which file and entry, and
    what to do. The tools print it without a traceback; every other ValueError is a
    mistake of the program and keeps its traceback.
    """
