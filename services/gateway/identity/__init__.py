"""Who calls and what they may do: derived from the credential alone, never from a body."""

from services.gateway.identity.caller import Caller as Caller
from services.gateway.identity.grants import Grant as Grant
from services.gateway.identity.permissions import Operation as Operation
from services.gateway.identity.permissions import Role as Role
