"""The plugin, by the tests of people who use it, each in a pytest of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageDraw

import pairlens
import serve_app
import serve_app.views.html_report
from tests.worlds.samples import card, encoded

pytest_plugins = ["pytester"]

DRAWN = """
from PIL import Image, ImageDraw

def drawn(*boxes, size=(320, 240), format="PNG"):
    image = Image.new("RGB", size, "white")
    for box in boxes:
        ImageDraw.Draw(image).rectangle(box, fill="navy")
    return image
"""
SAME = DRAWN + "def test_shop(assert_images_match):\n    assert_images_match(drawn((40, 40, 120, 90)))\n"
MOVED = SAME.replace("(40, 40, 120, 90)", "(40, 40, 120, 90), (200, 150, 212, 160)")
BASELINE = Path("baselines/test_look/test_shop.png")
TWICE = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # loaded by this pytest, and by the one in it
OURS = ("-p", "serve_app.plugins.pytest_plugin")
Run = Callable[..., pytest.RunResult]


@pytest.fixture(autouse=True)
def no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(serve_app.__file__).parent.parent))


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """What a run in this process loads for itself, it unloads at its end, and numpy can't be loaded twice."""
    other = card().copy()
    other.paste("red", (10, 10, 60, 40))
    pairlens.compare(encoded(card()), encoded(other))
    from serve_app.plugins import baselines, comparer, matching, pages  # noqa: F401


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """A file of tests, run in this process, which has loaded all that is slow to load; with no plugin but ours."""

    def ran(source: str | None, *options: str) -> pytest.RunResult:
        if source is not None:
            pytester.makepyfile(test_look=source)
        return pytester.runpytest_inprocess(*OURS, "-p", "no:cacheprovider", "-W", "error", *TWICE, *options)

    return ran


@pytest.fixture
def with_baseline(run: Run) -> Run:
    run(SAME, "--pairlens-update=missing").assert_outcomes(passed=1)
    return run


def test_pytest_finds_it() -> None:
    assert "serve_app.plugins.pytest_plugin" in {each.value for each in entry_points(group="pytest11")}


def test_a_missing_baseline_fails_is_written_to_results_and_not_beside_the_test(
    run: Run, pytester: pytest.Pytester
) -> None:
    result = run(SAME)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            f"*test_shop: there is no baseline {BASELINE}.",
            "*To look at: test-results/pairlens/test_look--test_shop/actual.png",
            "*To accept it as it is: pytest --pairlens-update=missing 'test_look.py::test_shop'",
            "*1 held: 1 missing",
        ]
    )
    assert not (pytester.path / BASELINE).exists()
    index = (pytester.path / "test-results/pairlens/index.html").read_text()
    assert "test_look--test_shop/actual.png" in index
    assert "report.html" not in index  # there was nothing to compare it with
    with Image.open(pytester.path / "test-results/pairlens/test_look--test_shop/actual.png") as kept:
        assert kept.getpixel((50, 50)) == (0, 0, 128)


def test_what_looks_the_same_passes_and_says_nothing(with_baseline: Run, pytester: pytest.Pytester) -> None:
    result = with_baseline(None)

    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*PairLens*")
    assert not (pytester.path / "test-results").exists()


def test_a_change_fails_in_words_with_its_place_and_a_report(with_baseline: Run, pytester: pytest.Pytester) -> None:
    result = with_baseline(MOVED, "--junitxml=junit.xml")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            f"*test_shop is not {BASELINE}: mismatch, similarity 0.*, decided by differences.",
            "*1. The region of 13 x 11 px at (200, 150) was added. [[]at 200,150,13,11]",
            "*To look at: test-results/pairlens/test_look--test_shop/report.html",
            "*To accept it as it is: pytest --pairlens-update=failed 'test_look.py::test_shop'",
            "*To look at: test-results/pairlens/index.html",
        ]
    )
    result.stdout.no_fnmatch_line("*matching.py*")  # nothing of ours stands in the traceback
    kept = pytester.path / "test-results/pairlens/test_look--test_shop"
    assert sorted(each.name for each in kept.iterdir()) == ["actual.png", "baseline.png", "report.html", "report.json"]
    assert json.loads((kept / "report.json").read_text())["verdict"] == "mismatch"
    assert "report.html" not in (kept / "report.html").read_text()[:200]
    index = (kept.parent / "index.html").read_text()
    assert "test_look--test_shop/actual.png" in index
    assert "test_look--test_shop/report.html" in index
    (case,) = ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
    (told,) = (each.get("value") for each in case.iter("property") if each.get("name") == "pairlens")
    assert told is not None
    assert told.startswith("test_shop: mismatch, similarity 0.")


@pytest.mark.parametrize(
    ("update", "source", "outcome", "is_new"),
    [
        ("missing", MOVED, "failed", False),
        ("failed", MOVED, "passed", True),
        ("all", MOVED, "passed", True),
        ("failed", SAME.replace('"navy"', '"#000081"'), "passed", False),  # nobody would see it
        ("all", SAME.replace('"navy"', '"#000081"'), "passed", True),
    ],
)
def test_baselines_are_replaced_as_far_as_is_asked(
    with_baseline: Run, pytester: pytest.Pytester, update: str, source: str, outcome: str, is_new: bool
) -> None:
    before = (pytester.path / BASELINE).read_bytes()

    with_baseline(source, f"--pairlens-update={update}").assert_outcomes(**{outcome: 1})

    assert ((pytester.path / BASELINE).read_bytes() != before) == is_new
    if is_new:
        with_baseline(source).assert_outcomes(passed=1)


def test_an_update_of_all_leaves_files_that_are_the_same(with_baseline: Run, pytester: pytest.Pytester) -> None:
    before = (pytester.path / BASELINE).stat().st_mtime_ns

    with_baseline(None, "--pairlens-update=all").assert_outcomes(passed=1)

    assert (pytester.path / BASELINE).stat().st_mtime_ns == before


def test_results_of_passes_are_kept_where_asked_and_those_of_the_last_run_go(
    with_baseline: Run, pytester: pytest.Pytester
) -> None:
    kept = pytester.path / "test-results/pairlens/test_look--test_shop/report.html"

    with_baseline(None, "--pairlens-keep=all").assert_outcomes(passed=1)
    assert kept.is_file()
    with_baseline(None).assert_outcomes(passed=1)
    assert not kept.exists()


def test_a_folder_that_is_not_ours_is_never_emptied(with_baseline: Run, pytester: pytest.Pytester) -> None:
    theirs = pytester.path / "photos/holiday.txt"
    theirs.parent.mkdir()
    theirs.write_text("precious")

    with_baseline(None, "--pairlens-results=photos").assert_outcomes(passed=1)

    assert theirs.read_text() == "precious"


def test_results_stay_within_their_bound(with_baseline: Run, pytester: pytest.Pytester) -> None:
    result = with_baseline(MOVED, "-o", "pairlens_results_mib=0")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*No results were written: this run's are at their bound*"])
    assert not (pytester.path / "test-results").exists()


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        ("", False),  # nothing may differ
        ("threshold=0.5", True),
        ("threshold=0.5, strict=True", False),
        ("strict=False", True),  # the API's own threshold
        ("config=ImageComparisonConfig(similarity_threshold=0.5)", True),
        ("config=ImageComparisonConfig(max_differences=1)", True),
        ("ignore=[(195, 145, 30, 30)]", True),
        ("ignore=[(0, 0, 10, 10)]", False),
        ("config=ImageComparisonConfig(ignore_regions=((195, 145, 30, 30),))", True),
    ],
)
def test_how_much_may_differ_is_for_the_test_to_say(with_baseline: Run, given: str, passes: bool) -> None:
    source = "from pairlens import ImageComparisonConfig\n" + MOVED.replace("160)))", f"160)), {given})")

    with_baseline(source).assert_outcomes(passed=int(passes), failed=int(not passes))


def test_a_threshold_for_all_tests_is_a_line_of_the_ini(with_baseline: Run) -> None:
    with_baseline(MOVED, "-o", "pairlens_threshold=0.5").assert_outcomes(passed=1)
    with_baseline(None, "-o", "pairlens_threshold=0.5").assert_outcomes(passed=1)
    wrong = with_baseline(None, "-o", "pairlens_threshold=half")
    assert "pairlens_threshold is a number 0..1, not 'half'." in wrong.stdout.str() + wrong.stderr.str()


def test_what_was_ignored_when_the_baseline_was_taken_is_ignored_with_it(run: Run) -> None:
    clock = DRAWN + "def test_shop(assert_images_match):\n    assert_images_match(drawn({}), ignore=[{}])\n"
    run(clock.format("(10, 10, 80, 30)", "(5, 5, 90, 40)"), "--pairlens-update=missing").assert_outcomes(passed=1)

    # Narrower now, and so is what is named to be ignored.
    run(clock.format("(10, 10, 40, 30)", "(5, 5, 40, 40)")).assert_outcomes(passed=1)


def test_pictures_of_a_test_are_counted_and_named_ones_have_their_names(run: Run, pytester: pytest.Pytester) -> None:
    source = DRAWN + (
        "import pytest\nfrom pairlens import assert_images_match\n"
        "class TestShop:\n"
        "    @pytest.mark.parametrize('width', [1, 2])\n"
        "    def test_a(self, width):\n"
        "        assert_images_match(drawn((0, 0, 9, 9)))\n"
        "        assert_images_match(drawn((0, 0, 19, 9)))\n"
        "        assert_images_match(drawn((0, 0, width * 30, 9)), f'cart-{width}')\n"
    )

    run(source, "--pairlens-update=missing").assert_outcomes(passed=2)

    assert sorted(each.name for each in (pytester.path / "baselines/test_look").iterdir()) == [
        "TestShop.test_a-1-2.png",
        "TestShop.test_a-1.png",
        "TestShop.test_a-2-2.png",
        "TestShop.test_a-2.png",
        "cart-1.png",
        "cart-2.png",
    ]
    run(None).assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("assert_images_match(drawn(), '../up')", "'../up' is no name of a baseline"),
        ("assert_images_match(3)", "a figure of matplotlib or an array, not int. A page or a locator"),
        ("assert_images_match(drawn(), ignore=['#clock'])", "ignore takes boxes (x, y, width, height)"),
        ("assert_images_match(drawn(), threshold=7)", "similarity_threshold: Input should be less than or equal to 1"),
        ("assert_images_match(drawn(), ignore=[(x, 0, 1, 1) for x in range(65)])", "65 places are to be ignored"),
        ("assert_images_match(b'no image')", "test_shop: "),
        ("assert_images_match('nowhere.png')", "nowhere.png"),
    ],
)
def test_a_wrong_call_is_told_in_one_sentence(with_baseline: Run, call: str, told: str) -> None:
    result = with_baseline(DRAWN + f"def test_shop(assert_images_match):\n    {call}\n")

    result.assert_outcomes(failed=1)
    assert told in result.stdout.str()


def test_no_baseline_is_made_of_what_is_no_picture(run: Run, pytester: pytest.Pytester) -> None:
    source = "def test_shop(assert_images_match):\n    assert_images_match(b'no image')\n"

    for options in ((), ("--pairlens-update=all",)):
        result = run(source, *options)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*test_shop can't be a baseline: it is no image file that can be read here."])
    assert not (pytester.path / BASELINE).exists()


@pytest.mark.parametrize("broken", [b"", b"no image", b"cut"])
def test_a_corrupt_baseline_names_its_file_and_can_be_replaced(
    with_baseline: Run, pytester: pytest.Pytester, broken: bytes
) -> None:
    path = pytester.path / BASELINE
    path.write_bytes(path.read_bytes()[:200] if broken == b"cut" else broken)

    result = with_baseline(None)
    result.assert_outcomes(failed=1)
    assert f"The baseline {path} can't be used: " in result.stdout.str()
    assert "--pairlens-update=failed" in result.stdout.str()

    with_baseline(None, "--pairlens-update=failed").assert_outcomes(passed=1)
    with_baseline(None).assert_outcomes(passed=1)


def test_another_size_is_a_difference(with_baseline: Run) -> None:
    with_baseline(SAME.replace("90))", "90), size=(320, 300))")).assert_outcomes(failed=1)


def test_workers_side_by_side_leave_one_page_and_one_summary(run: Run, pytester: pytest.Pytester) -> None:
    source = DRAWN + (
        "import pytest\n"
        "@pytest.mark.parametrize('side', range(8))\n"
        "def test_shop(assert_images_match, side):\n"
        "    assert_images_match(drawn((10, 10, 40 + 30 * side, 60)))\n"
    )
    xdist = ("-p", "xdist.plugin", "-n", "2")
    run(source, *xdist, "--pairlens-update=missing").assert_outcomes(passed=8)
    assert len(list((pytester.path / "baselines/test_look").iterdir())) == 8

    result = run(source.replace("60)))", "60), (200, 150, 212, 160)))"), *xdist, "--junitxml=junit.xml")

    result.assert_outcomes(failed=8)
    result.stdout.fnmatch_lines(["*8 held: 8 mismatch", "*To look at: test-results/pairlens/index.html"])
    index = (pytester.path / "test-results/pairlens/index.html").read_text()
    assert all(f"test_shop-{side}/actual.png" in index for side in range(8))
    cases = ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
    assert all(len([each for each in case.iter("property") if each.get("name") == "pairlens"]) == 1 for case in cases)


def test_a_test_with_an_event_loop_is_served_too(with_baseline: Run) -> None:
    source = SAME.replace("def test_shop", "import pytest\n\n@pytest.mark.asyncio\nasync def test_shop")

    asyncio = ("-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function")
    with_baseline(source.replace('"navy"', '"#000081"'), *asyncio).assert_outcomes(passed=1)


def test_a_server_is_asked_where_one_is_named(with_baseline: Run) -> None:
    port = 9  # nobody listens there

    result = with_baseline(MOVED, f"--pairlens-server=http://127.0.0.1:{port}")

    result.assert_outcomes(failed=1)
    assert f"127.0.0.1:{port}" in result.stdout.str()


def test_outside_of_a_test_it_says_what_to_use(pytester: pytest.Pytester) -> None:
    result = pytester.run(sys.executable, "-c", "import pairlens; pairlens.assert_images_match(b'')")

    assert result.ret == 1
    result.stderr.fnmatch_lines(["*assert_images_match is for tests that pytest runs; elsewhere, pairlens.compare is."])


def test_a_run_without_pictures_loads_nothing_of_ours(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\n"
        "def test_modules():\n"
        "    assert not {'numpy', 'cv2', 'PIL', 'pydantic', 'ray'} & set(sys.modules)\n"
    )

    pytester.runpytest_subprocess(*OURS).assert_outcomes(passed=1)


def test_two_equal_pictures_are_not_even_decoded(pytester: pytest.Pytester, run: Run) -> None:
    ImageDraw.Draw(image := Image.new("RGB", (64, 64))).rectangle((1, 1, 9, 9), fill="red")
    image.save(pytester.path / "shot.png")
    source = "def test_shop(assert_images_match):\n    assert_images_match('shot.png')\n"
    run(source, "--pairlens-update=missing").assert_outcomes(passed=1)

    pytester.makepyfile(test_look=f"{source}    import sys\n    assert 'cv2' not in sys.modules\n")
    pytester.runpytest_subprocess(*OURS).assert_outcomes(passed=1)
