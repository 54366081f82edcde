"""The errors that Pairlake raises, and what each asks of you.

    LakeError                    anything Pairlake itself complains about
    ├── UsageError               the request cannot be meant: fix the argument (exit code 2)
    │   └── NoLakeError          there is no lake at this root
    ├── ConflictError            another driver works on the same table: wait, or stop it
    ├── RulesChangedError        a stage's rules differ from those its rows were made with: rebuild
    ├── DamagedError             stored data does not match what the ledger says: `lake verify`
    └── StorageError             the store refused: disk full, no permission, no network

Each message says what happened, to what, and what to do. A caller who wants to survive all of them
writes::

    try:
        lake.run()
    except LakeError as error:
        print(error)
"""

from __future__ import annotations


class LakeError(Exception):
    """Base of all errors that Pairlake raises on purpose."""


class UsageError(LakeError):
    """The request names something that does not exist or contradicts itself."""


class NoLakeError(UsageError):
    """There is no lake at the root that was given."""


class ConflictError(LakeError):
    """Another driver holds the claim that this one needs."""


class RulesChangedError(LakeError):
    """A stage's parameters, models or rules changed since its rows were made."""


class DamagedError(LakeError):
    """Stored data does not match the counts, checksums or fingerprints in the ledger."""


class StorageError(LakeError):
    """The storage under the lake refused to read or write."""
