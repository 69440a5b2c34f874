"""The reader's side of the catalogue: the last good snapshot, refreshed in the background.

A reader never asks the catalogue on a viewer's time, keeps what it has for as long as the catalogue is
away, and refuses a snapshot that cannot be right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from harness.system import Host

from ..resilience.deadline import Deadline
from ..resilience.dependency import Dependency, Guards, Unavailable

REFRESH_S = 10.0
FIRST_RETRY_S = 0.5
"""Between attempts as long as there is no snapshot at all."""

START_WAIT_S = 3.0
"""A service that starts while the catalogue is away must start all the same."""

DISK_KEY = "catalogue-snapshot.json"

MAX_SHRINK = 0.2
"""A new snapshot that lost more titles than this share is a publishing accident, not a decision."""


class InvalidSnapshot(ValueError):
    """What the catalogue published is refused; the message says why."""


@dataclass(frozen=True, slots=True)
class TitleInfo:
    id: str
    segments: int
    genre: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`titles` by id, in order of popularity."""

    version: str
    titles: Mapping[str, TitleInfo]

    @property
    def popular(self) -> list[str]:
        return list(self.titles)


def parse_title(data: object) -> TitleInfo:
    """Raises InvalidSnapshot when a field is missing, blank or of the wrong type."""
    match data:
        case {"id": str(name), "segments": int(segments), "genre": str(genre)} if (
            name and segments > 0 and genre
        ):
            return TitleInfo(name, segments, genre)
    raise InvalidSnapshot(f"not a title: {str(data)[:80]}; id, segments > 0 and genre are needed")


def parse_snapshot(body: bytes, previous: Snapshot | None) -> Snapshot:
    """Raises InvalidSnapshot, also when more than MAX_SHRINK of the previous titles are gone."""
    try:
        data = json.loads(body)
    except ValueError as error:
        raise InvalidSnapshot(f"not JSON: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("titles"), list) or not data.get("version"):
        raise InvalidSnapshot("a snapshot needs 'version' and 'titles'")
    titles = {title.id: title for title in map(parse_title, data["titles"])}
    least = 1 if previous is None else (1 - MAX_SHRINK) * len(previous.titles)
    if len(titles) < least:
        raise InvalidSnapshot(f"{len(titles)} titles; at least {least:.0f} are needed to be plausible")
    return Snapshot(str(data["version"]), titles)


class SnapshotFeed:
    """`current` is the last good snapshot, None before the first."""

    def __init__(self, host: Host) -> None:
        self._host = host
        # No breaker: one call every ten seconds is no burden, and a sleeping feed would recover late.
        self._catalog = Dependency(host, "catalog", Guards(budget_s=1.0, limit=4, breaker=None))
        self.current: Snapshot | None = None
        self.rejected = 0
        """How many published snapshots were refused."""

    async def start(self) -> None:
        """Have a snapshot before the first request if one can be had soon: the disk's or the catalogue's."""
        kept = await self._host.disk.read(DISK_KEY)
        if kept is not None:
            try:
                self.current = parse_snapshot(kept, None)
            except InvalidSnapshot:
                self.rejected += 1
        until_s = self._host.clock.now() + START_WAIT_S
        while self.current is None and self._host.clock.now() < until_s:
            await self.refresh()
            if self.current is None:
                await self._host.clock.sleep(FIRST_RETRY_S)

    async def refresh(self) -> None:
        """One attempt; failures keep what there is."""
        try:
            answer = await self._catalog.request(
                "/snapshot", Deadline.never(self._host.clock), headers=self._condition()
            )
        except Unavailable:
            return
        if answer.status != 200:
            return
        try:
            self.current = parse_snapshot(answer.body, self.current)
        except InvalidSnapshot:
            self.rejected += 1
        else:
            await self._host.disk.write(DISK_KEY, answer.body)

    def _condition(self) -> dict[str, str]:
        return {} if self.current is None else {"If-None-Match": self.current.version}

    async def run(self) -> None:
        """Refresh for ever, with jitter so that readers do not fall into step."""
        while True:
            pause_s = FIRST_RETRY_S if self.current is None else REFRESH_S
            await self._host.clock.sleep(pause_s * self._host.rng.uniform(0.8, 1.2))
            await self.refresh()
