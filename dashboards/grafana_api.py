"""A running Grafana as `push` sees it: requests that are answered, or one of three errors with a remedy.

Stands before `grafana-client`, which knows addresses, tokens and the ways of the API; what is asked is the business of
`push`.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

import niquests
from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaException, GrafanaTimeoutError

Method = Literal["GET", "POST", "PUT", "DELETE"]

TIME_OUT_S: Final = 30.0
EXIT_REFUSED: Final = 65
"""EX_DATAERR of sysexits.h."""
EXIT_UNREACHABLE: Final = 69
"""EX_UNAVAILABLE."""
EXIT_NOT_ALLOWED: Final = 77
"""EX_NOPERM."""
_DETAIL_CHARS_MAX: Final = 300
_NOT_ALLOWED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_REMEDIES: Final[Mapping[int, str]] = {
    HTTPStatus.BAD_REQUEST: "look at what it says; this Grafana may be older than 11.6",
    HTTPStatus.CONFLICT: "something else owns it, a file of provisioning or another tool: take it away there first",
    HTTPStatus.PRECONDITION_FAILED: "somebody else's has that name or uid: take it away or rename it, then push again",
}


class GrafanaError(Exception):
    """Raised when Grafana cannot do what is asked; says what and what to do about it."""

    exit_code = 1

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} - {remedy}")
        self.problem = problem
        self.remedy = remedy


class UnreachableError(GrafanaError):
    """Raised when Grafana does not answer, or answers that it is in trouble; trying later makes sense."""

    exit_code = EXIT_UNREACHABLE


class NotAllowedError(GrafanaError):
    """Raised when the token is not known or may not do this."""

    exit_code = EXIT_NOT_ALLOWED


class RefusedError(GrafanaError):
    """Raised when Grafana does not take what was sent; sending it again changes nothing."""

    exit_code = EXIT_REFUSED


class Grafana:
    """A server and an account on it; to be closed.

    Args:
        url: Its address, with a path where it lies below one.
        token: Of a service account with the role Admin, or Editor where data source and policies are there.
        is_editable: Whether people may change in Grafana's pages what is pushed, until the next push.
    """

    def __init__(self, url: str, token: str, *, is_editable: bool = False) -> None:
        self._url = url
        # The client puts `api` right behind the path.
        path = urlsplit(url).path
        self._api = GrafanaApi.from_url(url if not path or path.endswith("/") else f"{url}/", token, timeout=TIME_OUT_S)
        self._headers = {"X-Disable-Provenance": "true"} if is_editable else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._api.client.s.close()

    def find(self, method: Method, path: str) -> Any:
        """Return what stands at a path below `/api`, or None where nothing does.

        Raises:
            GrafanaError: As `send`.
        """
        return self._request(method, path, None, none_if_missing=True)

    def send(self, method: Method, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Make a request below `/api` and return its answer.

        Raises:
            UnreachableError: Grafana does not answer.
            NotAllowedError: It does not let this account.
            RefusedError: It does not take what was sent.
        """
        return self._request(method, path, None if body is None else dict(body), none_if_missing=False)

    def _request(self, method: Method, path: str, body: dict[str, Any] | None, *, none_if_missing: bool) -> Any:
        headers = self._headers if method != "GET" and path.startswith("/v1/provisioning") else {}
        try:
            # The client's one door for all methods: its own calls lack a header for some resources, and silences.
            said = getattr(self._api.client, method)(path, json=body, headers=headers, accept_empty_json=True)
        except GrafanaTimeoutError as exc:
            raise UnreachableError(f"{self._url}: no answer in {TIME_OUT_S:.0f} s", "look whether it is well") from exc
        except GrafanaException as exc:
            if none_if_missing and exc.status_code == HTTPStatus.NOT_FOUND:
                return None
            raise self._translated(exc, f"{method} {path}") from exc
        except (niquests.exceptions.RequestException, OSError) as exc:
            raise UnreachableError(
                f"{self._url}: it cannot be reached ({type(exc).__name__})", "check the address, and that Grafana runs"
            ) from exc

        if said and not isinstance(said, dict | list):
            raise RefusedError(f"{self._url}: what answers there is no Grafana", "check the address and its path")
        return said

    def _translated(self, exc: GrafanaException, what: str) -> GrafanaError:
        status = exc.status_code
        said = exc.response.get("message", exc.response) if isinstance(exc.response, dict) else exc.response
        problem = f"{what}: Grafana answered {status}: {str(said)[:_DETAIL_CHARS_MAX]}"
        if status in _NOT_ALLOWED:
            return NotAllowedError(problem, "give a token of a service account with the role Admin (--token-file)")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            return UnreachableError(problem, "look at Grafana's own log, and push again when it is well")
        return RefusedError(problem, _REMEDIES.get(status, "look at what it says"))
