"""What can go wrong with DLMS/COSEM, as types: bytes that do not hold, a link that broke, a peer that refuses.

Every decoder raises `DlmsError` or returns a value, whatever bytes it is given.
"""


class DlmsError(Exception):
    """Raised by everything in `dlms`; each subclass says who has to do something about it."""


class DecodeError(DlmsError):
    """Raised when bytes are no valid encoding of what was expected, or are more than the limits allow."""


class ProtocolError(DlmsError):
    """Raised when the peer answered with something that the state of the conversation does not admit."""


class LinkError(DlmsError):
    """Raised when the data link did not carry the conversation."""


class LinkTimeoutError(LinkError):
    """Raised when no answer came, after all repetitions."""


class LinkRefusedError(LinkError):
    """Raised when the station answered DM: it is there and will not, or it has forgotten the link."""


class FrameRejectedError(LinkError):
    """Raised when the station answered FRMR: it cannot accept what it was sent."""


class SecurityError(DlmsError):
    """Raised when the protection of an APDU does not hold; says never which bytes, nor any key."""


class UnprotectedError(SecurityError):
    """Raised when an APDU came with less protection than the association agreed on."""


class AuthenticationError(SecurityError):
    """Raised when an authentication tag, or the peer's answer to our challenge, is wrong."""


class ReplayError(SecurityError):
    """Raised when an invocation counter is not above what the policy admits."""


class CountersExhaustedError(SecurityError):
    """Raised when an invocation counter has reached 2**32 - 1: the key has to be changed."""


class RefusedError(DlmsError):
    """Raised when the peer understood and said no."""


class AssociationRefusedError(RefusedError):
    """Raised when an AARE rejects: `result` and `diagnostic` are its words (Green Book 9.4.2.2)."""

    def __init__(self, problem: str, *, result: int, diagnostic: int) -> None:
        super().__init__(problem)
        self.result = result
        self.diagnostic = diagnostic


class AccessRefusedError(RefusedError):
    """Raised when a GET or SET of one attribute is refused; `result` is its Data-Access-Result."""

    def __init__(self, problem: str, *, result: int) -> None:
        super().__init__(problem)
        self.result = result


class ActionRefusedError(RefusedError):
    """Raised when an ACTION is refused; `result` is its Action-Result."""

    def __init__(self, problem: str, *, result: int) -> None:
        super().__init__(problem)
        self.result = result


class ServiceRefusedError(RefusedError):
    """Raised when an exception-response came: the peer could not serve the request at all.

    `state_error` and `service_error` are its words; `invocation_counter` is the least counter the peer would accept,
    where it says so.
    """

    def __init__(
        self, problem: str, *, state_error: int, service_error: int, invocation_counter: int | None = None
    ) -> None:
        super().__init__(problem)
        self.state_error = state_error
        self.service_error = service_error
        self.invocation_counter = invocation_counter


class ConfirmedServiceRefusedError(RefusedError):
    """Raised when a confirmed-service-error came: `service`, `kind` and `code` are its words."""

    def __init__(self, problem: str, *, service: int, kind: int, code: int) -> None:
        super().__init__(problem)
        self.service = service
        self.kind = kind
        self.code = code
