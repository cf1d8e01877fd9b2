"""Where a service listens: told in words where it cannot."""

from __future__ import annotations

import errno
import socket
from http.client import HTTPConnection, HTTPException

from hema_stream.core.errors import HemaError

LOOKED = 100
"""Ports looked at for a free one."""
MOST = 65535
WAIT = 1.0
"""Seconds in which what listens already is asked what it is."""


class AddressError(HemaError):
    """An address at which nothing can listen; ``remedy`` names one that is free."""

    code = "address"


def check_address(host: str, port: int) -> None:
    """See whether a service could listen at an address; 0 is any free port.

    Raises:
        AddressError: it cannot.
    """
    try:
        _bind(host, port)
    except OSError as error:
        raise refused(host, port, error) from error


def refused(host: str, port: int, error: OSError) -> AddressError:
    """Say why an address cannot be had, and which can."""
    place = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        free = next((other for other in range(port + 1, min(port + LOOKED, MOST + 1)) if _free(host, other)), 0)
        if _is_ours(host, port):
            what = f"a hema-stream service runs there already: http://{place}"
            remedy = f"use that one; a second takes data of its own: --data FOLDER --port {free}"
            return AddressError(what, place=place, remedy=remedy)
        return AddressError("another program listens there", place=place, remedy=f"a free one: --port {free}")
    if error.errno == errno.EACCES:
        return AddressError("ports under 1024 are the administrator's", place=place, remedy="for example --port 8765")
    what = f"nothing can listen there: {error.strerror or error}"
    return AddressError(what, place=place, remedy="--host takes an address of this machine, such as 127.0.0.1")


def _bind(host: str, port: int) -> None:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tried.bind(address)
        tried.listen(1)


def _free(host: str, port: int) -> bool:
    try:
        _bind(host, port)
    except OSError:
        return False
    return True


def _is_ours(host: str, port: int) -> bool:
    asked = HTTPConnection("127.0.0.1" if host in {"0.0.0.0", "::", ""} else host, port, timeout=WAIT)
    try:
        asked.request("GET", "/api/v1/health")
        return b'"status"' in asked.getresponse().read(200)
    except (OSError, HTTPException):
        return False
    finally:
        asked.close()
