"""Deep zoom over HTTP."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import simplejpeg

from hema_stream.service.parts import STORE


async def opened(service: Any, fields: Path) -> str:
    slide = await service.submit("a.png")
    await service.until(slide, "done")
    shutil.copy(fields / "chula-106.png", service.root / "a.png")
    facts = {"width": 640, "height": 480, "mpp": None, "levels": [[640, 480, 1.0]], "reader": "plain"}
    await asyncio.to_thread(service.app[STORE].opened, slide, facts)
    return slide


async def test_a_picture_is_described_and_handed_out_in_tiles(service: Any, fields: Path) -> None:
    slide = await opened(service, fields)
    answer = await service.ask("GET", f"/slides/{slide}/image.dzi")
    document = ElementTree.fromstring(await answer.text())
    assert document.attrib == {"Format": "jpeg", "Overlap": "1", "TileSize": "254"}
    assert document[0].attrib == {"Width": "640", "Height": "480"}
    answer = await service.ask("GET", f"/slides/{slide}/image_files/10/2_1.jpeg")
    assert answer.content_type == "image/jpeg"
    assert "private" in answer.headers["Cache-Control"]
    assert simplejpeg.decode_jpeg(await answer.read()).shape == (227, 133, 3)


async def test_tiles_that_there_are_not_are_not_found(service: Any, fields: Path) -> None:
    slide = await opened(service, fields)
    for tile in ("10/3_0", "10/0_2", "11/0_0", "99/0_0"):
        assert (await service.json("GET", f"/slides/{slide}/image_files/{tile}.jpeg", 404))["code"] == "tile"
    for tile in ("x/0_0", "1/-1_0", "1/0_99999999"):
        assert (await service.ask("GET", f"/slides/{slide}/image_files/{tile}.jpeg")).status == 404


async def test_an_image_that_cannot_be_read_is_told(service: Any, fields: Path) -> None:
    slide = await opened(service, fields)
    (service.root / "a.png").write_bytes(b"no picture")
    assert (await service.json("GET", f"/slides/{slide}/image_files/10/0_0.jpeg", 422))["code"] == "unviewable"


async def test_an_image_that_was_not_opened_has_no_picture(service: Any) -> None:
    slide = await service.submit("bad-1.png")
    await service.until(slide, "rejected")
    assert (await service.json("GET", f"/slides/{slide}/image.dzi", 404))["code"] == "image"


async def test_an_image_that_was_replaced_by_a_link_to_elsewhere_is_not_shown(
    service: Any, fields: Path, tmp_path: Path
) -> None:
    slide = await opened(service, fields)
    (image,) = [path for path in service.root.iterdir() if path.is_file()]
    outside = tmp_path / "outside.png"
    outside.write_bytes(image.read_bytes())
    image.unlink()
    image.symlink_to(outside)
    for path in ("image.dzi", "image_files/8/0_0.jpeg"):
        assert (await service.ask("GET", f"/slides/{slide}/{path}")).status == 410
