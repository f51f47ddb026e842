"""Grafana's HTTP API as its documentation has it, as far as dashboards and alerting are provisioned through it.

Answers with the documented codes, keeps what it is given, and refuses what the documentation says is refused; and more
than that, references to what is not there. Runs in a thread of its own, so that a blocking client can talk to it.

    with GrafanaServer() as server:
        ...  # a client of server.url with server.admin_token
        server.dashboards["uid"], server.requests
"""

import asyncio
import copy
import itertools
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

from aiohttp import web

from tests.rig.grafana import api_checks
from tests.rig.ports import LOOPBACK, free_port

DEFAULT_RECEIVER: Final = "grafana-default-email"
_START_TIME_OUT_S: Final = 20
_PROVENANCE_HEADER: Final = "X-Disable-Provenance"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    path: str
    status: int
    """Of the answer."""
    problems: tuple[str, ...] = ()
    """Why it was refused."""


@dataclass(slots=True)
class _State:
    folders: dict[str, Body] = field(default_factory=dict)
    datasources: dict[str, Body] = field(default_factory=dict)
    dashboards: dict[str, Body] = field(default_factory=dict)
    """By uid, with `folderUid` and `version` beside the `model`."""
    contact_points: dict[str, Body] = field(default_factory=dict)
    mute_timings: dict[str, Body] = field(default_factory=dict)
    policies: Body = field(default_factory=dict)
    groups: dict[tuple[str, str], Body] = field(default_factory=dict)
    silences: dict[str, Body] = field(default_factory=dict)


class GrafanaServer:
    """A Grafana with a token for an administrator and one for a viewer.

    Args:
        now: What time it thinks it is.
        below: A path that it lies below, such as `/grafana`.
    """

    admin_token: Final = "glsa_administrator"
    viewer_token: Final = "glsa_viewer"

    def __init__(self, *, now: datetime = datetime(2026, 11, 22, tzinfo=UTC), below: str = "") -> None:
        self.now = now
        self.is_in_trouble = False
        """Whether everything is answered with 503."""
        self.is_somebody_else = False
        """Whether a page of something else answers everything, as a proxy in front of it would."""
        self.requests: list[Asked] = []
        self._state = _State(
            contact_points={"default": {"uid": "default", "name": DEFAULT_RECEIVER, "type": "email", "settings": {}}},
            policies={"receiver": DEFAULT_RECEIVER, "group_by": ["grafana_folder", "alertname"]},
        )
        self._ids = itertools.count(1)
        self._below = below
        self._port = free_port()
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="grafana")

    @property
    def url(self) -> str:
        """The address to give to a client."""
        return f"http://{LOOPBACK}:{self._port}{self._below}"

    @property
    def state(self) -> _State:
        """A copy of all that it keeps."""
        return copy.deepcopy(self._state)

    def refused(self) -> list[Asked]:
        """Return the requests that were refused for what they said, in order."""
        return [asked for asked in self.requests if asked.status >= 400 and asked.status != 404]

    @contextmanager
    def changing(self) -> Iterator[_State]:
        """Change what it keeps as somebody else would, behind the API."""
        yield self._state

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(_START_TIME_OUT_S), "the server did not start"
        return self

    def __exit__(self, *_exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _serve(self) -> None:
        runner = web.AppRunner(self._app())
        self._loop.run_until_complete(runner.setup())
        self._loop.run_until_complete(web.TCPSite(runner, LOOPBACK, self._port).start())
        self._loop.call_soon(self._up.set)
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        provisioning = "/api/v1/provisioning"
        routes: Iterable[tuple[str, str, _Handler]] = (
            ("GET", "/api/folders/{uid}", self._get("folders")),
            ("POST", "/api/folders", self._post_folder),
            ("GET", "/api/datasources/uid/{uid}", self._get_datasource),
            ("POST", "/api/datasources", self._post_datasource),
            ("PUT", "/api/datasources/uid/{uid}", self._put_datasource),
            ("GET", "/api/dashboards/uid/{uid}", self._get_dashboard),
            ("POST", "/api/dashboards/db", self._post_dashboard),
            ("GET", f"{provisioning}/contact-points", self._list_contact_points),
            ("POST", f"{provisioning}/contact-points", self._post_contact_point),
            ("PUT", f"{provisioning}/contact-points/{{uid}}", self._put_contact_point),
            ("GET", f"{provisioning}/mute-timings/{{uid}}", self._get("mute_timings")),
            ("POST", f"{provisioning}/mute-timings", self._post_mute_timing),
            ("PUT", f"{provisioning}/mute-timings/{{uid}}", self._put_mute_timing),
            ("GET", f"{provisioning}/policies", self._get_policies),
            ("PUT", f"{provisioning}/policies", self._put_policies),
            ("GET", f"{provisioning}/alert-rules", self._list_rules),
            ("DELETE", f"{provisioning}/alert-rules/{{uid}}", self._delete_rule),
            ("GET", f"{provisioning}/folder/{{folder}}/rule-groups/{{group}}", self._get_group),
            ("PUT", f"{provisioning}/folder/{{folder}}/rule-groups/{{group}}", self._put_group),
            ("GET", "/api/alertmanager/grafana/api/v2/silences", self._list_silences),
            ("POST", "/api/alertmanager/grafana/api/v2/silences", self._post_silence),
        )
        for method, path, handler in routes:
            app.router.add_route(method, f"{self._below}{path}", handler)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            answer = self._admitted(request) or await handler(request)
        except web.HTTPException as exc:
            answer = _said(exc.status, exc.reason)
        problems = answer.headers.getall("X-Problem", ())
        self.requests.append(Asked(request.method, request.path.removeprefix(self._below), answer.status, (*problems,)))
        return answer

    def _admitted(self, request: web.Request) -> web.Response | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.is_somebody_else:
            return web.Response(text="<html>Welcome</html>", content_type="text/html")
        if self.is_in_trouble:
            return _said(503, "database is locked")
        if token not in {self.admin_token, self.viewer_token}:
            return _said(401, "Invalid API key")
        if request.method != "GET" and token != self.admin_token:
            return _said(403, "You'll need additional permissions to perform this action")
        if request.method in {"POST", "PUT"} and request.content_type != "application/json":
            return _said(400, "bad request data")
        return None

    # ---- folders, data sources, dashboards -------------------------------------------------------------------------

    def _get(self, kind: str) -> _Handler:
        async def handler(request: web.Request) -> web.Response:
            return _found(getattr(self._state, kind).get(request.match_info["uid"]))

        return handler

    async def _post_folder(self, request: web.Request) -> web.Response:
        body = await request.json()
        if problems := [*api_checks.folder(body)]:
            return _refused(problems)
        uid = body.get("uid") or f"folder-{next(self._ids)}"
        if uid in self._state.folders:
            return _said(409, "a folder with that uid already exists")
        made = {"id": next(self._ids), "uid": uid, "title": body["title"], "version": 1}
        self._state.folders[uid] = made
        return web.json_response(made)

    async def _get_datasource(self, request: web.Request) -> web.Response:
        return _found(_without_secrets(self._state.datasources.get(request.match_info["uid"])))

    async def _post_datasource(self, request: web.Request) -> web.Response:
        body = await request.json()
        if problems := [*api_checks.datasource(body)]:
            return _refused(problems)
        known = self._state.datasources.values()
        uid = body.get("uid") or f"source-{next(self._ids)}"
        if any(other["name"] == body["name"] or other["uid"] == uid for other in known):
            return _said(409, "data source with the same name or uid already exists")
        return self._keep_datasource(body | {"uid": uid, "version": 1, "id": next(self._ids)}, "Datasource added")

    async def _put_datasource(self, request: web.Request) -> web.Response:
        body, uid = await request.json(), request.match_info["uid"]
        known = self._state.datasources.get(uid)
        if known is None:
            return _said(404, "Data source not found")
        if known.get("readOnly"):
            return _said(403, "Cannot update read-only data source")
        if problems := [*api_checks.datasource(body)]:
            return _refused(problems)
        kept = body | {"uid": uid, "version": known["version"] + 1, "id": known["id"]}
        return self._keep_datasource(kept, "Datasource updated")

    def _keep_datasource(self, body: Body, message: str) -> web.Response:
        self._state.datasources[body["uid"]] = {"readOnly": False, "orgId": 1} | body
        told = _without_secrets(self._state.datasources[body["uid"]])
        return web.json_response({"datasource": told, "id": body["id"], "message": message, "name": body["name"]})

    async def _get_dashboard(self, request: web.Request) -> web.Response:
        known = self._state.dashboards.get(request.match_info["uid"])
        if known is None:
            return _said(404, "Dashboard not found")
        model = known["model"] | {"id": known["id"], "version": known["version"]}
        return web.json_response({"dashboard": model, "meta": {"folderUid": known["folderUid"], "isStarred": False}})

    async def _post_dashboard(self, request: web.Request) -> web.Response:
        body = await request.json()
        state = self._state
        if problems := [*api_checks.dashboard(body, folders=state.folders, datasources=state.datasources)]:
            return _refused(problems)
        model = body["dashboard"]
        uid = model.get("uid") or f"board-{next(self._ids)}"
        known = state.dashboards.get(uid)
        if not body.get("overwrite"):
            if known and model.get("version") is None:
                return _said(412, "A dashboard with the same uid already exists", status="name-exists")
            if known and model["version"] != known["version"]:
                return _said(412, "The dashboard has been changed by someone else", status="version-mismatch")
        version = known["version"] + 1 if known else 1
        kept = {name: value for name, value in model.items() if name not in {"id", "version"}} | {"uid": uid}
        number = known["id"] if known else next(self._ids)
        state.dashboards[uid] = {"id": number, "version": version, "folderUid": body["folderUid"], "model": kept}
        told = {"id": number, "uid": uid, "url": f"/d/{uid}/x", "status": "success", "version": version, "slug": "x"}
        return web.json_response(told)

    # ---- alerting --------------------------------------------------------------------------------------------------

    async def _list_contact_points(self, _request: web.Request) -> web.Response:
        return web.json_response([*self._state.contact_points.values()])

    async def _post_contact_point(self, request: web.Request) -> web.Response:
        body = await request.json()
        if problems := [*api_checks.contact_point(body)]:
            return _refused(problems)
        uid = body.get("uid") or f"point-{next(self._ids)}"
        if uid in self._state.contact_points:
            return _said(409, "a contact point with that uid already exists")
        self._state.contact_points[uid] = body | {"uid": uid} | _provenance(request)
        return web.json_response(self._state.contact_points[uid], status=202)

    async def _put_contact_point(self, request: web.Request) -> web.Response:
        body, uid = await request.json(), request.match_info["uid"]
        if refusal := _changeable(self._state.contact_points.get(uid)):
            return refusal
        if problems := [*api_checks.contact_point(body)]:
            return _refused(problems)
        self._state.contact_points[uid] = body | {"uid": uid} | _provenance(request)
        return _said(202, "contactpoint updated")

    async def _post_mute_timing(self, request: web.Request) -> web.Response:
        body = await request.json()
        if problems := [*api_checks.mute_timing(body)]:
            return _refused(problems)
        if body["name"] in self._state.mute_timings:
            return _said(409, "a mute timing of that name already exists")
        self._state.mute_timings[body["name"]] = body | _provenance(request)
        return web.json_response(body, status=201)

    async def _put_mute_timing(self, request: web.Request) -> web.Response:
        body, name = await request.json(), request.match_info["uid"]
        if refusal := _changeable(self._state.mute_timings.get(name)):
            return refusal
        if problems := [*api_checks.mute_timing(body)]:
            return _refused(problems)
        self._state.mute_timings[name] = body | {"name": name} | _provenance(request)
        return web.json_response(body, status=200)

    async def _get_policies(self, _request: web.Request) -> web.Response:
        return web.json_response(self._state.policies)

    async def _put_policies(self, request: web.Request) -> web.Response:
        body = await request.json()
        if refusal := _changeable(self._state.policies):
            return refusal
        receivers = {point["name"] for point in self._state.contact_points.values()}
        if problems := [*api_checks.policies(body, receivers=receivers, timings=self._state.mute_timings)]:
            return _refused(problems)
        self._state.policies = _without_defaults(body) | _provenance(request)
        return _said(202, "policies updated")

    async def _list_rules(self, _request: web.Request) -> web.Response:
        return web.json_response([rule for group in self._state.groups.values() for rule in group["rules"]])

    async def _delete_rule(self, request: web.Request) -> web.Response:
        for group in self._state.groups.values():
            group["rules"] = [rule for rule in group["rules"] if rule["uid"] != request.match_info["uid"]]
        return web.Response(status=204)

    async def _get_group(self, request: web.Request) -> web.Response:
        return _found(self._state.groups.get((request.match_info["folder"], request.match_info["group"])))

    async def _put_group(self, request: web.Request) -> web.Response:
        body, folder, title = await request.json(), request.match_info["folder"], request.match_info["group"]
        known = self._state.groups.get((folder, title), {"rules": []})
        if any(rule.get("provenance") == "file" for rule in known["rules"]):
            return _said(409, "cannot change provenance from 'file' to 'api'")
        if problems := [
            *api_checks.rule_group(
                body, folder_uid=folder, title=title, folders=self._state.folders, datasources=self._state.datasources
            )
        ]:
            return _refused(problems)
        others = [group for key, group in self._state.groups.items() if key != (folder, title)]
        elsewhere = {rule["uid"] for group in others for rule in group["rules"]}
        if taken := elsewhere & {rule.get("uid") for rule in body["rules"]}:
            return _said(409, f"rules of other groups have these uids: {sorted(taken)}")
        rules = [
            rule | {"uid": rule.get("uid") or f"rule-{next(self._ids)}", "id": next(self._ids)} | _provenance(request)
            for rule in body["rules"]
        ]
        made = {"title": title, "folderUid": folder, "interval": body["interval"], "rules": rules}
        self._state.groups[folder, title] = made
        return web.json_response(made)

    async def _list_silences(self, _request: web.Request) -> web.Response:
        return web.json_response([self._told_silence(silence) for silence in self._state.silences.values()])

    async def _post_silence(self, request: web.Request) -> web.Response:
        body = await request.json()
        if problems := [*api_checks.silence(body, now=self.now)]:
            return _refused(problems)
        number = body.get("id") or f"silence-{next(self._ids)}"
        if "id" in body and number not in self._state.silences:
            return _said(404, "silence not found")
        self._state.silences[number] = body | {"id": number}
        return web.json_response({"silenceID": number}, status=202)

    def _told_silence(self, silence: Body) -> Body:
        starts, ends = (datetime.fromisoformat(silence[name]) for name in ("startsAt", "endsAt"))
        state = "expired" if ends <= self.now else "active" if starts <= self.now else "pending"
        return silence | {"status": {"state": state}}


def _found(resource: Mapping[str, Any] | None) -> web.Response:
    return _said(404, "not found") if resource is None else web.json_response(dict(resource))


def _said(code: int, message: str, **more: str) -> web.Response:
    return web.json_response({"message": message} | more, status=code)


def _refused(problems: list[str]) -> web.Response:
    answer = _said(400, "; ".join(problems))
    answer.headers.extend(("X-Problem", problem) for problem in problems)
    return answer


def _changeable(resource: Mapping[str, Any] | None) -> web.Response | None:
    if resource is None:
        return _said(404, "not found")
    if resource.get("provenance") == "file":
        return _said(409, "cannot change provenance from 'file' to 'api'")
    return None


def _provenance(request: web.Request) -> Body:
    """Return what locks a resource in the pages, unless the request says that people may edit it."""
    return {} if request.headers.get(_PROVENANCE_HEADER) == "true" else {"provenance": "api"}


def _without_secrets(source: Body | None) -> Body | None:
    if source is None:
        return None
    told = {name: value for name, value in source.items() if name != "secureJsonData"}
    return told | {"secureJsonFields": dict.fromkeys(source.get("secureJsonData", {}), True)}


def _without_defaults(route: Body) -> Body:
    """Return a policy as Grafana tells it again: members that are false or empty are left out."""
    kept = {name: value for name, value in route.items() if value not in (False, "", [], None)}
    return kept | ({"routes": [_without_defaults(child) for child in route["routes"]]} if route.get("routes") else {})
