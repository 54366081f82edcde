"""What extraction raises; a bad row or record is counted instead."""


class UnreadableUnit(Exception):  # noqa: N818 - it names the thing, as the ledger reports it
    """A file that should hold candidates holds none that can be read: empty, or of another kind.

    The message says what was found, in which file, and what to do.
    """
