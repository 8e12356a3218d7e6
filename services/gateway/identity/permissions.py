"""What may be asked of the gateway, and the built-in roles that allow it."""

from __future__ import annotations

import enum
import functools


class Role(enum.IntEnum):
    """A built-in role; each may all that the lesser ones may."""

    CUSTOM = 0
    """None of these: what the caller's grants say."""
    VIEWER = 1
    """Reads and asks."""
    EDITOR = 2
    """Also brings documents in and takes them out."""
    OPERATOR = 3
    """Also changes and deletes collections, deletes many documents at once, manages sources, and
    sees usage and every document's state."""
    ADMIN = 4
    """Also manages tenants, users, groups, roles and keys, and reads the audit log."""

    @property
    def label(self) -> str:
        """Its name in requests and answers."""
        return self.name.lower()

    @property
    def permissions(self) -> frozenset[Operation]:
        """What it allows."""
        return _permissions(self)

    @classmethod
    def named(cls, name: str) -> Role:
        """Returns the role of that lower-case name.

        Raises:
            KeyError: there is none.
        """
        return _BY_LABEL[name]


class Operation(enum.Enum):
    """What is asked of the gateway: its name in ledger, audit and metrics, and the least role.

    The third value says whether a grant for some collections is enough when the request names
    none: what it does touches no collection, or leaves out those the caller may not see.
    """

    QUERY = ("query", Role.VIEWER)
    SEARCH = ("search", Role.VIEWER)
    RECOMMEND = ("recommend", Role.VIEWER)
    EMBED = ("embed", Role.VIEWER, True)
    VERIFY = ("verify", Role.VIEWER, True)
    FEEDBACK = ("feedback", Role.VIEWER, True)
    READ_DOCUMENTS = ("read_documents", Role.VIEWER)
    INGEST = ("ingest", Role.EDITOR)
    DELETE_DOCUMENT = ("delete_document", Role.EDITOR)
    DELETE_DOCUMENTS = ("delete_documents", Role.OPERATOR)
    SEE_ALL_DOCUMENTS = ("see_all_documents", Role.OPERATOR)
    SYNC_SOURCE = ("sync_source", Role.EDITOR)
    MANAGE_SOURCES = ("manage_sources", Role.OPERATOR)
    READ_COLLECTIONS = ("read_collections", Role.VIEWER, True)
    CREATE_COLLECTION = ("create_collection", Role.EDITOR)
    CALIBRATE = ("calibrate", Role.OPERATOR)
    UPDATE_COLLECTION = ("update_collection", Role.OPERATOR)
    DELETE_COLLECTION = ("delete_collection", Role.OPERATOR)
    READ_USAGE = ("read_usage", Role.OPERATOR)
    READ_OPERATIONS = ("read_operations", Role.OPERATOR)
    READ_LIMITS = ("read_limits", Role.VIEWER, True)
    MANAGE_LIMITS = ("manage_limits", Role.ADMIN)
    READ_SELF = ("read_self", Role.VIEWER, True)
    MANAGE_KEYS = ("manage_keys", Role.ADMIN)
    MANAGE_USERS = ("manage_users", Role.ADMIN)
    MANAGE_TENANTS = ("manage_tenants", Role.ADMIN)
    READ_AUDIT = ("read_audit", Role.ADMIN)

    def __init__(self, label: str, role: Role, is_anywhere: bool = False) -> None:
        self.label = label
        self.role = role
        self.is_anywhere = is_anywhere

    @classmethod
    def labelled(cls, label: str) -> Operation:
        """Returns the operation of that label.

        Raises:
            KeyError: there is none.
        """
        return _OPERATIONS[label]

    @property
    def is_change(self) -> bool:
        """Whether it changes anything: its audit entry is on the disk before it is answered."""
        return self in _CHANGES


_BY_LABEL = {role.label: role for role in Role if role is not Role.CUSTOM}
_OPERATIONS = {operation.label: operation for operation in Operation}
_CHANGES = frozenset(
    {
        Operation.INGEST,
        Operation.DELETE_DOCUMENT,
        Operation.DELETE_DOCUMENTS,
        Operation.SYNC_SOURCE,
        Operation.MANAGE_SOURCES,
        Operation.CREATE_COLLECTION,
        Operation.CALIBRATE,
        Operation.UPDATE_COLLECTION,
        Operation.DELETE_COLLECTION,
        Operation.MANAGE_LIMITS,
        Operation.MANAGE_KEYS,
        Operation.MANAGE_USERS,
        Operation.MANAGE_TENANTS,
    }
)


@functools.cache
def _permissions(role: Role) -> frozenset[Operation]:
    return frozenset(operation for operation in Operation if operation.role <= role)
