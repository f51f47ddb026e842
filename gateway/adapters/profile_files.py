"""Finds the profile files, the program's and the site's own.

What they mean is `gateway.core.profiles`, and `gateway.core.dlms_profiles` for makes of DLMS meters.
"""

from importlib.resources import files
from pathlib import Path

import msgspec

from gateway.core.dlms_profiles import DlmsProfile, parse_dlms_profile
from gateway.core.profiles import Profile, ProfileError, parse_profile

PROFILE_BYTES_MAX = 262_144


class _Kind(msgspec.Struct):
    kind: str = ""


def load_profiles(site_folder: Path | None = None) -> dict[str, Profile | DlmsProfile]:
    """Return every profile by the name of its file without the ending.

    Args:
        site_folder: Profiles of this site; one of the same name replaces ours.

    Raises:
        ProfileError: A file does not hold or cannot be read.
    """
    folders = [files("gateway").joinpath("profiles")]
    if site_folder is not None:
        folders.append(site_folder)
    profiles: dict[str, Profile | DlmsProfile] = {}
    for folder in folders:
        try:
            entries = sorted(
                (item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name
            )
            texts = {item.name: item.read_bytes() for item in entries}
        except OSError as exc:
            raise ProfileError(
                file=str(folder), key="$", problem=str(exc), remedy="give a readable folder of .toml files"
            ) from exc
        for name, text in texts.items():
            if len(text) > PROFILE_BYTES_MAX:
                raise ProfileError(
                    file=name, key="$", problem="the file is too long", remedy="give one device per file"
                )
            profiles[name.removesuffix(".toml")] = _parsed(text, file=name)
    return profiles


def _parsed(text: bytes, *, file: str) -> Profile | DlmsProfile:
    try:
        kind = msgspec.toml.decode(text, type=_Kind).kind
    except (msgspec.DecodeError, UnicodeDecodeError):
        kind = ""  # whoever parses it says what is wrong
    return parse_dlms_profile(text, file=file) if kind == "dlms" else parse_profile(text, file=file)
