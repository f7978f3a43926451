"""Bad inputs: refused together before any work, or left out."""

import pytest

from tinbergen.errors import ConfigError, DataError, MissingFileError
from tinbergen.recordings import Dataset, Recording, Video
from tinbergen.recordings.usable import named_videos, say_left_out, usable


def odd(number: int) -> int:
    if not number % 2:
        raise DataError(f"{number} is even")
    return 10 * number


def test_all_that_is_wrong_is_said_at_once(capsys):
    items = {"a": 1, "b": 2, "c": 4}
    with pytest.raises(
        DataError, match=r"2 of 3 numbers(.|\n)*2 is even\n  4 is even(.|\n)*--skip-bad"
    ):
        usable(items, odd, "numbers", skip_bad=False)
    good, bad = usable(items, odd, "numbers", skip_bad=True)
    assert good == {"a": 10} and bad == {"b": "2 is even", "c": "4 is even"}
    say_left_out(bad)
    assert capsys.readouterr().err == "left out: 2 is even\nleft out: 4 is even\n"


@pytest.mark.parametrize("skip_bad", [False, True])
def test_nothing_left_is_an_error_in_any_case(skip_bad):
    with pytest.raises(DataError, match="2 of 2 numbers"):
        usable({"a": 2, "b": 4}, odd, "numbers", skip_bad)
    with pytest.raises(DataError, match="^2 is even$"):
        usable({"a": 2}, odd, "numbers", skip_bad)
    with pytest.raises(DataError, match="hold no numbers"):
        usable({}, odd, "numbers", skip_bad)


def test_a_wrong_setting_is_nobodys_fault():
    def look(item: int) -> None:
        raise ConfigError("wrong") if item else MissingFileError("gone")

    with pytest.raises(ConfigError, match="wrong"):
        usable({"a": 0, "b": 1}, look, "numbers", skip_bad=True)


def test_names_of_videos():
    both = Recording("day/1:2", {"left": Video("l.mp4"), "top": Video("t.mp4")})
    found = named_videos(Dataset([both, Recording("day/3", {"left": Video("l3.mp4")})]))
    assert list(found) == ["day/1_2/left", "day/1_2/top", "day/3"]
    twins = [Recording(name, {"left": Video(f"{name}.mp4")}) for name in ("1:2", "1_2")]
    with pytest.raises(DataError, match="1_2.*another name"):
        named_videos(Dataset(twins))
