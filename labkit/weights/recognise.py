"""What a file is, by its first bytes: what arrives under a checkpoint's name is often something else.

A host out of quota answers with a web page, a clone without large-file storage leaves a pointer of three lines, a broken
download ends early. A name's ending says nothing, so it is not asked. At most a header and a zip's directory are read.
"""

from __future__ import annotations

import json
import os
import re
import stat
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

from labkit.text import plain
from labkit.weights.errors import WeightsError, WeightsNotFound, shown

START = 4096
LONGEST_HEADER = 32 << 20  # of safetensors, and a zip's directory: a hundred times what a model of 10⁴ tensors needs
TORCH_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # 0x1950a86a20f9469cfc6c as a pickle, before torch 1.6

SIGNATURES = [  # offset, bytes, what it is
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras keeps weights so)"),
    (0, b"GGUF", "a GGUF file (llama.cpp's quantised weights)"),
    (0, b"lmgg", "a GGML file (llama.cpp's older weights)"), (0, b"tjgg", "a GGJT file (llama.cpp's older weights)"),
    (0, b"\x93NUMPY", "a NumPy array (.npy)"), (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"\x1f\x8b", "a gzip archive"), (0, b"BZh", "a bzip2 archive"), (0, b"\xfd7zXZ\0", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive"), (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"), (0, b"Rar!", "a rar archive"),
    (257, b"ustar", "a tar archive"), (0, b"\x89PNG\r\n\x1a\n", "a picture (PNG)"), (0, b"\xff\xd8\xff", "a picture (JPEG)"),
    (0, b"GIF8", "a picture (GIF)"), (8, b"WEBP", "a picture (WebP)"), (4, b"ftyp", "a film or picture (MP4's kind)"),
    (0, b"%PDF-", "a PDF"), (0, b"SQLite format 3\0", "an SQLite database"), (0, b"\x7fELF", "a program (ELF)"),
    (0, b"MZ", "a Windows program"), (0, b"PAR1", "a Parquet table"),
]
OTHERS = "labkit reads safetensors, and torch's checkpoints through `python -m labkit convert`; get the model as one of these"
AGAIN = "fetch it again"
MAKER = "whoever made it can write its tensors by torch.save or as safetensors"
PAGE = ("open the address in a browser, or fetch the file from another source: hosts answer so when a quota is used up, a "
        "login is needed or the link is not the file's own")
READABLE = ("safetensors", "torch", "torch-legacy")


@dataclass(frozen=True)
class FileKind:
    """`name`: "safetensors", "torch" (a zip), "torch-legacy", or of what cannot be read: "text", "pointer", "cut", "archive",
    "pickle", "other". `words` say what it is, `remedy` what to do about it.
    """

    name: str
    words: str
    remedy: str = OTHERS

    @property
    def readable(self) -> bool:
        return self.name in READABLE


def recognise(path: str | os.PathLike) -> FileKind:
    """What the file at `path` is. Raises WeightsNotFound where there is none, WeightsError where it cannot be opened."""
    path = Path(path)
    start, size = _start(path)
    if size == 0:
        return FileKind("cut", "an empty file", AGAIN)
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"):
        return _zip(path, size)
    length = struct.unpack("<Q", start[:8])[0] if len(start) > 8 else 0
    if start[8:9] == b"{" and length < 1 << 48:  # a text has no zero bytes among its first eight
        return _safetensors(length, size)
    if start[:1] == b"\x80" and start[1:2] in b"\0\1\2\3\4\5":
        if start[2:].startswith(TORCH_MAGIC):
            return FileKind("torch-legacy", "a torch checkpoint of before torch 1.6")
        return FileKind("pickle", "a bare pickle (of pickle.dump or joblib), not a checkpoint of torch.save", MAKER)
    for offset, signature, words in SIGNATURES:
        if start[offset:].startswith(signature):
            archive = words.endswith("archive")
            return FileKind("archive" if archive else "other", words,
                            "unpack it and give the checkpoint inside" if archive else OTHERS)
    if not any(start):
        return FileKind("cut", f"{len(start)} zero bytes and more: room that a download reserved and never filled", AGAIN)
    if (text := _text(start, size)) is not None:
        return _of_text(text.lstrip("\ufeff \t\r\n\f"), size)
    if re.match(rb"\x08[\x01-\x1f]\x12[\x01-\x40][\x20-\x7e]", start):
        return FileKind("other", "an ONNX model")
    if size < 64:
        return FileKind("cut", f"a file of {size} bytes, too short to hold weights", AGAIN)
    return FileKind("other", f"a file of a kind unknown to labkit (it begins with the bytes {start[:8].hex(' ')})")


def _start(path: Path) -> tuple[bytes, int]:
    """The first bytes and the size of a regular file: a pipe would be waited for, a device has no end."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise WeightsError(f"{shown(path)}: is a folder; give the file of weights in it")
        if not stat.S_ISREG(found.st_mode):
            raise WeightsError(f"{shown(path)}: is no regular file; give a file of weights")
        with open(path, "rb") as file:
            return file.read(START), found.st_size
    except OSError as error:
        if path.is_symlink() and "annex/objects" in os.readlink(path):
            raise WeightsNotFound(f"{shown(path)}: is git-annex's link to a file that was not fetched; fetch the real file "
                                  f"with `git annex get {plain(path.name)}`") from error
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise WeightsNotFound(f"{shown(path)}: no such file") from error
        raise WeightsError(f"{shown(path)}: cannot be opened ({error.strerror})") from error
    except ValueError as error:  # a name with a zero byte
        raise WeightsNotFound(f"{shown(path)}: no such file") from error


def _safetensors(length: int, size: int) -> FileKind:
    if length > LONGEST_HEADER:
        claim = f"its header claims {length:,} bytes, labkit reads {LONGEST_HEADER:,}"
        return FileKind("cut", f"safetensors that are damaged ({claim})", AGAIN)
    if length + 8 > size:
        claim = f"its header alone needs {length + 8:,} bytes, the file has {size:,}"
        return FileKind("cut", f"safetensors that are not whole ({claim})", AGAIN)
    return FileKind("safetensors", "safetensors")


def _text(start: bytes, size: int) -> str | None:
    """The first bytes as text, if that is what they are."""
    wide = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(start[:2])
    try:
        text = start[: len(start) // 2 * 2].decode(wide, "replace") if wide else start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3 or size <= START:  # not only a letter that the first bytes end within
            markup = re.match(rb"\s*<[!?a-zA-Z]", start)
            return start.decode("latin-1") if markup else None
        text = start[: error.start].decode("utf-8")
    return None if re.search(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]", text) else text


def _of_text(text: str, size: int) -> FileKind:
    if text.startswith(("version https://git-lfs.github.com/", "version https://hawser.github.com/", "version http://git-media")):
        return _pointer("Git LFS", "git lfs pull", re.search(r"^size (\d{1,18})$", text, re.M))
    if re.match(r"(\.\./)*(\.git)?/?annex/objects/", text):
        return _pointer("git-annex", "git annex get FILE", re.search(r"-s(\d{1,18})-", text))
    if re.match(r"HTTP/\d", text):
        return FileKind("text", f"a server's answer ({plain(text.splitlines()[0])}), not a checkpoint", AGAIN)
    bare = re.sub(r"<!--.*?(-->|\Z)|<\?.*?(\?>|\Z)", " ", text, flags=re.S).lstrip()
    page = r"<!doctype\s+html|<(html|head|body|title|script|meta|style|div|center|h1|p|iframe)\b"
    hidden = not bare and text.startswith("<!--")  # a comment longer than what was read
    if hidden or re.match(page, bare, re.I) or (bare.startswith("<") and re.search(r"<html\b", bare, re.I)):
        title = re.search(r"<title[^>]*>(.*?)</title", text, re.I | re.S)
        called = f" ('{plain(' '.join(title[1].split()))}')" if title and title[1].strip() else ""
        return FileKind("text", f"a web page{called}, not a checkpoint", PAGE)
    if bare.startswith("<") or text.startswith("<?xml"):
        code = re.search(r"<(?:Code|Message)>(.*?)<", text, re.S)
        return FileKind("text", f"an XML text{f' ({plain(code[1])})' if code else ''}, not a checkpoint", AGAIN)
    if re.match(r"\{\s*[\"}]|\[\s*[\[{\"\d\]]", text):
        what = f"a JSON text ({plain(' '.join(text.split()), 60)})"
        return FileKind("text", f"{what}, not a checkpoint", "give the file of weights that lies beside it, or fetch it again")
    if not text.strip():
        return FileKind("text", "a file of blanks", AGAIN)
    if re.match(r"\(dp\d|\(lp\d|\(i|c[\w.]+\n\w+\n|\(c[\w.]+\n", text):
        return FileKind("pickle", "a bare pickle (of protocol 0), not a checkpoint of torch.save", MAKER)
    words = plain(" ".join(text.split()), 40)
    return FileKind("text", f"a text ('{words}'), not a checkpoint", "give the file of weights itself")


def _pointer(of: str, command: str, promised: re.Match | None) -> FileKind:
    size = f"; {int(promised[1]):,} bytes are promised" if promised else ""
    return FileKind("pointer", f"a pointer of large-file storage ({of}), not the file itself",
                    f"fetch the real file with `{command}`{size}")


def zip_entries(path: Path, size: int) -> list[zipfile.ZipInfo]:
    """A zip's directory. Raises ValueError where it is longer than `LONGEST_HEADER` or not whole."""
    with open(path, "rb") as file:
        file.seek(max(0, size - (1 << 16) - 100))
        end = file.read()
        at = end.rfind(b"PK\x05\x06")
        if at < 0 or len(end) < at + 22:
            raise ValueError("it has no directory, which stands at the end")
        wide = end.rfind(b"PK\x06\x06", 0, at)
        long = struct.unpack("<Q", end[wide + 40 : wide + 48])[0] if wide >= 0 and len(end) >= wide + 48 else 0
        if max(long, struct.unpack("<I", end[at + 12 : at + 16])[0] % 0xFFFFFFFF) > LONGEST_HEADER:
            raise ValueError(f"its directory claims more than {LONGEST_HEADER:,} bytes")
        try:
            with zipfile.ZipFile(file) as archive:
                return archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, OSError, OverflowError, struct.error, UnicodeDecodeError) as error:
            # What zipfile raises for a directory that is not whole (NotImplementedError: it names a version that no zip has);
            # it reads no entry here.
            raise ValueError("its directory is damaged") from error


def _zip(path: Path, size: int) -> FileKind:
    try:
        entries = zip_entries(path, size)
    except ValueError as error:
        return FileKind("cut", f"a torch checkpoint or another zip that is not whole ({error})", AGAIN)
    names = [entry.filename for entry in entries]
    if any(name.count("/") == 1 and name.endswith("/data.pkl") for name in names):
        if any(re.fullmatch(r"[^/]+/(constants\.pkl|code/.*)", name) for name in names):
            return FileKind("other", "a TorchScript archive, which holds a program beside the weights",
                            "get the weights as safetensors: for OpenAI's CLIP `--clip ViT-B-32/openai` fetches them")
        return FileKind("torch", "a torch checkpoint")
    if names and all(name.endswith(".npy") for name in names):
        return FileKind("other", "NumPy's arrays (.npz)")
    if "model.weights.h5" in names:
        return FileKind("other", "a Keras model")
    inside = [name for name in names if not name.endswith("/")]
    listed = ", ".join(plain(name, 40) for name in inside[:3]) or "nothing"
    more = f" and {len(inside) - 3} more" if len(inside) > 3 else ""
    return FileKind("archive", f"a zip archive, but no torch checkpoint (it holds {listed}{more})",
                    "unpack it and give the checkpoint inside" if inside else AGAIN)


def refused(path: str | os.PathLike, kind: FileKind) -> WeightsError:
    """The error for a file that is none of weights."""
    return WeightsError(f"{shown(path)}: {kind.words}; {kind.remedy}")


def header_end(path: Path) -> tuple[int, int]:
    """Bytes that a safetensors file needs by its header, and that it has; (0, size) where the header tells nothing."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        try:
            header = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
            return 8 + length + max(map(int, ends), default=0), size
        except (ValueError, RecursionError, KeyError, TypeError, IndexError, AttributeError):
            return 0, size
