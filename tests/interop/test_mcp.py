"""The Model Context Protocol's own client against its own server, over streamable HTTP."""

import asyncio

import pytest
from mcp import Client

from tests.support.process import start_server


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_tools_progress_and_resources(app_dir, mode):
    async def main(url):
        async with asyncio.timeout(20), Client(url, mode=mode) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["add", "count"]
            result = await client.call_tool("add", {"a": 2, "b": 3})
            assert result.content[0].text == "5"
            steps = []

            async def progress(done, total, message):
                steps.append((done, total))

            result = await client.call_tool("count", {"to": 3}, progress_callback=progress)
            assert result.content[0].text == "counted"
            assert steps == [(1, 3), (2, 3), (3, 3)]
            assert (await client.read_resource("tide://today")).contents[0].text == "high"

    with start_server(app="mcp_app:app", app_dir=app_dir) as server:
        asyncio.run(main(server.url + "/mcp"))
