"""Tiled TIFF, tile by tile."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import simplejpeg
import tifffile
from hema_stages.readers import open_reader
from hema_stages.readers.jpeg import PlainDecoder, dali_installed
from hema_stages.readers.tiled import TiledTiff

from hema_stream.core.errors import InputError

GROUND = np.full(3, 240, np.uint8)
dali = pytest.mark.skipif(not dali_installed(), reason="DALI is not installed (extra dali)")
engines = pytest.mark.parametrize("engine", ["plain", pytest.param("dali", marks=dali)])


def damage(path, index, change):
    """Change the bytes of one tile of level 0 in place."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        offset, count = page.dataoffsets[index], page.databytecounts[index]
    data = bytearray(path.read_bytes())
    tile = change(bytearray(data[offset : offset + count]))
    data[offset : offset + count] = tile[:count].ljust(count, b"\0")
    path.write_bytes(data)


@engines
def test_pixels_are_those_of_tifffile(write_pyramid, slide_of, picture, engine):
    path = write_pyramid(picture)
    slide = slide_of(path)
    reader = open_reader(slide, engine)
    for number, level in enumerate(slide.levels):
        with tifffile.TiffFile(path) as file:
            expected = file.series[0].levels[number].asarray()
        whole = reader._source.region(number, 0, 0, level.width, level.height)
        assert np.abs(whole.astype(int) - expected).max() <= 2
        part = reader._source.region(number, 30, 41, 150, 149)
        assert np.array_equal(part, whole[41:149, 30:150])


@dali
@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
def test_engines_agree_within_two_levels(write_pyramid, slide_of, picture, subsampling):
    slide = slide_of(write_pyramid(picture, subsampling=subsampling))
    read = [open_reader(slide, engine).read((11, 7, 811, 657), (800, 650), GROUND) for engine in ("plain", "dali")]
    assert np.abs(read[0].astype(int) - read[1]).max() <= 2
    assert np.abs(read[0].astype(int) - picture[7:657, 11:811]).mean() < 3


@engines
def test_jpeg_that_stores_rgb(write_pyramid, slide_of, picture, engine):
    path = write_pyramid(picture, compressionargs={"level": 95, "outcolorspace": "rgb"})
    with tifffile.TiffFile(path) as file:
        assert int(file.pages.first.photometric) == 2
    pixels = open_reader(slide_of(path), engine).read((0, 0, 900, 700), (900, 700), GROUND)
    assert np.abs(pixels.astype(int) - picture).max() <= 20
    assert np.abs(pixels.astype(int) - picture).mean() < 2


@engines
def test_tables_that_tiff_keeps_apart(tmp_path, slide_of, picture, engine):
    """As libtiff and most scanners write it: tiles without tables, and no marker of their colours."""
    streams = [
        simplejpeg.encode_jpeg(np.ascontiguousarray(picture[y : y + 128, x : x + 128]), 90, colorsubsampling="420")
        for y in (0, 128)
        for x in (0, 128, 256)
    ]
    split = [apart(stream) for stream in streams]
    path = tmp_path / "tables.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            iter([tile for tile, _ in split]),
            shape=(256, 384, 3),
            dtype="uint8",
            tile=(128, 128),
            photometric="rgb",
            compression="jpeg",
            jpegtables=split[0][1],
        )
    with tifffile.TiffFile(path) as file:
        assert file.pages.first.jpegtables
    pixels = open_reader(slide_of(path), engine).read((0, 0, 384, 256), (384, 256), GROUND)
    expected = np.vstack([np.hstack([simplejpeg.decode_jpeg(s) for s in streams[i : i + 3]]) for i in (0, 3)])
    assert np.abs(pixels.astype(int) - expected).max() <= 2


def apart(stream):
    """Split a whole stream into a tile without tables or colour marker, and its tables."""
    place, tables, rest = 2, b"", b""
    while stream[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(stream[place + 2 : place + 4])
        if stream[place + 1] in (0xDB, 0xC4):
            tables += stream[place:end]
        elif stream[place + 1] not in (0xE0, 0xEE):
            rest += stream[place:end]
        place = end
    return b"\xff\xd8" + rest + stream[place:], b"\xff\xd8" + tables + b"\xff\xd9"


@pytest.mark.parametrize("compression", [None, "deflate", "lzw", "jpeg2000", "webp"])
def test_other_compressions(write_pyramid, slide_of, picture, compression):
    arguments = {"lossless": True} if compression == "webp" else {}
    slide = slide_of(write_pyramid(picture, compression=compression, compressionargs=arguments))
    assert slide.reader == "tiled"
    pixels = open_reader(slide, "plain").read((0, 0, 900, 700), (900, 700), GROUND)
    tolerance = 40 if compression == "jpeg2000" else 0
    assert np.abs(pixels.astype(int) - picture).max() <= tolerance


def test_alpha_is_dropped(write_pyramid, slide_of, picture):
    alpha = np.dstack([picture, np.full(picture.shape[:2], 128, np.uint8)])
    slide = slide_of(write_pyramid(alpha, compression="deflate", compressionargs={}, extrasamples=["unassalpha"]))
    pixels = open_reader(slide, "plain").read((0, 0, 900, 700), (900, 700), GROUND)
    assert np.array_equal(pixels, picture)


@engines
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda tile: tile[: len(tile) // 2], id="cut"),
        pytest.param(lambda tile: bytearray(len(tile)), id="zeros"),
        pytest.param(lambda tile: bytearray(b"\xff\xd8\xff\xe0") + tile[9:], id="bad-markers"),
        pytest.param(lambda tile: bytearray(b"no picture at all" * 30), id="text"),
    ],
)
def test_damaged_tile_is_named_and_the_others_are_read(write_pyramid, slide_of, picture, engine, change):
    path = write_pyramid(picture)
    damage(path, 3, change)
    reader = open_reader(slide_of(path), engine)
    with pytest.raises(InputError, match="tile 3 cannot be decoded") as caught:
        reader.read((0, 0, 900, 700), (900, 700), GROUND)
    assert caught.value.code == "unreadable"
    assert str(path) in caught.value.place
    left = reader.read((0, 0, 384, 128), (384, 128), GROUND)
    assert np.abs(left.astype(int) - picture[:128, :384]).mean() < 3


@engines
def test_garbled_entropy_data_is_an_error(write_pyramid, slide_of, picture, engine):
    path = write_pyramid(picture)
    rng = np.random.default_rng(1)

    def garble(tile):
        middle = len(tile) // 2
        tile[middle : middle + 200] = rng.integers(0, 255, 200, dtype=np.uint8).tobytes()
        return tile

    damage(path, 3, garble)
    with pytest.raises(InputError, match="tile 3"):
        open_reader(slide_of(path), engine).read((0, 0, 900, 700), (900, 700), GROUND)


@engines
def test_stream_that_declares_more_than_its_tile_is_refused_before_decoding(
    write_pyramid, slide_of, picture, engine, monkeypatch
):
    path = write_pyramid(picture)

    def enlarge(tile):
        place = next(i for i in range(len(tile)) if tile[i] == 0xFF and tile[i + 1] == 0xC0)
        tile[place + 5 : place + 9] = struct.pack(">HH", 60_000, 60_000)
        return tile

    damage(path, 0, enlarge)
    reader = open_reader(slide_of(path), engine)
    monkeypatch.setattr(reader._source._levels[0]._decoder, "decode", lambda streams: pytest.fail("was decoded"))
    with pytest.raises(InputError, match="declares 60000 x 60000 px"):
        reader.read((0, 0, 100, 100), (100, 100), GROUND)


def test_tile_that_was_never_written_is_white(write_pyramid, slide_of, picture, monkeypatch):
    reader = open_reader(slide_of(write_pyramid(picture)), "plain")
    pieces = reader._source._levels[0]
    stored = pieces._stored
    monkeypatch.setattr(pieces, "_stored", lambda index: b"" if index == 0 else stored(index))
    pixels = reader.read((0, 0, 256, 128), (256, 128), GROUND)
    assert (pixels[:, :128] == 255).all()
    assert np.abs(pixels[:, 128:].astype(int) - picture[:128, 128:256]).mean() < 3


def test_kept_tiles_are_bounded_and_used(write_pyramid, picture):
    class Counting(PlainDecoder):
        decoded = 0

        def decode(self, streams):
            self.decoded += len(streams)
            return super().decode(streams)

    decoder = Counting()
    size = 128 * 128 * 3
    source = TiledTiff(write_pyramid(picture), decoder, kept_bytes=10 * size)
    source.region(0, 0, 0, 256, 256)
    source.region(0, 0, 0, 256, 256)
    assert decoder.decoded == 4
    source.region(0, 0, 0, 900, 700)
    assert decoder.decoded == 8 * 6
    assert source._kept.currsize <= 10 * size
    none = TiledTiff(write_pyramid(picture, "other.tif"), decoder, kept_bytes=size - 1)
    none.region(0, 0, 0, 256, 256)
    assert none._kept.currsize == 0


def test_file_that_has_gone(write_pyramid, slide_of, picture):
    path = write_pyramid(picture)
    slide = slide_of(path)
    path.unlink()
    with pytest.raises(InputError, match="cannot be opened"):
        open_reader(slide, "plain")
