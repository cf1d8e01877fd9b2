"""Limits of the service: data, checked, named where they are wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hema_stages.readers.probe import IMAGE_SUFFIXES

from hema_stream.core.configs import load_config
from hema_stream.core.errors import ConfigError
from hema_stream.service import settings
from hema_stream.service.settings import load_limits


def test_what_a_page_may_upload_is_what_the_readers_read_from_one_file() -> None:
    assert {".png", ".jpeg", ".tiff", ".svs"} <= set(load_limits().uploads.kinds) <= IMAGE_SUFFIXES - {".mrxs", ".vms"}


def test_the_shipped_limits_are_valid() -> None:
    limits = load_limits()
    assert limits.http.refusal_rate.amount == 30
    assert limits.tickets.seconds == 30.0


@pytest.mark.parametrize(("change", "key"), [({"mailbox": 0}, "live.mailbox"), ({"postbox": 1}, "live.postbox")])
def test_a_wrong_key_is_named(monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], key: str) -> None:
    shipped = load_config("service.yaml")
    monkeypatch.setattr(settings, "load_config", lambda _: {**shipped, "live": {**shipped["live"], **change}})
    with pytest.raises(ConfigError, match=key):
        load_limits()
