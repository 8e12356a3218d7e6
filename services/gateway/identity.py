"""Who calls and what they may do: derived from the credential alone, never from a body."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.rpc.errors import PermissionDeniedError, Reason

if TYPE_CHECKING:
    from services.rpc.scope import Scope


class Role(enum.IntEnum):
    """What a key may do; each role may all that the lesser ones may."""

    VIEWER = 1
    """Reads and asks."""
    EDITOR = 2
    """Also brings documents in and takes them out."""
    OPERATOR = 3
    """Also deletes collections and many documents at once, manages sources, and sees usage and
    every document's state."""
    ADMIN = 4
    """Also manages keys."""

    @classmethod
    def named(cls, name: str) -> Role:
        """Returns the role of that lower-case name.

        Raises:
            KeyError: there is none.
        """
        return cls[name.upper()] if name == name.lower() else cls[""]


class Operation(enum.Enum):
    """What is asked of the gateway: name in the ledger and metrics, and the least role."""

    QUERY = ("query", Role.VIEWER)
    SEARCH = ("search", Role.VIEWER)
    RECOMMEND = ("recommend", Role.VIEWER)
    EMBED = ("embed", Role.VIEWER)
    FEEDBACK = ("feedback", Role.VIEWER)
    READ_DOCUMENTS = ("read_documents", Role.VIEWER)
    INGEST = ("ingest", Role.EDITOR)
    DELETE_DOCUMENT = ("delete_document", Role.EDITOR)
    DELETE_DOCUMENTS = ("delete_documents", Role.OPERATOR)
    SYNC_SOURCE = ("sync_source", Role.EDITOR)
    MANAGE_SOURCES = ("manage_sources", Role.OPERATOR)
    READ_COLLECTIONS = ("read_collections", Role.VIEWER)
    CREATE_COLLECTION = ("create_collection", Role.EDITOR)
    DELETE_COLLECTION = ("delete_collection", Role.OPERATOR)
    READ_USAGE = ("read_usage", Role.OPERATOR)
    MANAGE_KEYS = ("manage_keys", Role.ADMIN)

    def __init__(self, label: str, role: Role) -> None:
        self.label = label
        self.role = role


@dataclass(frozen=True, slots=True)
class Caller:
    """Owner of an accepted credential."""

    key_id: str
    role: Role
    scope: Scope

    def require(self, operation: Operation) -> None:
        """Lets the operation pass.

        Raises:
            PermissionDeniedError: the role does not allow it.
        """
        if self.role < operation.role:
            raise PermissionDeniedError(
                Reason.ROLE_REQUIRED,
                f"this needs the role {operation.role.name.lower()!r}; "
                f"the key has {self.role.name.lower()!r}",
                metadata={"required_role": operation.role.name.lower()},
            )
