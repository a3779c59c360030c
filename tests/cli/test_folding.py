"""Dataclasses among a command's parameters are options of their own."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from napari_vlexplain.cli.folding import Fields, folded


@dataclass(frozen=True)
class Place:
    where: str
    height: int = 3
    far: bool = False


PLACE = Fields(
    Place,
    {
        "where": Annotated[str, typer.Argument(metavar="WHERE")],
        "height": Annotated[int, typer.Option(help="In metres.")],
        "far": Annotated[bool, typer.Option("--far")],
    },
    lambda where, height=3, far=False: Place(where.upper(), height, far),
)


def run(mark: Fields, *words: str) -> str:
    app = typer.Typer(add_completion=False)

    @app.command()
    @folded
    def go(place: Annotated[Place, mark], speed: int = 1, out: str = "") -> None:
        typer.echo((place, speed, out))

    return CliRunner().invoke(app, words).output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["there"], (Place("THERE"), 1, "")),
        (["--height", "5", "there", "--far", "--speed", "2"], (Place("THERE", 5, True), 2, "")),
    ],
)
def test_a_command_gets_what_was_typed_as_one(words: list[str], said: object) -> None:
    assert run(PLACE, *words).strip() == str(said)


def test_the_help_has_the_options_before_out() -> None:
    lines = run(PLACE, "--help")
    assert lines.index("WHERE") < lines.index("--speed") < lines.index("--height") < lines.index("--out")


def test_a_command_offers_a_part_in_its_own_words() -> None:
    part = PLACE.only("where", height=Annotated[int, typer.Option(help="In feet.")])
    lines = run(part, "--help")
    assert "In feet." in lines and "In metres." not in lines and "--far" not in lines
    assert part.given(Place("x", 2)) == {"where": "x", "height": 2}
