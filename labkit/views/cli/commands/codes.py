"""Codes of pictures in a store: codes extract SOURCE, codes inspect FILE."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from labkit.spec import SpecError
from labkit.text import plain
from labkit.views.cli.flags import maybe, read_options
from labkit.views.cli.lab import DEVICES, checked_device
from labkit.views.cli.outputs import output, print_table
from labkit.views.cli.progress import Progress
from labkit.views.cli.terminal import DONE, say


@dataclass
class CodesOptions:
    """Codes of pictures.

    `codes extract SOURCE` encodes them, `codes inspect FILE` says what is in a store.
    """

    action: Positional[Annotated[Literal["extract", "inspect"], arg(help="What to do")]]
    source: Positional[Annotated[str, arg(metavar="SOURCE", help="A MUSTI list (.json) or a captioned folder; or the store")]]
    out: Annotated[str, arg(metavar="FILE.lmdb", help="The store; one that was cut is gone on with")] = "out/codes.lmdb"
    kind: Annotated[str, arg(metavar="KIND", help="Kind of the model, as in vqgan")] = "vqgan"
    name: Annotated[str, arg(metavar="NAME", help="Which of that kind: pocket, a name of the zoo, a file")] = "pocket"
    size: Annotated[int, arg(help="Side of the square that each picture is cut to, in pixels")] = 64
    split: Annotated[str, arg(metavar="NAME", help="What the store says of its split")] = ""
    embed: Annotated[str | None, maybe("Keep captions' embeddings by this kind of model, as in clip (of pairs that match)",
                                       "KIND")] = None
    language: Annotated[str | None, maybe("Of a MUSTI list: only this, as in en", "CODE")] = None
    cache: Annotated[str, arg(metavar="DIR", help="Where fetched pictures stay")] = "out/pictures"
    jobs: Annotated[int, arg(help="Processes; -1: one per core")] = 1
    device: Annotated[str | None, maybe(DEVICES, "NAME")] = None


def main(args: list[str]) -> int:
    """`labkit codes extract SOURCE`, `labkit codes inspect FILE`."""
    options = read_options("codes", CodesOptions, args)
    return inspect(options.source) if options.action == "inspect" else extract(options)


def inspect(path: str) -> int:
    """What a store says of itself, and how its codes are used; a damaged record is an error."""
    from labkit.latents.codes import SCHEMA, CodeStore
    from labkit.latents.usage import usage

    store = CodeStore(path)
    header, n = store.header, len(store)
    made = header.model
    print(f"{plain(path, 200)}: {n:,} records, {Path(path).stat().st_size / 1e6:.1f} MB, schema {SCHEMA}")
    print(f"model      {plain(made.kind)} {plain(made.name)}, sha256 {made.sha256}")
    print(f"transform  {plain(', '.join(f'{k} {v}' for k, v in header.transform.items()))}")
    print(f"split      {plain(header.split) or '(none)'}")
    if (vector := header.embedding) is not None:
        print(f"embedding  {vector.size} × {vector.dtype} of the {plain(vector.of)}, by {plain(vector.model.kind)} "
              f"{plain(vector.model.name)}, sha256 {vector.model.sha256}")
    else:
        print("embedding  (none)")
    if n:
        ends = store.read([0, n - 1]).ids
        print(f"ids        {plain(ends[0])} … {plain(ends[1])}; numbers {store.numbers[0]} … {store.numbers[-1]}")
        print_table(usage(store), digits=2)
        say("every record's checksum is right")
    return DONE


def extract(options: CodesOptions) -> int:
    """Encode the pictures of a list or a folder."""
    out = output(options.out, "--out")
    from labkit.kinds import KINDS
    from labkit.lab import Lab
    from labkit.pairs.folder import read_captioned
    from labkit.pairs.musti import read_musti
    from labkit.pairs.pictures import fetch_pictures
    from labkit.runs.extraction import embedded, extract

    for flag, kind in (("--kind", options.kind), ("--embed", options.embed)):
        if kind is not None and kind not in KINDS:
            raise SpecError(f"{flag}: {plain(kind)!r} is none of {', '.join(KINDS)}")
    source = Path(options.source)
    listed = source.suffix.lower() == ".json"
    pairs = read_musti(source, [options.language] if options.language else []) if listed else read_captioned(source)
    if options.embed:  # a text of another picture would teach a prior what is not so
        mine = [pair for pair in pairs if pair.match]
        if not mine:
            raise SpecError(f"--embed: of {len(pairs)} texts none is labelled as its picture's; leave the flag out")
        say(f"{len(pairs) - len(mine)} texts that do not belong to their picture, or are not labelled, are left out")
        pairs = mine
    progress = Progress()
    try:
        found = fetch_pictures(pairs, options.cache, done=progress.counting("pictures"))
        lab = Lab(device=checked_device(options.device), **{options.kind: options.name})
        captions = [pair.caption for pair in found.pairs]
        vectors, about = embedded(captions, lab, options.embed) if options.embed else (None, None)
        made = extract([pair.path for pair in found.pairs], [pair.id for pair in found.pairs], out, lab, options.kind,
                       size=options.size, split=options.split, embeddings=vectors, embedding=about, n_jobs=options.jobs,
                       done=progress.counting("records"))
    finally:
        progress.close()
    for row in found.report.itertuples():
        say(f"{row.state}: {plain(row.image, 120)}: {plain(row.reason, 160)}")
    print(f"{out}: {made.encoded} encoded, {made.kept} there before, {len(found.report)} pictures left out")
    return DONE
