"""``hema-stream models``: what the shipped networks are and may be used for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hema_models.cards import ModelCard


def _identity(card: ModelCard) -> str:
    return f"sha256 {card.sha256[:16]}" if card.shipped else "weights not shipped"


@click.command("models")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """Show the models' cards: all in short, or one whole."""
    from hema_models.cards import find_card, shipped_cards

    if name:
        click.echo(find_card(name).model_dump_json(indent=2))
        return
    for card in shipped_cards().values():
        click.echo(f"{card.name}: {card.architecture}, {card.licence}, {_identity(card)}")
        click.echo(f"  classes: {', '.join(card.classes)}")
        for note in card.notes:
            click.echo(f"  note: {note}")
