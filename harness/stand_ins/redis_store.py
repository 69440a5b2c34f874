"""What a Redis server keeps: strings and lists that may expire, and who waits for them. No protocol, no network.

Commands behave as Redis 7 documents them (https://redis.io/docs/latest/commands/); the others raise NotModelled.
"""

from __future__ import annotations

import fnmatch
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from harness.errors import HarnessError
from harness.stand_ins.resp import Error, Nothing, Reply, Simple

OK = Simple("OK")
INTEGER = Error("ERR value is not an integer or out of range")
SYNTAX = Error("ERR syntax error")
WRONG_TYPE = Error("WRONGTYPE Operation against a key holding the wrong kind of value")
MAX_INTEGER = 2**63 - 1

type Value = bytes | list[bytes]
type Command = Callable[[Store, list[bytes]], Reply]


class NotModelled(HarnessError):
    """A client asks the stand-in for something that it does not model: the run is an error."""


def integer(word: bytes) -> int:
    """Raises Error for what Redis does not take for an integer of 64 bits."""
    text = word.decode("latin-1")
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or (digits != "0" and digits[0] == "0") or text == "-0":
        raise INTEGER
    if not -MAX_INTEGER - 1 <= int(text) <= MAX_INTEGER:
        raise INTEGER
    return int(text)


def check_pattern(pattern: bytes) -> None:
    """NotModelled for more than `*` and `?`."""
    if b"[" in pattern or b"\\" in pattern:
        raise NotModelled(f"the Redis stand-in does not model the pattern {pattern.decode('latin-1')}")


def matches(text: bytes, pattern: bytes) -> bool:
    return fnmatch.fnmatchcase(text.decode("latin-1"), pattern.decode("latin-1"))


@dataclass(slots=True)
class Store:
    """`now_s`: its clock. `pushed`: the lists that got something since they were last looked at."""

    now_s: Callable[[], float]
    values: dict[bytes, Value] = field(default_factory=dict)
    expires_s: dict[bytes, float] = field(default_factory=dict)
    versions: Counter[bytes] = field(default_factory=Counter)
    pushed: list[bytes] = field(default_factory=list)

    def run(self, name: str, words: list[bytes]) -> Reply:
        """One command that answers at once. Raises Error, as the server would answer, and NotModelled."""
        command, least, most = COMMANDS[name]
        if not least <= len(words) <= most:
            raise Error(f"ERR wrong number of arguments for '{name.lower()}' command")
        return command(self, words)

    # ------------------------------------------------------------------ keys

    def get(self, key: bytes) -> Value | None:
        if self.expires_s.get(key, math.inf) <= self.now_s():
            self.remove(key)
        return self.values.get(key)

    def version(self, key: bytes) -> int:
        self.get(key)
        return self.versions[key]

    def text(self, key: bytes) -> bytes | None:
        value = self.get(key)
        if isinstance(value, list):
            raise WRONG_TYPE
        return value

    def items(self, key: bytes) -> list[bytes]:
        value = self.get(key)
        if isinstance(value, bytes):
            raise WRONG_TYPE
        return [] if value is None else value

    def put(self, key: bytes, value: Value, *, keep_expiry: bool = True) -> None:
        """An empty list is no key."""
        if value == []:
            self.remove(key)
            return
        self.versions[key] += 1
        self.values[key] = value
        if not keep_expiry:
            self.expires_s.pop(key, None)

    def remove(self, key: bytes) -> bool:
        self.expires_s.pop(key, None)
        if self.values.pop(key, None) is None:
            return False
        self.versions[key] += 1
        return True

    def push(self, key: bytes, words: Iterable[bytes], *, left: bool) -> int:
        items = list(self.items(key))
        for word in words:
            items.insert(0 if left else len(items), word)
        self.put(key, items)
        self.pushed.append(key)
        return len(items)

    def pop(self, key: bytes, *, left: bool) -> bytes | None:
        items = list(self.items(key))
        if not items:
            return None
        word = items.pop(0 if left else -1)
        self.put(key, items)
        return word

    def expire(self, key: bytes, at_s: float) -> int:
        if self.get(key) is None:
            return 0
        if at_s <= self.now_s():
            self.remove(key)
        else:
            self.expires_s[key] = at_s
            self.versions[key] += 1
        return 1


COMMANDS: dict[str, tuple[Command, int, int]] = {}
"""By name: what it does, and how many arguments it has, at least and at most."""

_MANY = 1_000_000


def _command(name: str, least: int, most: int | None = None) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        COMMANDS[name] = (command, least, least if most is None else most)
        return command

    return add


# ---------------------------------------------------------------------- strings


@_command("GET", 1)
def _get(store: Store, words: list[bytes]) -> Reply:
    return store.text(words[0])


@_command("MGET", 1, _MANY)
def _mget(store: Store, words: list[bytes]) -> Reply:
    return [value if isinstance(value := store.get(key), bytes) else None for key in words]


@_command("MSET", 2, _MANY)
def _mset(store: Store, words: list[bytes]) -> Reply:
    if len(words) % 2:
        raise Error("ERR wrong number of arguments for 'mset' command")
    for key, value in zip(words[::2], words[1::2], strict=True):
        store.put(key, value, keep_expiry=False)
    return OK


@_command("SET", 2, _MANY)
def _set(store: Store, words: list[bytes]) -> Reply:
    return _set_with(store, words, "set")


def _set_with(store: Store, words: list[bytes], name: str) -> Reply:
    key, value, *rest = words
    options = iter(rest)
    flags: set[str] = set()
    expiry: tuple[str, float] | None = None
    for word in options:
        option = word.upper().decode("latin-1")
        if option in ("NX", "XX", "GET", "KEEPTTL"):
            flags.add(option)
        elif option in ("EX", "PX") and expiry is None:
            amount = integer(next(options, b"?"))
            if amount <= 0:
                raise Error(f"ERR invalid expire time in '{name}' command")
            expiry = (option, amount if option == "EX" else amount / 1000)
        elif option in ("EXAT", "PXAT"):
            raise NotModelled(f"the Redis stand-in does not model SET with {option}")
        else:
            raise SYNTAX
    if flags >= {"NX", "XX"} or (expiry is not None and "KEEPTTL" in flags):
        raise SYNTAX
    old = store.text(key) if "GET" in flags else store.get(key)
    done = not ("NX" in flags and old is not None) and not ("XX" in flags and old is None)
    if done:
        store.put(key, value, keep_expiry="KEEPTTL" in flags)
        if expiry is not None:
            store.expires_s[key] = store.now_s() + expiry[1]
    if "GET" in flags:
        return old if isinstance(old, bytes) else None
    return OK if done else None


@_command("SETNX", 2)
def _setnx(store: Store, words: list[bytes]) -> Reply:
    return 1 if _set(store, [*words, b"NX"]) is OK else 0


@_command("SETEX", 3)
def _setex(store: Store, words: list[bytes]) -> Reply:
    return _set_with(store, [words[0], words[2], b"EX", words[1]], "setex")


@_command("PSETEX", 3)
def _psetex(store: Store, words: list[bytes]) -> Reply:
    return _set_with(store, [words[0], words[2], b"PX", words[1]], "psetex")


@_command("GETSET", 2)
def _getset(store: Store, words: list[bytes]) -> Reply:
    return _set(store, [*words, b"GET"])


@_command("GETDEL", 1)
def _getdel(store: Store, words: list[bytes]) -> Reply:
    value = store.text(words[0])
    store.remove(words[0])
    return value


@_command("APPEND", 2)
def _append(store: Store, words: list[bytes]) -> Reply:
    value = (store.text(words[0]) or b"") + words[1]
    store.put(words[0], value)
    return len(value)


@_command("STRLEN", 1)
def _strlen(store: Store, words: list[bytes]) -> Reply:
    return len(store.text(words[0]) or b"")


def _add(store: Store, key: bytes, amount: int) -> int:
    total = integer(store.text(key) or b"0") + amount
    if not -MAX_INTEGER - 1 <= total <= MAX_INTEGER:
        raise Error("ERR increment or decrement would overflow")
    store.put(key, b"%d" % total)
    return total


@_command("INCR", 1)
def _incr(store: Store, words: list[bytes]) -> Reply:
    return _add(store, words[0], 1)


@_command("DECR", 1)
def _decr(store: Store, words: list[bytes]) -> Reply:
    return _add(store, words[0], -1)


@_command("INCRBY", 2)
def _incrby(store: Store, words: list[bytes]) -> Reply:
    return _add(store, words[0], integer(words[1]))


@_command("DECRBY", 2)
def _decrby(store: Store, words: list[bytes]) -> Reply:
    return _add(store, words[0], -integer(words[1]))


# ---------------------------------------------------------------------- keys


@_command("DEL", 1, _MANY)
@_command("UNLINK", 1, _MANY)
def _del(store: Store, words: list[bytes]) -> Reply:
    return sum(store.get(key) is not None and store.remove(key) for key in words)


@_command("EXISTS", 1, _MANY)
def _exists(store: Store, words: list[bytes]) -> Reply:
    return sum(store.get(key) is not None for key in words)


@_command("TYPE", 1)
def _type(store: Store, words: list[bytes]) -> Reply:
    value = store.get(words[0])
    return Simple("none" if value is None else "list" if isinstance(value, list) else "string")


@_command("KEYS", 1)
def _keys(store: Store, words: list[bytes]) -> Reply:
    keys = [key for key in list(store.values) if store.get(key) is not None]
    check_pattern(words[0])
    return [key for key in keys if matches(key, words[0])]


@_command("DBSIZE", 0)
def _dbsize(store: Store, _: list[bytes]) -> Reply:
    return sum(store.get(key) is not None for key in list(store.values))


@_command("FLUSHALL", 0, 1)
@_command("FLUSHDB", 0, 1)
def _flush(store: Store, _: list[bytes]) -> Reply:
    for key in list(store.values):
        store.remove(key)
    return OK


def _expire_in(store: Store, words: list[bytes], units: int) -> int:
    if len(words) == 3:
        raise NotModelled("the Redis stand-in does not model EXPIRE with options")
    return store.expire(words[0], store.now_s() + integer(words[1]) / units)


@_command("EXPIRE", 2, 3)
def _expire(store: Store, words: list[bytes]) -> Reply:
    return _expire_in(store, words, 1)


@_command("PEXPIRE", 2, 3)
def _pexpire(store: Store, words: list[bytes]) -> Reply:
    return _expire_in(store, words, 1000)


@_command("PERSIST", 1)
def _persist(store: Store, words: list[bytes]) -> Reply:
    return int(store.get(words[0]) is not None and store.expires_s.pop(words[0], None) is not None)


@_command("PTTL", 1)
def _pttl(store: Store, words: list[bytes]) -> Reply:
    if store.get(words[0]) is None:
        return -2
    at_s = store.expires_s.get(words[0])
    return -1 if at_s is None else round((at_s - store.now_s()) * 1000)


@_command("TTL", 1)
def _ttl(store: Store, words: list[bytes]) -> Reply:
    left = _pttl(store, words)
    assert isinstance(left, int)
    return left if left < 0 else (left + 500) // 1000


# ---------------------------------------------------------------------- lists


@_command("LPUSH", 2, _MANY)
def _lpush(store: Store, words: list[bytes]) -> Reply:
    return store.push(words[0], words[1:], left=True)


@_command("RPUSH", 2, _MANY)
def _rpush(store: Store, words: list[bytes]) -> Reply:
    return store.push(words[0], words[1:], left=False)


def _pop(store: Store, words: list[bytes], *, left: bool) -> Reply:
    if len(words) == 1:
        return store.pop(words[0], left=left)
    count = integer(words[1])
    if count < 0:
        raise Error("ERR value is out of range, must be positive")
    if not store.items(words[0]):
        return Nothing()
    popped = (store.pop(words[0], left=left) for _ in range(min(count, len(store.items(words[0])))))
    return [word for word in popped if word is not None]


@_command("LPOP", 1, 2)
def _lpop(store: Store, words: list[bytes]) -> Reply:
    return _pop(store, words, left=True)


@_command("RPOP", 1, 2)
def _rpop(store: Store, words: list[bytes]) -> Reply:
    return _pop(store, words, left=False)


@_command("LLEN", 1)
def _llen(store: Store, words: list[bytes]) -> Reply:
    return len(store.items(words[0]))


@_command("LINDEX", 2)
def _lindex(store: Store, words: list[bytes]) -> Reply:
    items, index = store.items(words[0]), integer(words[1])
    return items[index] if -len(items) <= index < len(items) else None


@_command("LRANGE", 3)
def _lrange(store: Store, words: list[bytes]) -> Reply:
    first, last = integer(words[1]), integer(words[2])
    items = store.items(words[0])
    first, last = (index if index >= 0 else len(items) + index for index in (first, last))
    return list(items[max(first, 0) : max(last + 1, 0)])


@_command("LREM", 3)
def _lrem(store: Store, words: list[bytes]) -> Reply:
    count, items = integer(words[1]), list(store.items(words[0]))
    places = [index for index, item in enumerate(items) if item == words[2]]
    gone = set(places if count == 0 else places[:count] if count > 0 else places[count:])
    if gone:
        store.put(words[0], [item for index, item in enumerate(items) if index not in gone])
    return len(gone)


@_command("LMOVE", 4)
def _lmove(store: Store, words: list[bytes]) -> Reply:
    ends = [word.upper() for word in words[2:]]
    if any(end not in (b"LEFT", b"RIGHT") for end in ends):
        raise SYNTAX
    if not store.items(words[0]):
        return None
    store.items(words[1])  # of the right type
    word = store.pop(words[0], left=ends[0] == b"LEFT")
    if word is not None:
        store.push(words[1], [word], left=ends[1] == b"LEFT")
    return word


@_command("RPOPLPUSH", 2)
def _rpoplpush(store: Store, words: list[bytes]) -> Reply:
    return _lmove(store, [*words, b"RIGHT", b"LEFT"])
