"""Errors as RFC 9457 problem documents, every one of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import orjson
import structlog
from aiohttp import web

from hema_stream.core.errors import HemaError
from hema_stream.service.jobs.store import JobStateError
from hema_stream.service.outage import outage_of

MEDIA = "application/problem+json"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_log = structlog.get_logger(__name__)


class ProblemError(Exception):
    """Something that a client is told instead of an answer.

    Attributes:
        status: HTTP status; code: stable, for programs; detail: what a person reads.
        headers: to send with it.
    """

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, code, detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, dict(headers or {})

    def response(self, path: str) -> web.Response:
        """The problem document."""
        document = {
            "type": f"urn:hema-stream:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": path,
            "code": self.code,
        }
        body = orjson.dumps(document)
        return web.Response(body=body, status=self.status, content_type=MEDIA, headers=self.headers)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what handlers raise into problem documents; what nobody foresaw is logged and told as a plain 500."""
    try:
        return await handler(request)
    except ProblemError as problem:
        return problem.response(request.path)
    except web.HTTPException as answer:
        if answer.status < HTTPStatus.BAD_REQUEST:
            raise
        return _of_http(answer).response(request.path)
    except JobStateError as error:
        return ProblemError(HTTPStatus.CONFLICT, error.code, f"{error.message}; {error.remedy}").response(request.path)
    except HemaError as error:
        return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, error.code, error.message).response(request.path)
    except ConnectionError:
        raise  # the client is gone: nobody is left to tell
    except Exception as error:
        if outage := outage_of(error):
            _log.warning("request refused", method=request.method, path=request.path, error=str(error))
            wait = {"Retry-After": "5"}
            return ProblemError(outage.status, outage.code, outage.detail, wait).response(request.path)
        _log.exception("request failed", method=request.method, path=request.path)
        failed = ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "something failed here; the log says what")
        return failed.response(request.path)


def _of_http(answer: web.HTTPException) -> ProblemError:
    kept = {name: answer.headers[name] for name in ("Allow",) if name in answer.headers}
    code = HTTPStatus(answer.status).name.lower()
    return ProblemError(answer.status, code, answer.reason, kept)
