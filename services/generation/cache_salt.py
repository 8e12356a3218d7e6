"""Keeps prefix caches apart.

What one permission scope has asked must not speed up, and so reveal itself to, another.
"""

from __future__ import annotations

import hashlib
import hmac

from services.rpc.scope import Scope


def cache_salt(secret: bytes, scope: Scope) -> str:
    """Returns the salt of a scope: equal for equal tenants and principals only, never guessable.

    Args:
        secret: Known to the server alone.
        scope: Whose requests may share cached prefixes.
    """
    digest = hmac.new(secret, digestmod=hashlib.sha256)
    for part in (scope.tenant, *sorted(set(scope.principals))):
        encoded = part.encode()
        # The length in front keeps ("ab", "c") and ("a", "bc") apart.
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.hexdigest()
