"""The server as a process of its own: flags, the start, the signals, the configuration file."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from harness.toxiproxy.api import VERSION
from tests.toxiproxy.process import COMMAND, serving


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False, **options
    )


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def test_help_and_version_start_quickly_in_cpu_time() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = run("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert shown.returncode == 0
    assert "-proxy-metrics" in shown.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3
    assert run("-version").stdout == f"toxiproxy-server version {VERSION}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-port", "99999"], "-port/--port: '99999' is not a port; give a number from 0 to 65535"),
        (["-seed", "x"], "-seed/--seed: 'x' is not a seed; give a whole number"),
        (
            ["-dial-timeout", "soon"],
            "-dial-timeout/--dial-timeout: 'soon' is not from above 0 to 3600 seconds",
        ),
        (["sreve"], "command: invalid choice: 'sreve' (choose from"),
        (["-bogus"], "unrecognized arguments: -bogus"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments: list[str], said: str) -> None:
    refused = run(*arguments)
    assert refused.returncode == 2
    assert refused.stderr.startswith(said)
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.endswith("--help' shows what there is\n")


def test_a_port_that_is_taken_is_told_in_plain_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = run("serve", "-host", "127.0.0.1", "-port", str(port))
    assert refused.returncode == 1
    assert refused.stderr == (
        f"cannot serve at 127.0.0.1:{port}: it is taken; end what listens there, "
        "or give another -port (0 picks a free one)\n"
    )


@pytest.mark.parametrize("loop", [(), ("-no-uvloop",)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_clean_stop(number: signal.Signals, loop: tuple[str, ...]) -> None:
    with serving("serve", "-port", "0", *loop) as (process, url):
        assert get(url + "/version")["version"] == VERSION
        body = json.dumps({"name": "p", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}).encode()
        with urllib.request.urlopen(url + "/proxies", body, timeout=10) as answer:
            host, port = json.load(answer)["listen"].split(":")
        with socket.create_connection((host, int(port))) as client:
            process.send_signal(number)
            assert process.wait(10) == 0
            client.settimeout(5)
            assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


def test_it_serves_without_a_command_as_toxiproxy_server_does() -> None:
    with serving("--host", "127.0.0.1", "--port", "0", "--proxy-metrics", "--seed", "4") as (process, url):
        with urllib.request.urlopen(url + "/metrics", timeout=10) as answer:
            assert answer.status == 200
        process.terminate()
        assert process.stderr is not None
        assert "seed 4" in process.stderr.read()


def test_it_stops_when_standard_input_ends() -> None:
    read, write = os.pipe()
    with serving("-port", "0", "-until-stdin-closes", stdin=read) as (process, _):
        os.close(read)
        os.close(write)
        assert process.wait(10) == 0
    refused = run("-port", "0", "-until-stdin-closes", stdin=subprocess.DEVNULL)
    assert refused.returncode == 2
    assert "standard input" in refused.stderr


def test_a_configuration_file_may_hold_toxics(tmp_path: Path) -> None:
    file = tmp_path / "proxies.json"
    entry = {"name": "p", "listen": "127.0.0.1:0", "upstream": "x:1", "toxics": [{"type": "timeout"}]}
    file.write_text(json.dumps([entry]))
    with serving("-port", "0", "-config", str(file)) as (_, url):
        assert [toxic["type"] for toxic in get(url + "/proxies")["p"]["toxics"]] == ["timeout"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "No such file"),
        ("[", "bad request body: unexpected EOF"),
        ("[{}]", "missing required field: name at proxy 1"),
    ],
)
def test_a_bad_configuration_file_is_never_green(tmp_path: Path, text: str | None, told: str) -> None:
    file = tmp_path / "proxies.json"
    if text is not None:
        file.write_text(text)
    ended = run("-port", "0", "-config", str(file))
    assert ended.returncode == 1
    assert str(file) in ended.stderr
    assert told in ended.stderr
    assert not ended.stdout


def test_it_is_a_command_of_the_harness_too() -> None:
    harness = [sys.executable, "-m", "harness", "toxiproxy"]
    shown = subprocess.run(
        [*harness, "serve", "--help"], capture_output=True, text=True, timeout=30, check=False
    )
    assert shown.returncode == 0
    assert "harness toxiproxy" in shown.stdout
    wrong = subprocess.run(
        [*harness, "serve", "-port", "x"], capture_output=True, text=True, timeout=30, check=False
    )
    assert wrong.returncode == 4
    process = subprocess.Popen([*harness, "serve", "-port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert get(json.loads(process.stdout.readline())["api"] + "/proxies") == {}
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()
