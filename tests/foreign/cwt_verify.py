"""Verifies and makes signed messages with python-cwt; runs in an environment without our packages.

Reads JSON on standard input, one of
    {"verify": [{"name", "public", "kid", "external_aad", "sealed"}]}
    {"sign": {"seed", "kid", "external_aad", "payload"}}
with bytes as hex, and prints JSON: what it made of each.
"""

import json
import sys
from typing import Any

from cwt import COSE, COSEAlgs, COSEHeaders, COSEKey
from cwt.enums import COSEKeyParams, COSEKeyTypes
from cwt.exceptions import CWTError

ED25519_CURVE = 6


def _key(kid: bytes, **parts: bytes) -> Any:
    params: dict[int, Any] = {
        COSEKeyParams.KTY: COSEKeyTypes.OKP,
        COSEKeyParams.KID: kid,
        COSEKeyParams.ALG: COSEAlgs.ED25519,
        COSEKeyParams.CRV: ED25519_CURVE,
        COSEKeyParams.X: parts["public"],
    }
    if "seed" in parts:
        params[COSEKeyParams.D] = parts["seed"]
    return COSEKey.new(params)


def _verify(item: dict[str, str]) -> dict[str, str]:
    try:
        protected, unprotected, payload = COSE.new().decode_with_headers(
            bytes.fromhex(item["sealed"]),
            _key(bytes.fromhex(item["kid"]), public=bytes.fromhex(item["public"])),
            external_aad=bytes.fromhex(item["external_aad"]),
        )
    except (CWTError, ValueError) as error:
        return {"name": item["name"], "error": f"{type(error).__name__}: {error}"}
    return {
        "name": item["name"],
        "payload": payload.hex(),
        "algorithm": str(protected[COSEHeaders.ALG]),
        "kid": protected[COSEHeaders.KID].hex(),
        "unprotected": str(len(unprotected)),
    }


def _sign(item: dict[str, str]) -> dict[str, str]:
    kid = bytes.fromhex(item["kid"])
    sealed = COSE.new().encode_and_sign(
        bytes.fromhex(item["payload"]),
        _key(kid, public=bytes.fromhex(item["public"]), seed=bytes.fromhex(item["seed"])),
        protected={COSEHeaders.ALG: COSEAlgs.ED25519, COSEHeaders.KID: kid},
        external_aad=bytes.fromhex(item["external_aad"]),
    )
    return {"sealed": sealed.hex()}


def main() -> None:
    task = json.load(sys.stdin)
    json.dump({"verify": [_verify(item) for item in task.get("verify", [])],
               "sign": [_sign(item) for item in task.get("sign", [])]}, sys.stdout)  # fmt: skip


if __name__ == "__main__":
    main()
