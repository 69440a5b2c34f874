"""`python -m harness.live.remove_proxies HOST PORT PREFIX SECONDS`: delete the proxies of a run, by toxiproxy-python.

Prints the name of each. Ends by SIGALRM when an answer takes longer than SECONDS.
"""

from __future__ import annotations

import contextlib
import signal
import sys

from toxiproxy import Toxiproxy
from toxiproxy.exceptions import NotFound


def main(host: str, port: str, prefix: str, limit_s: float) -> None:
    server = Toxiproxy()
    server.update_api_consumer(host, port)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    for name, proxy in sorted(server.proxies().items()):
        if name.startswith(prefix):
            signal.setitimer(signal.ITIMER_REAL, limit_s)
            with contextlib.suppress(NotFound):
                if not proxy.destroy():
                    sys.exit(f"the server does not delete {name}")
            print(name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
