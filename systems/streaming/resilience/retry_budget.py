"""How many retries are allowed: a fixed share of the requests, so that retries cannot become a storm.

A token bucket: each first attempt earns `ratio` of a retry, up to `burst` saved; each retry spends one.
Over any stretch of time, retries <= burst + ratio * requests.
"""

from __future__ import annotations

NO_RETRY_HEADER = "X-Retry"
"""`X-Retry: no` with a refusal: a service that is overloaded asks its clients not to try again, anywhere."""


class RetryBudget:
    def __init__(self, ratio: float = 0.1, burst: float = 3.0) -> None:
        if not 0 <= ratio <= 1 or burst < 0:
            raise ValueError(f"ratio is {ratio} (0..1 is allowed), burst is {burst} (0 or more is allowed)")
        self._ratio = ratio
        self._burst = burst
        self._tokens = burst

    def request(self) -> None:
        """Count a first attempt."""
        self._tokens = min(self._burst, self._tokens + self._ratio)

    def try_spend(self) -> bool:
        """Whether one retry may be made now; if so it is paid for."""
        # Ten tenths do not quite add up to one in binary.
        if self._tokens < 1.0 - 1e-9:
            return False
        self._tokens -= 1.0
        return True
