"""Existing clients of Toxiproxy, unchanged. toxiproxy-python comes with the harness; `make toxiproxy-clients` installs
chaostoolkit-toxiproxy (PyPI) and toxiproxy-node-client (npm) beside it, whose tests are skipped without it.

CHAOSTOXI_PYTHON may name another interpreter that has the one, TOXIPROXY_NODE_MODULES another node_modules that has
the other.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import textwrap
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of `future`, on which the client depends
    from toxiproxy import Toxiproxy
    from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from harness.toxiproxy.api import VERSION
from tests.toxiproxy.process import ask, echoing, serving

CLIENTS = Path(__file__).parents[2] / ".toxiproxy-clients"


def installed(variable: str, where: str) -> Path:
    """What an environment variable names, or what `make toxiproxy-clients` has made; skips where it is not there."""
    if variable in os.environ:
        return Path(os.environ[variable])
    if not (CLIENTS / where).exists():
        pytest.skip(f"'make toxiproxy-clients' has not made {where}, and {variable} is not set")
    return CLIENTS / where


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving("-host", "127.0.0.1", "-port", "0") as (_, found):
        yield found


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with echoing() as found:
        yield found


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    client = Toxiproxy()
    host, port = url.removeprefix("http://").split(":")
    client.update_api_consumer(host, int(port))
    yield client
    client.destroy_all()
    assert client.proxies() == {}


def test_toxiproxy_python_creates_lists_and_destroys(client: Any, address: str) -> None:
    assert client.running()
    assert json.loads(client.version()) == {"version": VERSION}
    proxy = client.create(name="p", upstream=address)
    assert ask(proxy.listen) == b"hello"
    assert client.get_proxy("p").listen == proxy.listen
    assert client.get_proxy("q") is None
    with pytest.raises(ProxyExists):
        client.create(name="p", upstream=address)
    made = client.populate(
        [{"name": "p", "upstream": address, "listen": proxy.listen}, {"name": "q", "upstream": address}]
    )
    assert [each.name for each in made] == ["q"]
    assert client.destroy(proxy)
    assert list(client.proxies()) == ["q"]


def test_toxiproxy_python_takes_a_proxy_down(client: Any, address: str) -> None:
    proxy = client.create(name="p", upstream=address)
    with proxy.down():
        assert client.get_proxy("p").enabled is False
        with pytest.raises(ConnectionRefusedError):
            ask(proxy.listen)
    assert ask(proxy.listen) == b"hello"


def test_toxiproxy_python_adds_and_removes_toxics(client: Any, address: str) -> None:
    proxy = client.create(name="p", upstream=address)
    proxy.add_toxic(type="latency", attributes={"latency": 60, "jitter": 0})
    proxy.add_toxic(
        type="limit_data", stream="upstream", name="little", toxicity=1.0, attributes={"bytes": 3}
    )
    assert {name: toxic.type for name, toxic in proxy.toxics().items()} == {
        "little": "limit_data",
        "latency_downstream": "latency",
    }
    assert proxy.get_toxic("latency_downstream").attributes == {"latency": 60, "jitter": 0}
    assert ask(proxy.listen) in {b"", b"hel"}  # the close and the answer are on their way together
    with pytest.raises(ProxyExists):
        proxy.add_toxic(type="latency")
    with pytest.raises(InvalidToxic):
        proxy.add_toxic(type="unheard_of")
    with pytest.raises(InvalidToxic):
        proxy.add_toxic(type="bandwidth", attributes={"rate": -1})
    assert proxy.destroy_toxic("little")
    start_s = time.perf_counter()
    assert ask(proxy.listen) == b"hello"
    assert time.perf_counter() - start_s >= 0.06
    with pytest.raises(NotFound):
        proxy.destroy_toxic("little")
    assert client.reset()
    assert proxy.toxics() == {}


CHAOSTOXI = """
import sys, time
from chaostoxi.proxy import actions as proxies, probes
from chaostoxi.toxic import actions as toxics

host, port, address = sys.argv[1:]
config = {"toxiproxy_host": host, "toxiproxy_port": port}
upstream = address.split(":")
assert proxies.create_proxy("p", upstream[0], int(upstream[1]), "127.0.0.1", 0, configuration=config)
assert probes.proxy_exist("p", configuration=config)
assert not probes.proxy_exist("q", configuration=config)
assert toxics.create_latency_toxic("p", "slow", 50, 10, configuration=config)
assert toxics.create_bandwith_degradation_toxic("p", "narrow", 100, configuration=config)
assert toxics.create_slow_connection_close_toxic("p", "close", 10, configuration=config)
assert toxics.create_timeout_toxic("p", "silent", 10, configuration=config)
assert toxics.create_slicer_toxic("p", "slices", 100, 10, 10, configuration=config)
assert toxics.create_limiter_toxic("p", "limit", 100, configuration=config)
assert toxics.create_toxic("p", "plain", "noop", configuration=config)
assert toxics.delete_toxic("p", "slow", configuration=config)
proxies.disable_proxy("p", configuration=config)
proxies.enable_proxy("p", configuration=config)
proxies.reset(configuration=config)
proxies.delete_proxy("p", configuration=config)
assert not probes.proxy_exist("p", configuration=config)
print("all of it")
"""


def test_chaostoolkit_toxiproxy(url: str, address: str) -> None:
    python = installed("CHAOSTOXI_PYTHON", "chaostoxi/bin/python")
    where = url.removeprefix("http://").split(":")
    ended = subprocess.run(
        [python, "-c", CHAOSTOXI, *where, address], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout.splitlines()[-1:] == ["all of it"], ended.stdout + ended.stderr


NODE = """
const assert = require("node:assert");
const { Toxiproxy } = require("toxiproxy-node-client");
const [url, address] = process.argv.slice(2);
(async () => {
  const server = new Toxiproxy(url);
  assert.match(await server.getVersion(), /version/);
  const proxy = await server.createProxy({ name: "p", listen: "127.0.0.1:0", upstream: address });
  assert.match(proxy.listen, /^127\\.0\\.0\\.1:\\d+$/);
  const made = await server.populate([{ name: "q", listen: "127.0.0.1:0", upstream: address }]);
  assert.deepStrictEqual(Object.keys(await server.getAll()).sort(), ["p", "q"]);
  const changed = await proxy.update({ enabled: false, listen: proxy.listen, upstream: address });
  assert.strictEqual(changed.enabled, false);
  const bodies = {
    latency: { latency: 10, jitter: 1 }, bandwidth: { rate: 10 }, slow_close: { delay: 10 }, timeout: { timeout: 10 },
    reset_peer: { timeout: 10 }, limit_data: { bytes: 10 },
    slicer: { average_size: 10, size_variation: 1, delay: 1 },
  };
  for (const [type, attributes] of Object.entries(bodies)) {
    const toxic = await proxy.addToxic({ name: type, type, stream: "upstream", toxicity: 0.5, attributes });
    assert.deepStrictEqual(toxic.attributes, attributes);
  }
  const toxic = await proxy.getToxic("latency");
  toxic.attributes.latency = 20;
  const updated = await toxic.update({ ...toxic.toJson(), toxicity: 1 });
  assert.strictEqual(updated.attributes.latency, 20);
  await updated.remove();
  await assert.rejects(proxy.getToxic("latency"));
  await server.reset();
  assert.strictEqual((await server.get("p")).enabled, true);
  await (await server.get("p")).remove();
  await (await server.get("q")).remove();
  assert.deepStrictEqual(Object.keys(await server.getAll()), []);
  console.log("all of it");
})().catch((error) => { console.error(error); process.exit(1); });
"""


def test_toxiproxy_node_client(url: str, address: str, tmp_path: Path) -> None:
    modules = installed("TOXIPROXY_NODE_MODULES", "node/node_modules")
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = tmp_path / "drive.cjs"
    script.write_text(textwrap.dedent(NODE))
    ended = subprocess.run(
        [node, str(script), url, address],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "NODE_PATH": str(modules)},
    )  # fmt: skip
    assert ended.stdout.splitlines()[-1:] == ["all of it"], ended.stdout + ended.stderr
