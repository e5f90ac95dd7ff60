"""Profiles in files, NAME.yaml each: read strictly, written whole.
Applies none of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from serve_app.settings import Profile, ProfileName, Settings

SUFFIXES: Final = (".yaml", ".yml")
MOST_BYTES: Final = 64 * 1024
_NAME: Final = TypeAdapter(ProfileName)


class ProfileWrong(Exception):
    """A profile can't be used or kept: a sentence for the operator, with its file."""


def is_file_name(given: str) -> bool:
    """Whether it is a file that is meant, rather than a profile by its name."""
    return given.lower().endswith(SUFFIXES)


def name_of(path: Path) -> str:
    """The profile that a file holds. Raises `ProfileWrong`."""
    return checked_name(path.stem, f"{path}: ")


def checked_name(name: str, where: str = "") -> str:
    """The same name. Raises `ProfileWrong`."""
    try:
        return _NAME.validate_python(name)
    except ValidationError:
        raise ProfileWrong(
            f"{where}A profile's name has 1..64 letters, digits, dots, dashes and underscores, and begins with one of "
            "the first two."
        ) from None


def read(path: Path) -> Profile:
    """Raises `ProfileWrong`."""
    import yaml  # for who has such a file

    try:
        if path.stat().st_size > MOST_BYTES:
            raise ProfileWrong(f"{path} has more than {MOST_BYTES} bytes: that is no profile.")
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ProfileWrong(f"{path} can't be read: {exc.strerror}.") from exc
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as exc:
        raise ProfileWrong(f"{path} is not valid YAML.") from exc
    try:
        return Profile.model_validate(fields)
    except ValidationError as exc:
        told = (f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in exc.errors(include_input=False))
        raise ProfileWrong(f"{path} is no profile. {'; '.join(told)}.") from exc


def save(path: Path, profile: Profile) -> None:
    """Whole or not at all. Raises `ProfileWrong`, OSError."""
    import yaml

    name_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")
    text = yaml.safe_dump(profile.model_dump(exclude_none=True), sort_keys=False, allow_unicode=True)
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def with_profiles(settings: Settings) -> Settings:
    """The same settings with the profiles of `profiles_dir` among the others. Raises `ProfileWrong`."""
    if settings.profiles_dir is None:
        return settings
    folder = Path(settings.profiles_dir).expanduser()
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    except OSError as exc:
        raise ProfileWrong(f"{folder} (`args.profiles_dir`) can't be read: {exc.strerror}.") from exc
    found = dict(settings.profiles)
    for path in files:
        name = name_of(path)
        if name in found:
            raise ProfileWrong(f"{path}: there is another profile {name}.")
        found[name] = read(path)
    # Without the folder: these settings are sent to machines that may not have it.
    return settings.model_copy(update={"profiles": found, "profiles_dir": None})
