"""``vlexplain models`` and ``vlexplain methods``: what there is. No torch here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from ..choices.explain import model_info
from ..methods import MethodInfo, catalogue, list_methods
from ..methods.catalogue import method
from ..models import ModelInfo, list_models, zoo
from ..models.files.places import is_here
from . import options
from .console import output, say, table, write_json


def models(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show all that is known of this one.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the models, or what is known of one; the folder of a model works too."""
    found = list_models() if name is None else [model_info(name)]
    tell_left_out(zoo.problems())
    if as_json:
        shown = [_model(info) for info in found]
        write_json(shown if name is None else shown[0])
        return
    if name is not None:
        _show_model(found[0])
        return
    console = output()
    for info in found:
        here = "on this machine" if on_this_machine(info) else _download(info) + " to download"
        console.print(info.name, style="bold", soft_wrap=True)
        console.print(f"  {here}; licence {info.licence}; good for {info.good_for}", soft_wrap=True)
    for warning in dict.fromkeys(info.warning for info in found):
        warned = [info.name for info in found if info.warning == warning]
        console.print(
            f"{', '.join(warned) if len(warned) < len(found) / 2 else 'The others'}: {warning}", soft_wrap=True
        )
    console.print("vlexplain models NAME shows source, towers and intended use of one.", soft_wrap=True)


def tell_left_out(problems: Iterable[str]) -> None:
    """On stderr, so that what is listed can be read by programs."""
    for problem in problems:
        say(problem)


def _download(info: ModelInfo) -> str:
    return "none" if info.local else f"{info.size_mb} MB" + (", gated" if info.gated else "")


def _show_model(info: ModelInfo) -> None:
    console = output()
    console.print(f"{info.title} ({info.name})", style="bold", soft_wrap=True)
    facts = {
        "Source": info.source,
        "Licence": info.licence,
        "Download": _download(info),
        "On this machine": _yes(on_this_machine(info)),
        "Towers": info.towers,
        "Good for": info.good_for,
        "Made for": info.intended_use,
        "Files": ", ".join(info.files),
        "Note": info.warning,
    }
    for what, fact in facts.items():
        if fact:
            console.print(f"{what}: {fact}", soft_wrap=True)


def methods(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show the parameters of this one.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the methods, or the parameters of one."""
    found = list_methods() if name is None else [method(name)]
    tell_left_out(catalogue.problems())
    if as_json:
        listed = [_method(info) for info in found]
        write_json(listed if name is None else listed[0])
    elif name is None:
        _list_methods(found)
    else:
        _show_method(found[0])


def on_this_machine(info: ModelInfo) -> bool:
    """Can the model be loaded without a download? (A look at folders; nothing is imported or asked.)"""
    return is_here(info.name, info)


def _list_methods(found: list[MethodInfo]) -> None:
    listed = table("", "name", "what it does", "source", "needs")
    for info in found:
        said = " ".join((info.summary, *info.limits))
        listed.add_row(info.name, said, info.source, ", ".join(sorted(info.requires)))
    console = output()
    console.print(listed)
    console.print("vlexplain methods NAME shows the parameters of one.")


def _show_method(info: MethodInfo) -> None:
    console = output()
    console.print(f"{info.title} ({info.name})", style="bold", soft_wrap=True)
    console.print(info.summary, soft_wrap=True)
    console.print(f"Source: {info.source}", soft_wrap=True)
    console.print(f"Needs of a model: {', '.join(sorted(info.requires)) or 'nothing'}", soft_wrap=True)
    if info.measured and info.measured not in info.limits:
        console.print(info.measured, soft_wrap=True)
    for limit in info.limits:
        console.print(limit, style="yellow", soft_wrap=True)
    if not info.parameters:
        console.print("It has no parameters.")
        return
    listed = table("", "parameter", "symbol", "default", "range", "what it is", right=("default",))
    for each in info.parameters:
        listed.add_row(each.name, each.symbol, _default(each.default), each.range, each.help)
    console.print(listed)
    for model in list_models():
        if advice := model.recommended.get(info.name):
            chosen = ", ".join(f"{key}={value}" for key, value in advice.items())
            console.print(f"For the model {model.name}: {chosen}, unless you say otherwise.", soft_wrap=True)


def _model(info: ModelInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "title": info.title,
        "licence": info.licence,
        "download_mb": info.size_mb,
        "on_this_machine": on_this_machine(info),
        "source": info.source,
        "good_for": info.good_for,
        "warning": info.warning,
        "towers": info.towers,
        "intended_use": info.intended_use,
        "gated": info.gated,
        "kind": info.kind,
        "recommended": info.recommended,
    }


def _method(info: MethodInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "title": info.title,
        "summary": info.summary,
        "source": info.source,
        "requires": sorted(info.requires),
        "uses_prompt": info.uses_prompt,
        "forwards": info.forwards,
        "limits": list(info.limits),
        "measured": info.measured,
        "parameters": [
            {
                "name": each.name,
                "symbol": each.symbol,
                "kind": each.kind.__name__,
                "default": each.default,
                "low": each.low,
                "high": each.high,
                "choices": list(each.choices),
                "optional": each.optional,
                "help": each.help,
            }
            for each in info.parameters
        ],
    }


def _default(value: Any) -> str:
    return "automatic" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
