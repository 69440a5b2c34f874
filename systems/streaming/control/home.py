"""The home page: personal rows when the ranker answers in time, else the next best thing, never nothing.

personalised (fresh) -> cached (this account's last ranking) -> popular (catalogue order) -> static (rows
that ship with the gateway). The level is part of the answer, so that degradation is seen and counted.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from harness.system import Event, Host

from ..content.catalogue import TITLES
from ..resilience.breaker import HYSTRIX
from ..resilience.deadline import Deadline
from ..resilience.dependency import Answer, Dependency, Guards, Unavailable
from ..resilience.fallback import LastKnownGood, NoFallback, first_available
from .snapshot import SnapshotFeed

RANKER_BUDGET_S = 0.040
RANKER_REMOTE_BUDGET_S = 0.070
"""Of a ranker in the other region, 40 ms away: a home page is then still within its 100 ms."""

ROW = 20
"""Titles in a row."""

ROWS, MAX_ROWS = 3, 40
"""Rows of a page: of a phone's, and at most, on a television (Netflix shows about 40 rows)."""

ROW_S = 0.004 / 3
"""Processor time of assembling and serialising one row. A design value: 4 ms for a phone's page (budget p50 5 ms)."""

STATIC_TITLES = tuple(title.id for title in TITLES[:ROW])
CACHE_ACCOUNTS = 10_000
CACHE_MAX_AGE_S = 24 * 3600.0

BULKHEAD = 32
"""Calls at a time to one dependency: half of what a gateway has under way, so that none takes it all."""

LEVELS = ("personalised", "cached", "popular", "static")


def _is_ranking(titles: object) -> TypeGuard[list[str]]:
    """Whether a ranking is usable: titles, at least one, none twice. A bad model must not reach the page."""
    return (
        isinstance(titles, list)
        and bool(titles)
        and all(isinstance(title, str) for title in titles)
        and len(set(titles)) == len(titles)
    )


def _ranking(answer: Answer) -> list[str]:
    """The titles of an answer. Raises Unavailable when they are no ranking."""
    titles = answer.object().get("titles")
    if not _is_ranking(titles):
        raise Unavailable(answer.dependency, f"no ranking: {str(titles)[:40]}")
    return titles


def _check_ranking(answer: Answer) -> None:
    if answer.status == 200:
        _ranking(answer)


class Home:
    """Assembles home pages on a gateway."""

    def __init__(self, host: Host, feed: SnapshotFeed) -> None:
        self._host = host
        self._feed = feed
        self._fallback = host.safeguard("gateway.fallback")
        self._ranker = Dependency(
            host,
            "recommender",
            Guards(
                budget_s=RANKER_BUDGET_S,
                remote_budget_s=RANKER_REMOTE_BUDGET_S,
                limit=BULKHEAD,
                breaker=HYSTRIX,
                check=_check_ranking,
            ).without(
                deadline=not host.safeguard("gateway.deadline"),
                breaker=not host.safeguard("gateway.breaker"),
                bulkhead=not host.safeguard("gateway.bulkhead"),
                ejection=not host.safeguard("gateway.ejection"),
            ),
        )
        self._rankings: LastKnownGood[list[str]] = LastKnownGood(
            host.clock, limit=CACHE_ACCOUNTS, max_age_s=CACHE_MAX_AGE_S
        )

    async def keep_warm(self) -> None:
        await self._ranker.keep_warm()

    async def page(
        self, account: str, deadline: Deadline, rows: int = ROWS
    ) -> tuple[str, list[dict[str, Any]]]:
        """The level and that many rows. Raises Unavailable only when fallbacks are off."""

        async def personalised() -> list[str]:
            answer = await self._ranker.request("/rank", deadline, params={"account": account})
            titles = _ranking(answer)
            self._rankings.keep(account, titles)
            return list(titles)

        async def cached() -> list[str]:
            kept = self._rankings.get(account)
            if kept is None:
                raise Unavailable("cache", f"no ranking of '{account}' is kept")
            return kept

        async def popular() -> list[str]:
            if self._feed.current is None:
                raise Unavailable("catalog", "no snapshot yet")
            return self._feed.current.popular

        async def static() -> list[str]:
            return list(STATIC_TITLES)

        sources = list(zip(LEVELS, (personalised, cached, popular, static), strict=True))
        try:
            level, titles = await first_available(
                sources if self._fallback else sources[:1], expected=(Unavailable,)
            )
        except NoFallback as error:
            raise Unavailable("recommender", str(error.__cause__)) from error
        if level != "personalised":
            self._host.emit(Event("gateway.fallback", {"dependency": "recommender", "level": level}))
        return level, self._rows(level, titles, rows)

    def _rows(self, level: str, titles: list[str], count: int) -> list[dict[str, Any]]:
        rows = [{"name": "For you" if level in LEVELS[:2] else "Popular", "titles": titles[:ROW]}]
        snapshot = self._feed.current
        if snapshot is None:
            return rows
        for genre in sorted({info.genre for info in snapshot.titles.values()})[: min(2, count - 1)]:
            in_genre = [t for t in titles if t in snapshot.titles and snapshot.titles[t].genre == genre]
            if in_genre:
                rows.append({"name": genre, "titles": in_genre[:ROW]})
        # What is left of a television's page goes through the catalogue, most popular first.
        popular = snapshot.popular
        for number in range(count - ROWS):
            first = number * ROW % len(popular)
            rows.append({"name": f"More {number + 1}", "titles": popular[first : first + ROW]})
        return rows[:count]
