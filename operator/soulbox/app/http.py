"""/healthz, /readyz and /metrics, and routes that others bring."""

from collections.abc import Callable, Mapping, Sequence

from aiohttp import web

from soulbox.model.errors import ConfigError
from soulbox.telemetry.metrics import CONTENT_TYPE, Metrics

# Name of a check -> what is wrong, "" for nothing.
Checks = Callable[[], Mapping[str, str]]


class HealthServer:
    """Serves probes and metrics on one address."""

    def __init__(
        self,
        listen: str,
        metrics: Metrics,
        *,
        live: Checks,
        ready: Checks,
        routes: Sequence[web.RouteDef] = (),
    ) -> None:
        """Args:
        listen: "host:port".
        live: checks whose failure a restart cures.
        ready: checks whose failure a restart does not cure.
        routes: what else is served.
        """
        self._routes = routes
        self._listen = listen
        self._metrics = metrics
        self._live = live
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Bind and serve. Raises ConfigError when the address cannot be had."""
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._render)
        application.router.add_routes(self._routes)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        host, _, port = self._listen.rpartition(":")
        try:
            site = web.TCPSite(self._runner, host.strip("[]") or None, int(port))
            await site.start()
        except (OSError, ValueError, OverflowError) as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"http_listen: cannot listen on {self._listen}: {error} "
                "(set SOULBOX_HTTP_LISTEN to a free host:port)"
            ) from error

    async def close(self) -> None:
        """Stop serving; safe to repeat."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return _answer(self._live())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer({**self._live(), **self._ready()})

    async def _render(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE})


def _answer(checks: Mapping[str, str]) -> web.Response:
    lines = [f"{name}: {problem or 'ok'}" for name, problem in checks.items()]
    failed = any(checks.values())
    return web.Response(status=503 if failed else 200, text="\n".join(lines) + "\n")
