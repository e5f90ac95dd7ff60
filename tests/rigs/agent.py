"""What an agent's side of the Model Context Protocol has: the protocol's own client, pictures as it hands them over."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, ImageContent, TextContent
from PIL import Image

# The protocol with a handshake, and the one in which each request stands alone.
MODES = ("legacy", "auto")


def client(url: str, mode: str, http: httpx2.AsyncClient | None = None) -> Client:
    """Of a service. `http`: what it sends by; it may have headers of its own."""
    return Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode, read_timeout_seconds=60)


def data_url(picture: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def text(result: CallToolResult) -> str:
    """The one text of a result."""
    (told,) = (each for each in result.content if isinstance(each, TextContent))
    return told.text


def images(result: CallToolResult) -> list[Image.Image]:
    shown = [each for each in result.content if isinstance(each, ImageContent)]
    return [Image.open(io.BytesIO(base64.b64decode(each.data))).convert("RGB") for each in shown]


def posted(url: str, message: Any, **headers: str) -> httpx2.Response:
    """One message of the protocol, by hand. `headers`: beside those that every client sends, or instead of them."""
    usual: Mapping[str, str] = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    body = message if isinstance(message, bytes) else None
    return httpx2.post(
        f"{url}/mcp",
        content=body,
        json=None if body is not None else message,
        headers={**usual, **headers},
        timeout=60,
    )


def call(**arguments: object) -> dict[str, Any]:
    """A call of the tool as a message."""
    params = {"name": "compare_images", "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
