"""The command line: `serve` with toxiproxy-server's own flags, in one or two dashes."""

from __future__ import annotations

import argparse
import errno
import json
import math
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import asyncio

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

_LEVELS = {"trace": 10, "debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40, "fatal": 50}


def main(arguments: Sequence[str], program: str = "python -m harness.toxiproxy") -> int:
    """Run one command line; its exit code. Serves until SIGINT or SIGTERM, which is a clean stop: 0."""
    parser = _parser(program)
    options = parser.parse_args(arguments)
    if options.until_stdin_closes and not _may_wait_for_stdin():
        parser.error(
            "-until-stdin-closes: standard input is neither a pipe nor a terminal, so it cannot be watched"
        )
    if options.version:
        from harness.toxiproxy.api import VERSION

        print(f"toxiproxy-server version {VERSION}")
        return EXIT_OK
    return serve(options)


def serve(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    import asyncio
    import logging

    logging.basicConfig(
        stream=sys.stderr,
        level=_LEVELS.get(os.environ.get("LOG_LEVEL", "info").lower(), logging.INFO),
        format="%(levelname)s %(message)s",
    )
    from harness.toxiproxy.descriptors import raise_limit

    raise_limit()
    factory = None
    if not options.no_uvloop:
        try:
            import uvloop
        except ImportError:
            pass  # the standard loop does it too, a little slower
        else:
            factory = uvloop.new_event_loop
    try:
        # Toxiproxy only logs a file it cannot read and serves no proxies, and so tests pass that tested nothing.
        config = Path(options.config).read_bytes() if options.config else b"[]"
    except OSError as error:
        print(f"{options.config}: {error.strerror}", file=sys.stderr)
        return EXIT_FAILED
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_serve(options, config))


async def _serve(options: argparse.Namespace, config: bytes) -> int:
    import asyncio
    import signal

    from harness.errors import HarnessError
    from harness.toxiproxy.errors import ApiError

    try:
        from harness.toxiproxy.server import ToxiproxyServer
    except HarnessError as error:  # a toxic of the group `harness.toxics` is broken
        print(error, file=sys.stderr)
        return EXIT_FAILED
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = ToxiproxyServer(
        options.host,
        options.port,
        seed=options.seed,
        proxy_metrics=options.proxy_metrics,
        runtime_metrics=options.runtime_metrics,
        dial_timeout_s=options.dial_timeout,
        strict=options.strict,
    )
    try:
        async with server:
            await server.populate(config)
            print(json.dumps({"api": server.url}), flush=True)
            if options.until_stdin_closes:
                loop.add_reader(sys.stdin.fileno(), _until_end, loop, stop)
            await stop.wait()
    except ApiError as error:
        print(f"{options.config}: {error}", file=sys.stderr)
        return EXIT_FAILED
    except OSError as error:
        print(_cannot_serve(options, error), file=sys.stderr)
        return EXIT_FAILED
    return EXIT_OK


def _cannot_serve(options: argparse.Namespace, error: OSError) -> str:
    where = f"cannot serve at {options.host}:{options.port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where}: it is taken; end what listens there, or give another -port (0 picks a free one)"
    # asyncio wraps some of these in a sentence of its own, and a name that is not found has no errno of the system.
    known = error.errno is not None and error.errno in errno.errorcode
    why = os.strerror(error.errno) if known and error.errno is not None else error.strerror or error
    return f"{where}: {why}; give another -host or -port"


def _may_wait_for_stdin() -> bool:
    mode = os.fstat(sys.stdin.fileno()).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or sys.stdin.isatty()


def _until_end(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        loop.remove_reader(sys.stdin.fileno())
        stop.set()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as of every other command."""
        self.exit(
            EXIT_USAGE, f"{message.removeprefix('argument ')}; '{self.prog} --help' shows what there is\n"
        )


class _Help(argparse.HelpFormatter):
    """Every flag once: that it may have two dashes is said above them."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        flag = action.option_strings[0]
        return flag if action.nargs == 0 else f"{flag} {action.metavar or action.dest.upper()}"


def _parser(program: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=program,
        allow_abbrev=False,
        usage="%(prog)s [serve] [FLAGS]",
        formatter_class=_Help,
        description="A Toxiproxy-compatible TCP proxy for resilience tests. "
        "Once it serves, it prints one line of JSON: where its API is. Flags take one dash or two.",
    )
    parser.add_argument("-version", "--version", action="store_true", help="show the version")
    parser.add_argument("command", nargs="?", choices=["serve"], help="serve until stopped; also the default")
    _add_options(parser)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    """toxiproxy-server's flags, then our own."""

    def add(name: str, **rest: object) -> None:
        parser.add_argument(f"-{name}", f"--{name}", **rest)  # type: ignore[arg-type]

    add("host", default="localhost", help="host of the API (default: %(default)s)")
    add("port", type=_port, default=8474, help="port of the API; 0 picks a free one (default: %(default)s)")
    add("config", metavar="FILE", help="JSON file of proxies (with toxics) to begin with")
    add("seed", type=_seed, help="seed of toxicity, jitter and slices (default: drawn and logged)")
    add("proxy-metrics", action="store_true", help="/metrics shows the bytes of every proxy")
    add("runtime-metrics", action="store_true", help="/metrics shows memory, descriptors and collections")
    add(
        "dial-timeout",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="wait for an upstream at most (10)",
    )
    add("until-stdin-closes", action="store_true", help="stop when standard input ends, so with its parent")
    add("strict", action="store_true", help="be as any other Toxiproxy server: none of our additions")
    add("no-uvloop", action="store_true", help="use the standard loop even where uvloop is installed")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 0 to 65535")
    return int(text)


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed; give a whole number") from None


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not from above 0 to 3600 seconds")
    return value
