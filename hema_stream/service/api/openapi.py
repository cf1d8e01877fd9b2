"""The OpenAPI document, made of the endpoints themselves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from openapi_pydantic import OpenAPI
from openapi_pydantic.util import PydanticSchema, construct_open_api_with_schema_class
from pydantic import BaseModel

from hema_stream import __version__
from hema_stream.service.api.models import ProblemDocument
from hema_stream.service.api.routing import PREFIX, Endpoint
from hema_stream.service.problems import MEDIA

_PARAMETER = re.compile(r"{(\w+)(?::([^{}]*(?:{[^{}]*}[^{}]*)*))?}")


def document(endpoints: Sequence[Endpoint]) -> bytes:
    """Describe endpoints as OpenAPI 3.1, JSON."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        path = PREFIX + _PARAMETER.sub(r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint)
    api = {
        "openapi": "3.1.1",
        "info": {"title": "hema-stream", "version": __version__, "description": "Streaming analysis of blood smears."},
        "paths": paths,
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    }
    whole = construct_open_api_with_schema_class(OpenAPI.model_validate(api))
    return whole.model_dump_json(by_alias=True, exclude_none=True).encode()


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    answers = {str(status): _response(status, content) for status, content in endpoint.answers.items()}
    problem = {"description": "A problem (RFC 9457).", "content": {MEDIA: _media(ProblemDocument)}}
    operation: dict[str, Any] = {
        "operationId": _name(endpoint),
        "summary": endpoint.summary,
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint), *_headers(endpoint)],
        "responses": {**answers, "4XX": problem, "5XX": problem},
    }
    if endpoint.scope:
        operation |= {"security": [{"bearer": []}], "description": f"The token must allow `{endpoint.scope}`."}
    if endpoint.body:
        operation["requestBody"] = {"required": True, "content": {"application/json": _media(endpoint.body)}}
    if endpoint.raw:
        binary = {"schema": {"type": "string", "format": "binary"}}
        operation["requestBody"] = {"required": True, "content": {endpoint.raw: binary}}
    return operation


def _name(endpoint: Endpoint) -> str:
    plain = _PARAMETER.sub(r"\1", endpoint.path)
    return f"{endpoint.method.lower()}_{re.sub(r'[^a-z]+', '_', plain).strip('_')}"


def _response(status: int, content: type[BaseModel] | str | None) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if isinstance(content, str):
        response["content"] = {content: {}}
    elif content is not None:
        response["content"] = {"application/json": _media(content)}
    return response


def _media(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": PydanticSchema.model_validate({"schema_class": model})}


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _path_schema(pattern),
        }
        for name, pattern in _PARAMETER.findall(endpoint.path)
    ]


def _path_schema(pattern: str) -> dict[str, Any]:
    """Of a part of a path: text, or digits where its pattern says how many there may be."""
    if not pattern:
        return {"type": "string"}
    digits = int(pattern.rpartition(",")[2].rstrip("}"))
    return {"type": "integer", "minimum": 0, "maximum": 10**digits - 1}


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    if endpoint.query is None:
        return []
    properties: dict[str, Any] = endpoint.query.model_json_schema()["properties"]
    return [
        {"name": name, "in": "query", "description": schema.get("description", name), "schema": _plain(schema)}
        for name, schema in properties.items()
    ]


def _headers(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": header.name,
            "in": "header",
            "description": header.description,
            "required": header.required,
            "schema": header.schema,
        }
        for header in endpoint.headers
    ]


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A query's values are text: lists are written with commas, and what may be missing is simply left out."""
    if schema.get("type") == "array":
        return {"type": "string"}
    choices = [choice for choice in schema.get("anyOf", [schema]) if choice.get("type") != "null"]
    return {key: value for key, value in choices[0].items() if key in ("type", "minimum", "maximum", "maxLength")}
