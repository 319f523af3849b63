"""Images: what opens, what is refused, and with which code."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.errors import InputError, MediaError
from curate.media import MediaPolicy, encode_png, image_info, open_image


def save(path: Path, image: Image.Image, format: str, **options: object) -> str:
    image.save(path, format, **options)
    return str(path)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels to speak of: 67 bytes."""

    def piece(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = piece(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + piece(b"IDAT", zlib.compress(b"\0")) + piece(b"IEND", b"")


def code_of(uri: str | Path, policy: MediaPolicy | None = None) -> str:
    with pytest.raises(MediaError) as error:
        open_image(str(uri), **({} if policy is None else {"policy": policy}))
    assert str(uri) in str(error.value)
    return error.value.code


RED = Image.new("RGB", (4, 2), (255, 0, 0))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_formats_are_told_by_content_not_by_name(tmp_path: Path, format: str) -> None:
    uri = save(tmp_path / "picture.wrong", RED, format)
    image = open_image(uri)
    assert (image.mode, image.size) == ("RGB", (4, 2))
    assert np.abs(np.asarray(image).astype(int) - [255, 0, 0]).max() <= 2
    assert image_info(uri) == (4, 2, format)


@pytest.mark.parametrize("format", ["EPS", "PDF", "ICO", "PCX", "TGA"])
def test_other_formats_are_refused(tmp_path: Path, format: str) -> None:
    assert code_of(save(tmp_path / "picture.jpg", RED, format)) == "wrong-format"


def test_what_is_no_image(tmp_path: Path) -> None:
    contents = {
        b"": "empty",
        b"hello": "wrong-format",
        b"<svg/>": "wrong-format",
        b"\x89PNG\r\n\x1a\n": "unreadable",
        b"\xff\xd8\xff\xe0junk": "truncated",
        b"GIF89a": "unreadable",
        b"\0" * 100: "wrong-format",
    }
    for content, code in contents.items():
        (tmp_path / "x.jpg").write_bytes(content)
        assert code_of(tmp_path / "x.jpg") == code, content
    assert code_of(tmp_path / "none.jpg") == "missing"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "BMP", "PPM"])
def test_truncated_images_are_refused(tmp_path: Path, format: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    file = tmp_path / "x"
    noise.save(file, format)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert code_of(file) in ("truncated", "unreadable")


def test_a_huge_header_is_refused_without_allocating(tmp_path: Path) -> None:
    import resource

    file = tmp_path / "bomb.png"
    file.write_bytes(png_header(50_000, 50_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert code_of(file) == "too-large"
    with pytest.raises(MediaError):
        image_info(str(file))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_the_pixel_limit_is_ours_and_exact(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(png_header(8_000, 8_000))  # 64 MP: Pillow itself would not even warn
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert code_of(file) == "too-large"
    uri = save(tmp_path / "small.png", RED, "PNG")
    assert open_image(uri, policy=MediaPolicy(max_pixels=8)).size == (4, 2)
    assert code_of(uri, MediaPolicy(max_pixels=7)) == "too-large"


def test_exif_orientation(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20), "white")
    picture.paste((255, 0, 0), (0, 0, 20, 20))  # the left half is red
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: left becomes top
    uri = save(tmp_path / "x.jpg", picture, "JPEG", exif=exif, quality=95)
    image = open_image(uri)
    assert image.size == (20, 40)
    assert image_info(uri)[:2] == (20, 40)
    top, bottom = np.asarray(image)[5, 10], np.asarray(image)[35, 10]
    assert top[1] < 60 < 200 < bottom[1]


def test_modes(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    clear.putpixel((1, 0), (0, 0, 255, 255))
    uri = save(tmp_path / "clear.png", clear, "PNG")
    assert list(np.asarray(open_image(uri)).reshape(-1, 3).tolist()) == [[255, 255, 255], [0, 0, 255]]
    assert open_image(uri, mode="RGBA").getpixel((0, 0)) == (0, 0, 0, 0)
    assert open_image(uri, mode=None).mode == "RGBA"
    palette = RED.convert("P")
    assert open_image(save(tmp_path / "p.gif", palette, "GIF")).getpixel((0, 0)) == (255, 0, 0)
    cmyk = save(tmp_path / "c.jpg", Image.new("CMYK", (2, 2)), "JPEG")
    assert open_image(cmyk).mode == "RGB"
    assert (
        open_image(save(tmp_path / "one.png", Image.new("1", (2, 2), 1), "PNG"), mode="L").getpixel((0, 0))
        == 255
    )


def test_wide_greys_keep_their_shades(tmp_path: Path) -> None:
    deep = Image.fromarray(np.array([[0, 256 * 128, 65535]], np.uint16))
    assert np.asarray(open_image(save(tmp_path / "x.png", deep, "PNG"), mode="L")).tolist() == [[0, 128, 255]]
    floats = Image.fromarray(np.array([[-1.0, 0.0, 1.0]], np.float32))
    assert np.asarray(open_image(save(tmp_path / "x.tif", floats, "TIFF"), mode="L")).tolist() == [
        [0, 127, 255]
    ]


def test_only_the_first_frame_is_taken(tmp_path: Path) -> None:
    blue = Image.new("RGB", (4, 2), (0, 0, 255))
    uri = save(tmp_path / "x.gif", RED, "GIF", save_all=True, append_images=[blue])
    assert open_image(uri).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 1), (3, 5, 3), (3, 5, 4)])
def test_arrays_become_png_losslessly(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    back = np.asarray(Image.open(io.BytesIO(encode_png(pixels))))
    assert np.array_equal(back, pixels.squeeze(-1) if shape[-1] == 1 else pixels)


def test_arrays_that_are_no_pictures() -> None:
    with pytest.raises(InputError, match="float64"):
        encode_png(np.zeros((2, 2)))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"\(2, 2, 2\)"):
        encode_png(np.zeros((2, 2, 2), np.uint8))


def test_random_damage_never_escapes_as_another_error(data_dir: Path, tmp_path: Path) -> None:
    """Real photographs with bytes overwritten: each opens, or raises MediaError."""
    rng = np.random.default_rng(0)
    codes = set()
    for path in sorted((data_dir / "avt_ai_images" / "images").rglob("*.jpg"))[:10]:
        clean = bytearray(path.read_bytes())
        for _ in range(5):
            broken = clean.copy()
            for at in rng.integers(2, len(broken), 20):
                broken[at] = rng.integers(0, 256)
            file = tmp_path / "x.jpg"
            file.write_bytes(broken[: rng.integers(1, len(broken))])
            try:
                assert open_image(str(file)).mode == "RGB"
            except MediaError as error:
                codes.add(error.code)
    assert codes and codes <= {"truncated", "unreadable", "wrong-format", "too-large"}
