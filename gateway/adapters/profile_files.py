"""Finds the register maps, the program's and the site's own; what a map means is `gateway.core.profiles`."""

from importlib.resources import files
from pathlib import Path

from gateway.core.profiles import Profile, ProfileError, parse_profile

PROFILE_BYTES_MAX = 262_144


def load_profiles(site_folder: Path | None = None) -> dict[str, Profile]:
    """Return every register map by the name of its file without the ending.

    Args:
        site_folder: Maps of this site; one of the same name replaces ours.

    Raises:
        ProfileError: A file does not hold or cannot be read.
    """
    folders = [files("gateway").joinpath("profiles")]
    if site_folder is not None:
        folders.append(site_folder)
    profiles: dict[str, Profile] = {}
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
            profiles[name.removesuffix(".toml")] = parse_profile(text, file=name)
    return profiles
