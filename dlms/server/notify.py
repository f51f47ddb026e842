"""What a server says unasked: DATA-NOTIFICATION and EVENT-NOTIFICATION, plain or ciphered (Green Book 9.3.10, 9.5).

Decides the envelope only; what is pushed, when and where to, the device decides.
"""

from dlms.apdu.codec import encode_apdu
from dlms.apdu.services import AttributeDescriptor, DataNotification, EventNotification
from dlms.security.protection import CipherForm, Protector
from dlms.security.suite0 import PROTECTED

_INVOKE_MASK = 0xFF_FFFF
"""Bits 0 to 23 of the long invoke-id; the others say unconfirmed, normal priority, continue on error."""


class Notifier:
    """Numbers notifications, and ciphers them if there are keys for it."""

    def __init__(
        self,
        protector: Protector | None = None,
        *,
        control: int = PROTECTED,
        form: CipherForm = CipherForm.GENERAL_GLOBAL,
        next_invoke: int = 1,
    ) -> None:
        """Prepare for one receiver.

        Args:
            protector: With the receiver's keys; None for plain notifications.
            control: Security control byte of what is ciphered.
            form: Of event notifications; data notifications have the general forms only.
            next_invoke: Number of the first data notification.
        """
        self._protector = protector
        self._control = control
        self._form = form
        self._next_invoke = next_invoke & _INVOKE_MASK

    def data_notification(self, body: bytes, sent_at: bytes = b"") -> bytes:
        """Return a push.

        Args:
            body: A-XDR data.
            sent_at: COSEM date-time, or empty.

        Raises:
            SecurityError: It could not be ciphered.
        """
        invoke = self._next_invoke
        self._next_invoke = invoke + 1 & _INVOKE_MASK
        form = CipherForm.GENERAL_DEDICATED if self._form.is_dedicated else CipherForm.GENERAL_GLOBAL
        return self._close(encode_apdu(DataNotification(invoke, sent_at, body)), form)

    def event_notification(self, attribute: AttributeDescriptor, value: bytes, sent_at: bytes | None = None) -> bytes:
        """Return the notification that an attribute has a value.

        Raises:
            SecurityError: It could not be ciphered.
        """
        return self._close(encode_apdu(EventNotification(sent_at, attribute, value)), self._form)

    def _close(self, apdu: bytes, form: CipherForm) -> bytes:
        if self._protector is None:
            return apdu
        return self._protector.protect(apdu, control=self._control, form=form)
