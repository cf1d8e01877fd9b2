"""``hema-stream models``: what the shipped networks are and may be used for."""

from __future__ import annotations

import click


@click.command("models")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """Show the models' cards: all in short, or one whole."""
    from hema_models.cards import find_card, shipped_cards

    if name:
        click.echo(find_card(name).model_dump_json(indent=2))
        return
    for card in shipped_cards().values():
        click.echo(f"{card.name}: {card.architecture}, {card.licence}, sha256 {card.sha256[:16]}")
        click.echo(f"  classes: {', '.join(card.classes)}")
        for note in card.notes:
            click.echo(f"  note: {note}")
