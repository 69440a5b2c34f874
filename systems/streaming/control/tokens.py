"""Access tokens that any service checks by itself: `account:expiry:signature`.

Checking needs the key and a clock, not the identity service: that is what lets a gateway go on serving
while logins are down. The signature is HMAC-SHA256 over the first two parts.
"""

from __future__ import annotations

import hashlib
import hmac

TTL_S = 30 * 60.0
"""Short enough to make revocation lists small, long enough to outlive an outage of the identity service."""

GRACE_S = 30 * 60.0
"""How long after its end a token still lets its bearer play, and be refreshed: an outage of the identity service for
so long signs nobody out. Players refresh when half of `TTL_S` is over."""

LEEWAY_S = 90.0
"""How far clocks may disagree."""

SIGNING_KEY = b"reference-system-signing-key"
"""The reference system's only key: it protects nothing real."""


class InvalidToken(ValueError):
    """Not one of our tokens, or expired; the message says which."""


def _sign(payload: str, key: bytes) -> str:
    return hmac.new(key, payload.encode(), hashlib.sha256).hexdigest()[:32]


def mint(account: str, now_s: float, key: bytes = SIGNING_KEY, *, ttl_s: float = TTL_S) -> str:
    """A token for the account, good until `now_s + ttl_s` on the clock of the run."""
    if not account or ":" in account:
        raise ValueError(f"account is {account!r}; it must not be empty or contain a colon")
    payload = f"{account}:{int(now_s + ttl_s)}"
    return f"{payload}:{_sign(payload, key)}"


def verify(token: str, now_s: float, key: bytes = SIGNING_KEY, *, leeway_s: float = LEEWAY_S) -> str:
    """The account the token was made for. Raises InvalidToken."""
    payload, _, signature = token.rpartition(":")
    if not hmac.compare_digest(_sign(payload, key).encode(), signature.encode()):
        raise InvalidToken("the token's signature does not fit")
    account, _, expires = payload.rpartition(":")
    if now_s > int(expires) + leeway_s:
        raise InvalidToken("the token has expired")
    return account


def bearer(header: str | None) -> str:
    """The token in an `Authorization` header. Raises InvalidToken when there is none."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken("an 'Authorization: Bearer TOKEN' header is needed")
    return token
