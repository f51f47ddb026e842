"""The v2 write endpoint in front of InfluxDB 1.x, as far as `influxdb-client` needs it to write.

A program of its own, so that it answers while a test's loop is busy, and so imports nothing of ours. It translates
addresses, precisions and errors; the lines themselves, compressed or not, pass through unread.
"""

import argparse
import asyncio
import json
import signal
from typing import Final

import aiohttp
from aiohttp import web

# InfluxDB 1.6 takes a precision it does not know, `us` among them, for nanoseconds, and says nothing.
_PRECISIONS: Final = {"ns": "n", "us": "u", "ms": "ms", "s": "s"}
_ERROR_CODES: Final = {400: "invalid", 401: "unauthorized", 404: "not found", 413: "request too large"}
_BODY_BYTES_MAX: Final = 50_000_000


class Shim:
    """Handlers of the endpoints."""

    def __init__(self, *, upstream: str, token: str, session: aiohttp.ClientSession) -> None:
        self._upstream = upstream
        self._token = token
        self._session = session

    async def write(self, request: web.Request) -> web.Response:
        """Translate one v2 write; the bucket is `database/retention-policy`, or `database` with its default policy."""
        if request.headers.get("Authorization") != f"Token {self._token}":
            return _error(401, "unauthorized access")
        precision = _PRECISIONS.get(request.query.get("precision", "ns"))
        if precision is None:
            return _error(400, f"precision {request.query['precision']!r} is none of {', '.join(_PRECISIONS)}")
        if not request.query.get("org") or not request.query.get("bucket"):
            return _error(400, "org and bucket are required")
        database, _, policy = request.query["bucket"].partition("/")
        query = {"db": database, "precision": precision} | ({"rp": policy} if policy else {})
        headers = {name: request.headers[name] for name in ("Content-Encoding",) if name in request.headers}
        return await self._forward("POST", "/write", query=query, headers=headers, body=await request.read())

    async def query(self, request: web.Request) -> web.Response:
        """Pass an InfluxQL query on, which InfluxDB 2 answers at the same address."""
        return await self._forward(
            request.method, "/query", query=dict(request.query), headers={}, body=await request.read()
        )

    async def ping(self, _request: web.Request) -> web.Response:
        return await self._forward("GET", "/ping", query={}, headers={}, body=b"")

    async def health(self, _request: web.Request) -> web.Response:
        answer = await self._forward("GET", "/ping", query={}, headers={}, body=b"")
        healthy = answer.status == 204
        body = {"name": "influxdb", "status": "pass" if healthy else "fail", "message": "ready for queries and writes"}
        return web.json_response(body, status=200 if healthy else 503)

    async def _forward(
        self, method: str, path: str, *, query: dict[str, str], headers: dict[str, str], body: bytes
    ) -> web.Response:
        address = f"{self._upstream}{path}"
        try:
            async with self._session.request(method, address, params=query, headers=headers, data=body) as answer:
                content = await answer.read()
                if answer.status >= 400 and path == "/write":
                    return _error(answer.status, json.loads(content)["error"])
                return web.Response(status=answer.status, body=content, content_type=answer.content_type)
        except aiohttp.ClientError as exc:
            return _error(503, str(exc))


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"code": _ERROR_CODES.get(status, "unavailable"), "message": message}, status=status)


async def serve(*, port: int, upstream: str, token: str) -> None:
    """Serve until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    # The body is compressed by the client and passes as it is; the answer is for us to read.
    async with aiohttp.ClientSession() as session:
        shim = Shim(upstream=upstream, token=token, session=session)
        app = web.Application(client_max_size=_BODY_BYTES_MAX)
        app.router.add_post("/api/v2/write", shim.write)
        app.router.add_route("*", "/query", shim.query)
        app.router.add_get("/ping", shim.ping)
        app.router.add_get("/health", shim.health)
        runner = web.AppRunner(app, access_log=None, auto_decompress=False)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        print(json.dumps({"ready": True, "port": port}), flush=True)
        await ended.wait()
        await runner.cleanup()


def main() -> None:
    """Run the shim from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--token", required=True)
    arguments = parser.parse_args()
    asyncio.run(serve(port=arguments.port, upstream=arguments.upstream, token=arguments.token))


if __name__ == "__main__":
    main()
