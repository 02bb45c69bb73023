"""An MCP server over streamable HTTP: JSON-RPC posts that are answered by event streams."""

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("tides")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
async def count(context: Context, to: int) -> str:
    """Count, telling each step."""
    for number in range(to):
        await context.report_progress(number + 1, to)
    return "counted"


@server.resource("tide://today")
def today() -> str:
    """Today's tide."""
    return "high"


app = server.streamable_http_app()
