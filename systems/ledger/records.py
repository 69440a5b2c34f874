"""What the bank records."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """A customer was told that a deposit is done."""

    t_s: float
    key: str
    account: str
    amount: int


@dataclass(frozen=True, slots=True)
class Applied:
    """The store has changed an account. `balance`: what is in it now; `expected`: the sum of all that was applied."""

    t_s: float
    key: str
    account: str
    balance: int
    expected: int


@dataclass(frozen=True, slots=True)
class Interest:
    """A worker has written interest. `token`: of the lease that it held; `newest`: the newest one given out."""

    t_s: float
    worker: str
    token: int
    newest: int
