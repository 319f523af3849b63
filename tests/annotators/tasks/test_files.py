"""Pictures and sounds on their way to people."""

from __future__ import annotations

import base64

import pytest

from curate.annotators.tasks.files import content_name, inline, media_type
from curate.errors import MediaError


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"fLaC\x00", "audio/flac"),
        (b"\x00\x00\x00\x20ftypavif", "image/avif"),
        (b"\xff\xf3\x84", "audio/mpeg"),
    ],
)
def test_types_of_media(data: bytes, mime: str) -> None:
    assert media_type(data)[0] == mime
    with pytest.raises(MediaError, match="browser"):
        media_type(b"<svg onload=alert(1)>")


def test_the_same_content_has_one_name_and_sounds_lie_in_tasks_only_where_they_are_played() -> None:
    picture, sound = b"\x89PNG\r\n\x1a\n and more", b"fLaC and more"
    assert content_name(picture) == content_name(bytes(picture)) != content_name(picture + b"!")
    assert content_name(picture).endswith(".png") and content_name(sound).endswith(".flac")
    for data, mime in ((picture, "image/png"), (sound, "audio/flac")):
        head, _, body = inline(data, sounds=True).partition(",")
        assert (head, base64.b64decode(body)) == (f"data:{mime};base64", data)
    assert inline(picture, sounds=False) == inline(picture, sounds=True)
    with pytest.raises(MediaError, match="does not play"):
        inline(sound, sounds=False)
