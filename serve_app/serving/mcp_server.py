"""The tool `compare_images` as a server of the Model Context Protocol, for all of its transports.
Knows no transport: who asks it hands in how a call is answered.

The only file, with the two that open a transport, that imports `mcp` (the extra of that name): import it late.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import traceback
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, NoReturn

import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError

from serve_app import __version__
from serve_app.core.comparing import CantCompare
from serve_app.errors import ComparisonError
from serve_app.schema import ComparisonReport, ImageComparisonConfig, tool
from serve_app.views import tool_answer

# The request as the transport has it, None over stdio; the arguments; how they are to be compared.
Compare = Callable[[Any, Mapping[str, Any], ImageComparisonConfig], Coroutine[Any, Any, ComparisonReport]]
BUG: Final = "Something went wrong here; the request is in our log."


def server(
    compare: Compare,
    *,
    picture: str,
    logger: logging.Logger,
    on_refusal: Callable[[Any, ComparisonError], None] = lambda request, refusal: None,
) -> Server[Any]:
    """Built where it serves: it can't be sent to another process. `compare` is asked for the report of each call, and
    raises `ComparisonError` and `CantCompare`. `picture`: in what form one is given. `on_refusal`: hears of what is
    told as a result, with the request as the transport has it."""
    # It logs what it can't read or write, with pydantic's texts: they hold what a caller sent, and what was read.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    listed = types.ListToolsResult(tools=[_described(picture)])

    async def list_tools(_: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return listed

    async def call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name != tool.NAME:
            _no_such_tool()
        try:
            arguments = params.arguments or {}
            config = tool.config_of(arguments)
            report = await compare(context.request, arguments, tool_answer.wanted(config))
            return _told(await asyncio.to_thread(tool_answer.tool_answer, report, config))
        except ComparisonError as refusal:
            on_refusal(context.request, refusal)
            return refused(refusal)
        except CantCompare as exc:
            return _failed(str(exc))
        except Exception as exc:  # noqa: BLE001 - outermost: the library would tell the caller its text
            # Where it happened, without its text: that may quote what the caller sent.
            where = "".join(traceback.format_tb(exc.__traceback__))
            logger.error("bug: %s\n%s", type(exc).__name__, where)  # noqa: TRY400
            on_refusal(context.request, bug := ComparisonError(BUG))
            return refused(bug)

    return Server("pairlens", version=__version__, title="PairLens", on_list_tools=list_tools, on_call_tool=call_tool)


def _described(picture: str) -> types.Tool:
    return types.Tool(
        name=tool.NAME,
        title=tool.TITLE,
        description=tool.DESCRIPTION,
        input_schema=tool.input_schema(picture),
        output_schema=tool.output_schema(),
        annotations=types.ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
    )


def _no_such_tool() -> NoReturn:
    raise MCPError(types.INVALID_PARAMS, f"There is no such tool here; there is {tool.NAME}.")


def _told(answer: tool_answer.ToolAnswer) -> types.CallToolResult:
    pictures = [
        types.ImageContent(data=base64.b64encode(each.data).decode(), mime_type=each.mime_type)
        for each in answer.pictures
    ]
    return types.CallToolResult(
        content=[types.TextContent(text=answer.text), *pictures], structured_content=answer.report
    )


def refused(refusal: ComparisonError) -> types.CallToolResult:
    """A result, and no error of the protocol: the agent reads it, and can do better."""
    about = refusal.image or refusal.field
    after = "" if refusal.retry_after_s is None else f" (try again in {refusal.retry_after_s} s)"
    return _failed(f"{refusal.type}{f' [{about}]' if about else ''}: {refusal.detail}{after}")


def _failed(sentence: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=sentence)], is_error=True)
