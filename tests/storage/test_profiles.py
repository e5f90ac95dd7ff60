"""Profiles in files: what is written can be read, what is wrong is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.settings import Profile, Settings
from serve_app.storage import profiles
from serve_app.storage.profiles import ProfileWrong, with_profiles

SHOP = Profile(similarity_threshold=0.93, max_changed_ratio=0.01, made={"pairs": 120, "engine": "none"})


def test_what_is_saved_can_be_read(tmp_path: Path) -> None:
    profiles.save(tmp_path / "new/shop.yaml", SHOP)
    assert profiles.read(tmp_path / "new/shop.yaml") == SHOP
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["shop.yaml"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("similarity_threshold: 2\n", "is no profile. similarity_threshold: Input should be less than or equal to 1."),
        ("treshold: 0.5\n", "is no profile. treshold: Extra inputs are not permitted."),
        ("", "is no profile. it: Input should be a valid dictionary"),
        ("a: [\n", "is not valid YAML."),
        ("x" * 70_000, "has more than 65536 bytes"),
    ],
)
def test_a_file_that_is_no_profile_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "shop.yaml").write_text(text)
    with pytest.raises(ProfileWrong) as wrong:
        profiles.read(tmp_path / "shop.yaml")
    assert said in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_a_name_that_none_could_give_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileWrong, match="A profile's name has"):
        profiles.save(tmp_path / "two words.yaml", SHOP)


def test_a_folder_of_profiles_lies_beside_those_of_the_settings(tmp_path: Path) -> None:
    profiles.save(tmp_path / "shop.yaml", SHOP)
    (tmp_path / "notes.txt").write_text("not one")
    both = with_profiles(Settings(profiles={"print": Profile()}, profiles_dir=str(tmp_path)))
    assert both.profiles == {"print": Profile(), "shop": SHOP}
    assert both.profiles_dir is None


def test_one_name_in_both_places_and_a_folder_that_is_none_are_refused(tmp_path: Path) -> None:
    profiles.save(tmp_path / "shop.yaml", SHOP)
    with pytest.raises(ProfileWrong, match="another profile shop"):
        with_profiles(Settings(profiles={"shop": SHOP}, profiles_dir=str(tmp_path)))
    with pytest.raises(ProfileWrong, match="No such file"):
        with_profiles(Settings(profiles_dir=str(tmp_path / "none")))
