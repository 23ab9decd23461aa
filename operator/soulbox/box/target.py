"""Where pods may not connect, so that they can find out whether their network policy holds.

The runner of a class with requireEnforcement connects to the address the operator calls it from.
Its policy forbids that, and nothing else does: what goes there and does not arrive was stopped by
the policy. It must be a port that answers, or silence would prove nothing.
"""

import asyncio
import ipaddress
import socket
from typing import Self

from soulbox.model.errors import RunnerUnavailable


class ForbiddenTarget:
    """A port on each address of this machine that pods are called from, opened when first needed.
    Connections are closed at once. For one event loop, within `async with`."""

    def __init__(self) -> None:
        self._servers: dict[str, asyncio.Server] = {}

    async def towards(self, pod_ip: str) -> tuple[str, int]:
        """Address and port that answer, as a call to this pod comes from them.

        Raises:
            RunnerUnavailable: there is no way to the pod, or no port to be had.
        """
        try:
            address = _source_address(pod_ip)
            server = self._servers.get(address)
            if server is None:
                server = await asyncio.start_server(_close, address, 0)
                # Another may have opened one meanwhile.
                kept = self._servers.setdefault(address, server)
                if kept is not server:
                    server.close()
                    server = kept
            return address, int(server.sockets[0].getsockname()[1])
        except OSError as error:
            raise RunnerUnavailable(f"no port to try the network policy with: {error}") from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.close()
        self._servers.clear()


def _source_address(pod_ip: str) -> str:
    """What the kernel would send from; nothing is sent."""
    version = ipaddress.ip_address(pod_ip).version
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.connect((pod_ip, 9))
        return str(one.getsockname()[0])


async def _close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()
