"""Tokens at rest and one-time tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from hema_stream.service.auth import Scope, TokenStore
from hema_stream.service.jobs.database import open_database


@pytest.fixture
def tokens(tmp_path: Path) -> TokenStore:
    return TokenStore(open_database(f"sqlite:///{tmp_path / 'service.db'}"))


def test_a_token_is_known_by_its_secret(tokens: TokenStore) -> None:
    text = tokens.create("viewer", [Scope.READ])
    principal = tokens.check(text)
    assert principal is not None
    assert principal.may(Scope.READ)
    assert not principal.may(Scope.SUBMIT)
    for wrong in (text[:-1], text + "x", text.replace("hema_", "hemo_"), text.rsplit("_", 1)[0] + "_", "", "hema__"):
        assert tokens.check(wrong) is None


def test_admin_allows_everything(tokens: TokenStore) -> None:
    principal = tokens.check(tokens.create("root", [Scope.ADMIN]))
    assert principal is not None
    assert all(principal.may(scope) for scope in Scope)


def test_no_secret_is_kept(tokens: TokenStore, tmp_path: Path) -> None:
    secret = tokens.create("viewer", [Scope.READ]).split("_", 2)[2]
    assert secret.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_the_first_start_and_each_until_a_token_is_made_give_a_new_one_time_token(tokens: TokenStore) -> None:
    old, new = tokens.first(), tokens.first()
    assert old is not None
    assert new is not None
    assert not tokens.use_up(old)
    assert tokens.check(new) is None
    assert tokens.use_up(new)
    assert not tokens.use_up(new)
    tokens.create("mine", [Scope.ADMIN])
    assert tokens.first() is None
    assert [row.name for row in tokens.list()] == ["mine"]


def test_a_real_token_is_no_one_time_token(tokens: TokenStore) -> None:
    text = tokens.create("mine", [Scope.ADMIN])
    assert not tokens.use_up(text)
    assert tokens.check(text) is not None


def test_another_one_time_token_may_be_asked_for_and_takes_no_real_one_away(tokens: TokenStore) -> None:
    real = tokens.create("mine", [Scope.READ])
    once = tokens.first(again=True)
    assert once is not None
    assert tokens.use_up(once)
    assert tokens.check(real) is not None
