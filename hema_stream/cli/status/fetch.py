"""Asking a service how it stands."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from hema_stream.core.errors import HemaError

PATIENCE = 5.0
LATEST = 10


class UnreachableError(HemaError):
    """A service that does not answer, or not to this token."""

    code = "unreachable"


@dataclass(frozen=True)
class Standing:
    """What a page shows: ``/status``, and the newest slides that have ended."""

    url: str
    status: dict[str, Any]
    ended: list[dict[str, Any]]


class Service:
    """A service by its URL.

    Args:
        ca: certificates to trust besides the system's, PEM.
    """

    def __init__(self, url: str, token: str, ca: Path | None) -> None:
        self.url, self._token = url.rstrip("/"), token
        self._tls = ssl.create_default_context(cafile=ca) if url.startswith("https:") else None

    def look(self) -> Standing:
        """Ask once.

        Raises:
            UnreachableError: it does not answer.
        """
        ended = self._get(f"/slides?status=done,rejected,failed,cancelled&limit={LATEST}")["slides"]
        return Standing(self.url, self._get("/status"), ended)

    def _get(self, path: str) -> Any:
        request = Request(f"{self.url}/api/v1{path}", headers={"Authorization": f"Bearer {self._token}"})
        try:
            with urlopen(request, timeout=PATIENCE, context=self._tls) as answer:
                return json.load(answer)
        except HTTPError as error:
            remedy = "show a token that allows 'read': --token-file or HEMA_STREAM_TOKEN"
            raise UnreachableError(f"answers {error.code}: {_detail(error)}", place=self.url, remedy=remedy) from error
        except (URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            remedy = "is the service running, and is this its address?"
            raise UnreachableError(f"does not answer: {reason}", place=self.url, remedy=remedy) from error


def _detail(error: HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)
