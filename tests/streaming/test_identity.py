"""Tokens and the service that mints them."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systems.streaming.control.tokens import (
    LEEWAY_S,
    SIGNING_KEY,
    TTL_S,
    InvalidToken,
    bearer,
    mint,
    verify,
)
from tests.streaming.service_world import ask, nodes, viewer
from tests.support.local_host import LocalWorld

SURROGATES: tuple[Literal["Cs"]] = ("Cs",)

ACCOUNTS = st.text(
    st.characters(exclude_characters=":", exclude_categories=SURROGATES), min_size=1, max_size=30
)


@given(ACCOUNTS, st.floats(0, 1e6), st.floats(-LEEWAY_S, TTL_S + LEEWAY_S - 1))
def test_a_token_is_good_for_its_time_whoever_checks_it(
    account: str, minted_s: float, later_s: float
) -> None:
    assert verify(mint(account, minted_s), minted_s + later_s) == account


@given(ACCOUNTS, st.data())
def test_no_changed_token_is_accepted(account: str, data: st.DataObject) -> None:
    token = mint(account, 0.0)
    position = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.characters(exclude_characters=token[position], exclude_categories=SURROGATES))
    with pytest.raises(InvalidToken, match="signature"):
        verify(token[:position] + character + token[position + 1 :], 0.0)


def test_expired_foreign_and_missing_tokens() -> None:
    with pytest.raises(InvalidToken, match="expired"):
        verify(mint("a", 0.0), TTL_S + LEEWAY_S + 1)
    with pytest.raises(InvalidToken, match="signature"):
        verify(mint("a", 0.0, b"other"), 0.0, SIGNING_KEY)
    for header in (None, "", "Bearer", "Bearer ", "Basic abc"):
        with pytest.raises(InvalidToken, match="Bearer TOKEN"):
            bearer(header)
    assert bearer("bearer abc") == "abc"
    with pytest.raises(ValueError, match="colon"):
        mint("a:b", 0.0)


async def test_the_service() -> None:
    async with LocalWorld(nodes("identity-east-1")) as world:
        v, node = viewer(world), "identity-east-1"
        status, login, _ = await ask(v, node, "/login", method="POST", json={"account": "account-7"})
        assert (status, login["expires_in_s"]) == (200, TTL_S)
        status, body, _ = await ask(v, node, "/introspect", method="POST", json={"token": login["token"]})
        assert (status, body) == (200, {"account": "account-7"})
        assert (await ask(v, node, "/introspect", method="POST", json={"token": "x"}))[0] == 401
        assert (await ask(v, node, "/login", method="POST", json={"account": "a:b"}))[0] == 400
        assert (await ask(v, node, "/login", method="POST", json={}))[0] == 400
