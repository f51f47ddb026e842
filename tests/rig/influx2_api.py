"""The part of InfluxDB 2.7's API that sets up buckets, as its documentation has it; on the loop of the test.

Decides which requests InfluxDB would take: paths, parameters, bodies, tokens. It keeps what it is given, and stores no
points. `virtual` is whether mappings for InfluxQL are made of buckets' names, as newer servers do.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from tests.rig.ports import LOOPBACK, free_port

ORG_ID: Final = "00000000000000a1"
_SYSTEM_BUCKET: Final = {"id": "000000000000000a", "type": "system", "name": "_tasks", "retentionRules": []}
_BUCKET_KEYS: Final = {"orgID", "name", "description", "retentionRules", "rp", "schemaType"}
_PATCH_KEYS: Final = {"name", "description", "retentionRules"}
_RULE_KEYS: Final = {"type", "everySeconds", "shardGroupDurationSeconds"}
_DBRP_KEYS: Final = {"orgID", "org", "bucketID", "database", "retention_policy", "default"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Influx2Api:
    """A server with one organisation."""

    token: str
    org: str = "wattpost"
    virtual: bool = True
    tells_system_buckets: bool = False
    """Whether a question for one bucket is answered with those of the system too, as some versions do."""
    buckets: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By id."""
    mappings: list[dict[str, Any]] = field(default_factory=list)
    """Those that somebody made."""
    changes: list[str] = field(default_factory=list)
    """Requests that changed something."""
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def retentions(self) -> dict[str, list[int]]:
        """Return the seconds that points stay, by bucket."""
        return {
            item["name"]: [rule["everySeconds"] for rule in item["retentionRules"]] for item in self.buckets.values()
        }

    # ---- endpoints ---------------------------------------------------------------------------------------------------

    async def orgs(self, request: web.Request) -> web.Response:
        """GET /api/v2/orgs."""
        name = request.query.get("org", self.org)
        if name != self.org:
            return _error(404, "not found", f'organization name "{name}" not found')
        return web.json_response({"links": {"self": "/api/v2/orgs"}, "orgs": [{"id": ORG_ID, "name": self.org}]})

    async def list_buckets(self, request: web.Request) -> web.Response:
        """GET /api/v2/buckets: an organisation and a name of which there is none are an error."""
        name = request.query.get("name")
        found = [item for item in self.buckets.values() if name in {None, item["name"]}]
        if self.tells_system_buckets:
            found = [_SYSTEM_BUCKET, *found]
        elif name and not found:
            return _error(404, "not found", f'bucket "{name}" not found')
        return web.json_response({"links": {"self": "/api/v2/buckets"}, "buckets": found})

    async def create_bucket(self, request: web.Request) -> web.Response:
        """POST /api/v2/buckets."""
        body = await request.json()
        problem = _strange(body, _BUCKET_KEYS, {"orgID", "name"}) or _wrong_rules(body.get("retentionRules", []))
        if problem or body["orgID"] != ORG_ID:
            return _error(400, "invalid", problem or "organization not found")
        if any(item["name"] == body["name"] for item in self.buckets.values()):
            return _error(422, "conflict", f"bucket with name {body['name']} already exists")
        bucket = {
            "id": f"{len(self.buckets) + 0xB1:016x}",
            "orgID": ORG_ID,
            "type": "user",
            "name": body["name"],
            "retentionRules": body.get("retentionRules", []),
        }
        self.buckets[bucket["id"]] = bucket
        self.changes.append(f"create bucket {bucket['name']}")
        return web.json_response(bucket, status=201)

    async def change_bucket(self, request: web.Request) -> web.Response:
        """PATCH /api/v2/buckets/{bucketID}."""
        bucket = self.buckets.get(request.match_info["bucket"])
        if bucket is None:
            return _error(404, "not found", "bucket not found")
        body = await request.json()
        if problem := _strange(body, _PATCH_KEYS, set()) or _wrong_rules(body.get("retentionRules", [])):
            return _error(400, "invalid", problem)
        bucket |= body
        self.changes.append(f"change bucket {bucket['name']}")
        return web.json_response(bucket)

    async def list_mappings(self, request: web.Request) -> web.Response:
        """GET /api/v2/dbrps."""
        if not {"org", "orgID"} & set(request.query):
            return _error(400, "invalid", "invalid org or orgID")
        wanted = {"database": request.query.get("db"), "retention_policy": request.query.get("rp")}
        every = [*self.mappings, *(self._virtual() if self.virtual else ())]
        found = [item for item in every if all(value in {None, item[key]} for key, value in wanted.items())]
        return web.json_response({"content": found})

    async def create_mapping(self, request: web.Request) -> web.Response:
        """POST /api/v2/dbrps."""
        body = await request.json()
        if problem := _strange(body, _DBRP_KEYS, {"bucketID", "database", "retention_policy"}):
            return _error(400, "invalid", problem)
        if body["bucketID"] not in self.buckets:
            return _error(400, "invalid", "bucket not found")
        mapping = body | {"id": f"{len(self.mappings) + 0xD1:016x}", "virtual": False}
        self.mappings.append(mapping)
        self.changes.append(f"map {body['database']}/{body['retention_policy']}")
        return web.json_response(mapping, status=201)

    def _virtual(self) -> list[dict[str, Any]]:
        mapped = {item["bucketID"] for item in self.mappings}
        return [
            {
                "id": bucket["id"],
                "orgID": ORG_ID,
                "bucketID": bucket["id"],
                "database": database,
                "retention_policy": policy or "autogen",
                "default": False,
                "virtual": True,
            }
            for bucket in self.buckets.values()
            for database, _, policy in [bucket["name"].partition("/")]
            if bucket["id"] not in mapped
        ]


@asynccontextmanager
async def serve_influx2_api(api: Influx2Api) -> AsyncIterator[Influx2Api]:
    """Serve while the context is open."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Token {api.token}":
            return _error(401, "unauthorized", "unauthorized access")
        if request.method != "GET" and request.content_type != "application/json":
            return _error(415, "unsupported media type", request.content_type)
        return await handler(request)

    app = web.Application(middlewares=[check])
    app.router.add_get("/api/v2/orgs", api.orgs)
    app.router.add_get("/api/v2/buckets", api.list_buckets)
    app.router.add_post("/api/v2/buckets", api.create_bucket)
    app.router.add_patch("/api/v2/buckets/{bucket}", api.change_bucket)
    app.router.add_get("/api/v2/dbrps", api.list_mappings)
    app.router.add_post("/api/v2/dbrps", api.create_mapping)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, api.port).start()
    try:
        yield api
    finally:
        await runner.cleanup()


def _strange(body: object, known: set[str], required: set[str]) -> str:
    """Return what is wrong with the keys of a body."""
    if not isinstance(body, dict):
        return "not an object"
    strangers, missing = set(body) - known, required - set(body)
    return f"unknown {sorted(strangers)}, missing {sorted(missing)}" if strangers or missing else ""


def _wrong_rules(rules: list[dict[str, Any]]) -> str:
    """Return what is wrong with retention rules; an hour is the least, and 0 keeps all."""
    for rule in rules:
        if problem := _strange(rule, _RULE_KEYS, {"everySeconds"}):
            return problem
        if rule["everySeconds"] != 0 and rule["everySeconds"] < 3_600:
            return "expiration seconds must be greater than or equal to one hour"
    return ""


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message}, status=status)
