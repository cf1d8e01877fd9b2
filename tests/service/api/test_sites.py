"""Sites over REST: cells to name, learning from them, switching on, and who may."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hema_models.calibration import softmax
from hema_models.site.choice import Choice, current_choice
from hema_models.site.head import answers_of
from hema_models.site.store import SiteStore

from hema_stream.core.features import FEATURES, CellFeatures, write_features
from hema_stream.core.taxonomy import load_taxonomy
from hema_stream.service.auth import Scope
from hema_stream.service.parts import SETTINGS
from hema_stream.service.warm import WarmPipeline

NAMES = load_taxonomy("wbc").names
SHOWN = ("lymphocyte", "monocyte", "eosinophil", "basophil")
NETWORK, CELLS, WIDTH = "ab" * 32, 240, 24


@pytest.fixture(autouse=True)
def _own_sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEMA_STREAM_SITES", str(tmp_path / "sites"))


def kept(network: str = NETWORK, seed: int = 0) -> tuple[CellFeatures, list[str]]:
    """Cells of four classes at a laboratory whose monocytes the network often takes for lymphocytes; their names."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(SHOWN), CELLS)
    prototypes = 3 * (np.eye(len(SHOWN), WIDTH) + np.eye(len(SHOWN), WIDTH, 8))
    features = prototypes[truth] + rng.normal(0, 0.5, (CELLS, WIDTH))
    seen = np.full((CELLS, len(NAMES)), -8.0)
    seen[:, [NAMES.index(name) for name in SHOWN]] = features[:, : len(SHOWN)]
    seen[:, NAMES.index("lymphocyte")] += 1.1 * features[:, 1]
    keys = np.stack([np.arange(CELLS) // 50, np.arange(CELLS) % 50], axis=1).astype(np.int32)
    rows = np.arange(CELLS, dtype=np.int32)
    cells = CellFeatures("wbc", network, rows, keys, features.astype(np.float16), answers_of(softmax(seen)))
    return cells, [SHOWN[c] for c in truth]


@pytest.fixture
async def slide(service: Any) -> str:
    """A slide that ended, with features beside its report."""
    id_ = str(await service.submit("a.png"))
    await service.until(id_, "done")
    keep(service, id_, kept()[0])
    return id_


def keep(service: Any, slide: str, cells: CellFeatures) -> None:
    with (service.app[SETTINGS].results / slide / FEATURES).open("wb") as handle:
        write_features(handle, cells)


async def asked(service: Any, slide: str, **query: Any) -> Any:
    return await service.json("GET", f"/slides/{slide}/telling-cells", params={k: str(v) for k, v in query.items()})


async def taught(service: Any, slide: str, count: int = 60) -> Any:
    """What the service makes of the most telling cells, named as they are."""
    cells, truth = kept()
    of = {tuple(key): name for key, name in zip(cells.keys.tolist(), truth, strict=True)}
    shown = (await asked(service, slide, n=count))["cells"]
    names = [{"key": cell["key"], "class": of[tuple(cell["key"])]} for cell in shown]
    return await service.json("POST", "/sites/tehran/learn", 201, json={"slide": slide, "names": names})


async def test_a_site_is_taught_judged_and_switched_on(service: Any, slide: str) -> None:
    made = await service.json("POST", "/sites", 201, json={"name": "tehran"})
    assert (made["version"], made["in_use"], made["chosen"], made["streams"]) == (0, None, False, {})
    begun = time.monotonic()
    learnt = await taught(service, slide)
    assert time.monotonic() - begun < 10  # seconds; under two on a machine that does nothing else
    judged = learnt["streams"]["wbc"]["judgement"]
    assert (learnt["version"], judged["cells"], judged["better"]) == (1, 60, True)
    assert judged["balanced_after"] > judged["balanced_before"] + 0.05
    assert judged["right_after"] > judged["right_before"] + 0.1
    assert judged["classes"]["monocyte"]["before"] < judged["classes"]["monocyte"]["after"]
    assert sum(learnt["streams"]["wbc"]["cells"].values()) == 60
    assert learnt["in_use"] is None
    choice = service.app[SETTINGS].site_choice
    assert current_choice(choice) is None
    used = await service.json("POST", "/sites/tehran/use", json={"version": 1})
    assert (used["in_use"], used["chosen"]) == (1, True)
    assert current_choice(choice) == Choice("tehran", 1)
    listed = await service.json("GET", "/sites")
    assert (listed["chosen"], [site["version"] for site in listed["sites"]]) == ("tehran", [1])
    await service.json("POST", "/sites/tehran/use", json={"version": None})
    assert current_choice(choice) is None


async def test_the_stored_version_is_the_one_that_was_told(service: Any, slide: str) -> None:
    await service.json("POST", "/sites", 201, json={"name": "tehran"})
    learnt = await taught(service, slide)
    profile = SiteStore().load("tehran")
    assert profile.identity == learnt["identity"]
    part = profile.streams["wbc"]
    assert (part.network, len(part.reviewed), len(part.slides)) == (NETWORK, 60, 1)
    again = await taught(service, slide)
    assert again["version"] == 2
    assert len(SiteStore().load("tehran").streams["wbc"].slides) == 1  # the slide was known
    old = await service.json("GET", "/sites/tehran", params={"version": "1"})
    assert (old["version"], old["versions"]) == (1, [0, 1, 2])


async def test_every_class_is_asked_for_the_least_sure_first_and_none_twice(service: Any, slide: str) -> None:
    shown = await asked(service, slide)
    cells = shown["cells"]
    assert (len(cells), shown["of"]) == (25, CELLS)
    by_class = [[c["confidence"] for c in cells if c["suggestion"] == name] for name in SHOWN]
    assert all(len(found) >= 3 for found in by_class)
    assert "neutrophil" in [name["name"] for name in shown["names"]]
    assert cells[0]["id"].startswith("c0")
    await service.json("POST", "/sites", 201, json={"name": "tehran"})
    await taught(service, slide, 25)
    later = await asked(service, slide, site="tehran")
    assert not {tuple(c["key"]) for c in cells} & {tuple(c["key"]) for c in later["cells"]}


async def test_a_class_of_the_sites_own_takes_ten_cells(service: Any, slide: str) -> None:
    await service.json("POST", "/sites", 201, json={"name": "tehran"})
    shown = (await asked(service, slide, n=24))["cells"]
    names = [{"key": c["key"], "class": "hairy_cell" if n < 9 else "monocyte"} for n, c in enumerate(shown)]
    wish = {"slide": slide, "names": names, "new_classes": ["hairy_cell"]}
    assert (await service.json("POST", "/sites/tehran/learn", 422, json=wish))["code"] == "config"
    names[9]["class"] = "hairy_cell"
    learnt = await service.json("POST", "/sites/tehran/learn", 201, json=wish)
    assert learnt["streams"]["wbc"]["own_classes"] == ["hairy_cell"]
    later = await asked(service, slide, site="tehran")
    assert later["names"][-1] == {"name": "hairy_cell", "title": "Hairy cell"}


async def test_what_cannot_be_is_told_as_a_problem(service: Any, slide: str) -> None:
    assert (await service.json("GET", "/sites/nowhere", 404))["code"] == "site"
    assert (await service.json("POST", "/sites/nowhere/use", 404, json={"version": 1}))["code"] == "site"
    await service.json("POST", "/sites", 201, json={"name": "tehran"})
    assert (await service.json("POST", "/sites", 409, json={"name": "tehran"}))["code"] == "site_exists"
    assert (await service.json("POST", "/sites", 422, json={"name": "../tehran"}))["code"] == "invalid"
    assert (await service.json("POST", "/sites", 422, json={"name": "a..b"}))["code"] == "config"
    assert (await service.json("POST", "/sites/tehran/use", 404, json={"version": 7}))["code"] == "version"
    learn = "/sites/tehran/learn"
    strange = {"slide": slide, "names": [{"key": [99, 99], "class": "monocyte"}]}
    assert "99/99" in (await service.json("POST", learn, 422, json=strange))["detail"]
    unknown = {"slide": slide, "names": [{"key": [0, 0], "class": "unicorn"}]}
    assert "unicorn" in (await service.json("POST", learn, 422, json=unknown))["detail"]
    assert (await service.json("POST", learn, 422, json={"slide": slide, "names": []}))["code"] == "invalid"
    nobody = {"slide": "nobody", "names": [{"key": [0, 0], "class": "monocyte"}]}
    assert (await service.json("POST", learn, 404, json=nobody))["code"] == "slide"
    assert SiteStore().versions("tehran") == [0]


async def test_slides_without_features_or_still_under_way_are_refused(service: Any) -> None:
    plain = await service.submit("b.png")
    await service.until(plain, "done")
    path = f"/slides/{plain}/telling-cells"
    assert (await service.json("GET", path, 409))["code"] == "features"
    (service.app[SETTINGS].results / plain / FEATURES).write_bytes(b"PK\x03\x04 and nothing else")
    assert (await service.json("GET", path, 409))["code"] == "features"
    slow = await service.submit("slow-1.png")
    await service.until(slow, "running")
    assert (await service.json("GET", f"/slides/{slow}/telling-cells", 409))["code"] == "not_ended"
    assert (await service.json("GET", "/slides/nobody/telling-cells", 404))["code"] == "slide"


async def test_another_networks_cells_and_versions_are_refused(
    service: Any, slide: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.json("POST", "/sites", 201, json={"name": "tehran"})
    await taught(service, slide)
    monkeypatch.setattr(WarmPipeline, "networks", {"wbc": "cd" * 32})
    wish = {"slide": slide, "names": [{"key": [0, 0], "class": "monocyte"}]}
    assert (await service.json("POST", "/sites/tehran/learn", 409, json=wish))["code"] == "network"
    assert (await service.json("POST", "/sites/tehran/use", 409, json={"version": 1}))["code"] == "network"


async def test_reading_needs_a_token_and_changing_an_administrators(service: Any, slide: str) -> None:
    token = await service.scoped(Scope.READ, Scope.SUBMIT, Scope.REVIEW)
    assert (await service.ask("GET", "/sites", token="")).status == 401
    assert (await service.ask("GET", "/sites", token=token)).status == 200
    assert (await service.ask("GET", f"/slides/{slide}/telling-cells", token=token)).status == 200
    for path in ("/sites", "/sites/tehran/learn", "/sites/tehran/use"):
        assert (await service.ask("POST", path, token=token, json={})).status == 403
