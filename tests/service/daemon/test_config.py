"""The daemon's configuration: the shipped examples are good, and each fault is named by line and key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from hema_stream.core.configs import config_root
from hema_stream.core.errors import ConfigError
from hema_stream.core.faults import FaultyConfigError
from hema_stream.service.daemon.config import read_config
from hema_stream.service.daemon.examine import examine

Written = Callable[..., Path]


def told(path: Path) -> list[str]:
    """Faults of shape, else those of this machine."""
    try:
        config, document = read_config(path)
    except FaultyConfigError as error:
        return [str(fault) for fault in error.faults]
    return [str(fault) for fault in sorted(examine(config, document))]


def key_of(fault: str) -> str:
    return fault.split(": ")[1]


@pytest.mark.parametrize("name", ["x86", "gpu"])
def test_the_shipped_examples_have_the_shape(name: str) -> None:
    config, _ = read_config(config_root() / "daemon" / f"{name}.yaml")
    assert config.limits.disk.enough > config.limits.disk.low
    assert config.limits.retention.images == 30 * 86400
    assert config.limits.live.heartbeat == 5.0
    assert config.stop.within >= config.stop.finish + config.limits.jobs.grace


def test_a_good_one_has_no_faults(written: Written) -> None:
    assert told(written()) == []


def test_the_line_is_that_of_the_key(tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    path.write_text(f"# box\ndata: {tmp_path / 'data'}\nlimits:\n  disk:\n    low: 5 GiB\n    enogh: 6 GiB\nport: 1\n")
    assert told(path) == ["6: limits.disk.enogh: no such key", "7: port: no such key"]


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"data": "relative"}, "data", "absolute"),
        ({"listen": {"port": 70000}}, "listen.port", "65535"),
        ({"limits": {"disk": {"low": "5 GiB", "enough": "4 GiB"}}}, "limits.disk", "enough must not be under low"),
        ({"limits": {"jobs": {"open": 0}}}, "limits.jobs.open", "greater than 0"),
        ({"limits": {"retention": {"images": "30 fortnights"}}}, "limits.retention.images", "length of time"),
        ({"limits": 3}, "limits", "valid"),
        ({"stop": {"finish": "1 min", "within": "30 s"}}, "stop.within", "at least 75 s"),
        ({"profile": "none-such"}, "profile", "no such configuration"),
        ({"settings": ["clean.score"]}, "settings.0", "not of the form"),
        ({"settings": ["clean.scores=1"]}, "settings", "scores"),
        ({"roots": ["/nowhere/at/all"]}, "roots.0", "no such folder"),
        ({"folders": [{"path": "/nowhere/at/all"}]}, "folders.0.path", "no such folder"),
        ({"folders": [{"path": "/tmp", "mpp": -1}]}, "folders.0.mpp", "greater than or equal to 0.02"),
        ({"listen": {"tls": {"certificate": "/no", "key": "/no"}}}, "listen.tls.certificate", "no such file"),
    ],
)
def test_each_fault_is_told_with_its_key(written: Written, changes: dict[str, Any], key: str, words: str) -> None:
    faults = told(written(**changes))
    assert key in [key_of(fault) for fault in faults], faults
    assert any(words in fault for fault in faults), faults


def test_all_faults_are_told_at_once(written: Written) -> None:
    assert len(told(written(data="x", profile=3, folders=[{}]))) == 3


def test_watched_folders_keep_apart(written: Written, tmp_path: Path, inbox: Path) -> None:
    (inbox / "below").mkdir()
    faults = told(written(folders=[{"path": str(inbox)}, {"path": str(inbox / "below")}]))
    assert [key_of(fault) for fault in faults] == ["folders.1.path"]
    faults = told(written(data=str(inbox / "data")))
    assert [key_of(fault) for fault in faults] == ["folders.0.path"]


def test_a_certificate_must_fit_its_key(written: Written, tmp_path: Path) -> None:
    authority = trustme.CA()
    one, other = authority.issue_cert("a"), authority.issue_cert("b")
    one.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    places = {"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    for leaf, good in ((one, True), (other, False)):
        leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
        faults = told(written(listen={"port": 0, "tls": places}))
        assert (faults == []) is good, faults


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "none.yaml")
