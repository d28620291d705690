"""A PNG's chunks (W3C, "PNG Specification, Third Edition", sections 5 and 11.3.3): whole and undamaged, and the text in them.

Pillow reads a file only as far as the pixels go and does not check them; here the whole file is looked at first. Texts stand in
tEXt, zTXt (compressed) and iTXt (either); programs that save a PNG anew change one into another.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SEEN = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND")  # what pixels and their rotation depend on


class ImageError(ValueError):
    """A picture or a picture's file that cannot be used; the message says what to give instead."""


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of each chunk of a PNG: its body is data[start:end]. Raises `ImageError` on damage."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        start, end = at + 8, at + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(memoryview(data)[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise ImageError(f"the PNG is damaged: the checksum of its part {kind!r} is wrong; get it again")
        yield kind, start, end
        if kind == b"IEND":
            return
        at = end + 4
    raise ImageError("the PNG is cut short: its end is missing; get it again")


def without_texts(data: bytes) -> tuple[bytes, int, int]:
    """A PNG with nothing but its pixels and their rotation, its width and its height. Raises `ImageError` on damage.

    Texts and profiles are what somebody could blow up when they are unpacked, and long ones are nothing to refuse.
    """
    parts, size = [SIGNATURE], None
    for kind, start, end in chunks(data):
        if kind == b"IHDR" and end - start >= 8:
            size = struct.unpack_from(">II", data, start)
        if kind in SEEN:
            parts.append(data[start - 8 : end + 4])
    if size is None:
        raise ImageError("the PNG is damaged: it does not say how large it is; get it again")
    return b"".join(parts), *size


def text_of(data: bytes, keyword: str, most: int) -> bytes | None:
    """The bytes of the first text of this keyword in a PNG, or None. Raises `ImageError` on damage, or where it unpacks to
    more than `most` bytes."""
    found, wanted = None, keyword.encode("latin-1") + b"\0"
    for kind, start, end in chunks(data):  # to the end: the whole file is checked
        if found is None and kind in (b"tEXt", b"zTXt", b"iTXt") and data.startswith(wanted, start, end):
            found = _text(kind, data[start + len(wanted) : end], most)
    return found


def _text(kind: bytes, body: bytes, most: int) -> bytes:
    packed = kind == b"zTXt"
    if packed:
        method, body = body[:1], body[1:]
    elif kind == b"iTXt":  # compressed or not, the method, a language and a keyword in it
        packed, method = body[:1] == b"\1", body[1:2]
        body = body[2:].partition(b"\0")[2].partition(b"\0")[2]
    if packed:
        if method != b"\0":
            raise ImageError("the PNG's text is compressed in a way that is not known here; give the file as it was saved")
        body = _unpacked(body, most)
    if len(body) > most:
        raise ImageError(f"the PNG's text has more than {most / 1e6:g} MB; give the file as it was saved")
    return body


def _unpacked(body: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise ImageError(f"the PNG's text is damaged ({error}); get the file again") from None
    if len(text) <= most and not unpacker.eof:
        raise ImageError("the PNG's text is cut short; get the file again")
    return text
