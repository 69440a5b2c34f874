"""Proxies of a run on an external Toxiproxy server, which outlives the harness."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from harness.live.external_proxies import proxies_named, remove_proxies
from harness.live.resources.base import Item, Resource, UndoFailed


class ExternalProxies(Resource):
    """All proxies on the server at `url` whose names begin with `prefix`."""

    kind: Literal["external-proxies"] = "external-proxies"
    url: str
    prefix: str

    def undo(self) -> Iterator[Item]:
        try:
            for name in remove_proxies(self.url, self.prefix):
                yield Item("proxy", name, f"removed proxy {name} from {self.url}")
        except (OSError, ValueError) as error:
            raise UndoFailed(f"proxies named {self.prefix}... on {self.url}: {error}") from error

    def remains(self) -> Iterator[Item]:
        try:
            found = proxies_named(self.url, self.prefix)
        except (OSError, ValueError) as error:
            name = f"{self.prefix}... on {self.url}"
            yield Item("proxy", name, f"possibly proxies named {name}: {error}")
            return
        for name in found:
            yield Item("proxy", name, f"proxy {name} on {self.url}")
