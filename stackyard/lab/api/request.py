"""Requests and answers as they stand on the wire: forms, JSON, status lines, bodies."""

import json
from collections.abc import Sequence
from urllib.parse import parse_qsl

from aiohttp import web

from stackyard.lab.api.call import Listing
from stackyard.lab.api.faults import NODE_UNREACHABLE, UNAUTHORIZED, ApiError

Params = dict[str, str | list[str]]
_WITHOUT_BODY = (UNAUTHORIZED, NODE_UNREACHABLE)


async def parameters(request: web.Request) -> Params:
    """Return the parameters of query and body; a repeated one is a list.

    Raises:
        ApiError: content where there may be none, JSON that is none, null in JSON.
    """
    body = (await request.read()).decode(errors="replace")
    if body and request.method in ("GET", "DELETE"):
        raise ApiError(f"Unexpected content for method '{request.method}'", 501)
    pairs = parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True)
    if body and request.content_type == "application/json":
        return _repeated(pairs) | _from_json(body)
    return _repeated([*pairs, *parse_qsl(body, keep_blank_values=True)])


def _repeated(pairs: Sequence[tuple[str, str]]) -> Params:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _from_json(text: str) -> Params:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        rest = text[error.pos :] or "(end of string)"
        raise ApiError(
            "malformed JSON string, neither tag, array, object, number, string or atom, at "
            f'character offset {error.pos} (before "{rest}") at '
            "/usr/share/perl5/PVE/APIServer/AnyEvent.pm line 934."
        ) from error
    if not isinstance(document, dict):
        raise ApiError("parameters are no hash")
    return {name: _from_json_value(name, value) for name, value in document.items()}


def _from_json_value(name: str, value: object) -> str | list[str]:
    if value is None:
        raise ApiError(f"unable to parse value of '{name}' - got undefined value")
    if isinstance(value, list):
        return [str(item) for item in value]
    return str(int(value)) if isinstance(value, bool) else str(value)


def success(data: object) -> web.Response:
    """Return the 200 for what a call gave back."""
    if isinstance(data, Listing):
        return _json(200, "OK", {"data": data.data, "total": data.total})
    return _json(200, "OK", {"data": data})


def failure(error: ApiError) -> web.Response:
    """Return the answer for an error: its first line is the reason phrase, 401 has no body."""
    reason = error.text.partition("\n")[0]
    if error.status in _WITHOUT_BODY:
        return web.Response(status=error.status, reason=reason)
    body: dict[str, object] = {"data": None, "message": f"{error.text}\n"}
    if error.errors is not None:
        body["errors"] = error.errors
    return _json(error.status, reason, body)


def _json(status: int, reason: str, body: object) -> web.Response:
    return web.Response(
        status=status,
        reason=reason,
        body=json.dumps(body, ensure_ascii=False).encode(),
        headers={"Content-Type": "application/json;charset=UTF-8"},
    )
