"""What is written leaves in order, in whole pieces where possible."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.sim.network.send_queue import SendQueue


def queue_of(*pieces: bytes) -> SendQueue:
    queue = SendQueue()
    for piece in pieces:
        queue.append(piece)
    return queue


def test_taking_cuts_a_piece_only_where_it_must() -> None:
    first, second = b"abc", b"defg"
    queue = queue_of(first, second)
    assert queue.whole_bytes(5) == 3
    assert queue.whole_bytes(2) == 2
    taken = queue.take(3)
    assert taken[0] is first
    assert queue.take(1) == [b"d"]
    assert (queue.first_bytes(), queue.n_bytes) == (3, 3)
    assert queue.whole_bytes(3) == 3
    assert queue.take(3) == [b"efg"]
    assert queue.n_bytes == 0


def test_trimming_keeps_the_beginning() -> None:
    queue = queue_of(b"abc", b"def")
    queue.take(1)
    queue.trim(3)
    assert queue.take(queue.n_bytes) == [b"bc", b"d"]
    queue = queue_of(b"abc")
    queue.take(1)
    queue.trim(0)
    assert queue.n_bytes == 0


@given(pieces=st.lists(st.binary(min_size=1, max_size=9), max_size=8), data=st.data())
def test_nothing_is_lost_or_reordered(pieces: list[bytes], data: st.DataObject) -> None:
    queue, out, written = queue_of(*pieces), b"", b"".join(pieces)
    keep = data.draw(st.integers(0, len(written)))
    while queue.n_bytes:
        n = data.draw(st.integers(1, queue.n_bytes))
        assert 0 < queue.whole_bytes(n) <= n
        out += b"".join(queue.take(n))
        assert queue.n_bytes == len(written) - len(out)
        if len(out) <= keep < len(written):
            queue.trim(keep - len(out))
            written = written[:keep]
    assert out == written
