"""An agent's memory on a PoP, by the official client of the Model Context Protocol, unmodified.

    LITTORAL_KEY=lit_… python examples/mcp_client.py http://127.0.0.1:7400/mcp

Needs `pip install mcp`.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

NOTES = [
    {"id": "harbour", "text": "The harbour pilot is called Ines. She starts work at five."},
    {"id": "ferry", "text": "The ferry to the islands leaves at seven from pier four."},
]


async def run(url: str, key: str) -> None:
    """Say which tools there are, keep two notes, and find one of them."""
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=120) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        print(f"{', '.join(tools)} (protocol {client.protocol_version})")
        calls: list[tuple[str, dict[str, Any]]] = [
            ("memory_add", {"collection": "agent-notes", "documents": NOTES}),
            (
                "memory_search",
                {"collection": "agent-notes", "query": "boat to the islands", "limit": 1},
            ),
        ]
        if "memory_ask" in tools:
            question = "When does the ferry leave?"
            calls.append(("memory_ask", {"collection": "agent-notes", "question": question}))
        for name, arguments in calls:
            result = await client.call_tool(name, arguments)
            print(f"\n{name}{' failed' if result.is_error else ''}:")
            print("\n".join(part.text for part in result.content if part.type == "text"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it against the PoP that is named."""
    (url,) = sys.argv[1:] if arguments is None else arguments
    asyncio.run(run(url, os.environ["LITTORAL_KEY"]))


if __name__ == "__main__":
    main()
