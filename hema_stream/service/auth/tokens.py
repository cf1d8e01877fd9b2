"""Bearer tokens: ``hema_<id>_<secret>``, of which the database keeps the hash alone."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import sessionmaker

from hema_stream.service.jobs.job import Token

PREFIX = "hema"
SECRET_BYTES, ID_BYTES = 32, 6
ID = re.compile(f"[0-9a-f]{{{2 * ID_BYTES}}}")


class Scope(StrEnum):
    """What a token allows."""

    READ = "read"
    SUBMIT = "submit"
    REVIEW = "review"
    ADMIN = "admin"


@dataclass(frozen=True)
class Principal:
    """Whoever shows a good token; ``admin`` allows everything."""

    id: str
    name: str
    scopes: frozenset[str]

    def may(self, scope: Scope) -> bool:
        """Whether this is allowed."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


class TokenStore:
    """Tokens in the database. Calls wait for the disk: make them from a thread.

    A secret has 256 random bits, so that a plain hash is enough to keep it from whoever reads the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    def create(self, name: str, scopes: Collection[Scope], once: bool = False) -> str:
        """Make a token; its text is told here and never again."""
        made, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
        row = Token(
            id=made,
            name=name,
            hash=_hash(secret),
            scopes=" ".join(sorted(scopes)),
            once=once,
            created=datetime.now(UTC),
        )
        with self._sessions.begin() as session:
            session.add(row)
        return f"{PREFIX}_{made}_{secret}"

    def first(self, again: bool = False) -> str | None:
        """A one-time token that makes a real one; None where there is one already, unless it is asked for ``again``.

        An older one-time token dies.
        """
        with self._sessions.begin() as session:
            if not again and session.scalars(select(Token).where(Token.once.is_(False))).first():
                return None
            session.execute(delete(Token).where(Token.once.is_(True)))
        return self.create("first start", [Scope.ADMIN], once=True)

    def check(self, text: str) -> Principal | None:
        """Whose token it is; None where it is nobody's, or serves once only."""
        row = self._find(text)
        return None if row is None or row.once else Principal(row.id, row.name, frozenset(row.scopes.split()))

    def use_up(self, text: str) -> bool:
        """Use up a one-time token; False where it is none, or was used before."""
        row = self._find(text)
        if row is None or not row.once:
            return False
        with self._sessions.begin() as session:
            gone = delete(Token).where(Token.id == row.id).returning(Token.id)
            return session.execute(gone).first() is not None

    def list(self) -> Sequence[Token]:
        """All tokens, oldest first, without one-time ones."""
        with self._sessions() as session:
            return session.scalars(select(Token).where(Token.once.is_(False)).order_by(Token.created)).all()

    def revoke(self, token_id: str) -> bool:
        """Take a token back; False where there is none."""
        with self._sessions.begin() as session:
            gone = delete(Token).where(Token.id == token_id).returning(Token.id)
            return session.execute(gone).first() is not None

    def _find(self, text: str) -> Token | None:
        prefix, _, rest = text.partition("_")
        token_id, _, secret = rest.partition("_")
        if prefix != PREFIX or not ID.fullmatch(token_id) or not secret.isascii():
            return None
        with self._sessions() as session:
            row = session.get(Token, token_id)
        # Compared in constant time: how long it takes tells nothing of the hash.
        return row if row is not None and secrets.compare_digest(row.hash, _hash(secret)) else None


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
