"""slm/text/content.py: what a file is, by its first bytes; its name is a hint."""

import gzip
import io
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slm.errors import UserError
from slm.text.content import look

TEXT = "Once upon a time there was a fox.\n\nIts name was Zoë, and it ran.\n" * 20


def parquet_bytes():
    file = io.BytesIO()
    pq.write_table(pa.table({"text": ["One."]}), file)
    return file.getvalue()


def archive(kind):
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as opened:
            opened.writestr("a.txt", TEXT)
    else:
        with tarfile.open(fileobj=file, mode="w") as opened:
            opened.addfile(tarfile.TarInfo("a.txt"))
    return file.getvalue()


KNOWN = {  # name: (contents, kind, codec, encoding)
    "a.txt": (TEXT.encode(), ".txt", "", "utf-8"),
    "b.csv": (gzip.compress(TEXT.encode()), ".csv", ".gz", "utf-8"),
    "c.jsonl.gz": (pa.Codec("zstd").compress(TEXT.encode(), asbytes=True), ".jsonl", ".zst", "utf-8"),
    "d.txt": (TEXT.encode("utf-16"), ".txt", "", "utf-16"),
    "e.txt.gz": (gzip.compress(TEXT.encode("utf-16-be")), ".txt", ".gz", "utf-16-be"),
    "f.tsv": (TEXT.encode("utf-16-le"), ".tsv", "", "utf-16-le"),
    "g.txt": (TEXT.encode("utf-32"), ".txt", "", "utf-32"),
    "h.txt": (TEXT.encode("utf-32-be"), ".txt", "", "utf-32-be"),
    "i.json": (parquet_bytes(), ".parquet", "", ""),
    "j.txt": ("Привет, мир. Это рассказ про лису.\n".encode("utf-16-le") * 9, ".txt", "", "utf-16-le"),
    "k.txt": (b"ORCS and PARENTS met.", ".txt", "", "utf-8"),
    "l.txt": (b"PAR1 is a word.", ".txt", "", "utf-8"),
    "m.txt": (b"", ".txt", "", "utf-8"),
    "n.txt": ("\ufeff" + TEXT).encode(),
    "o.txt": (("é" * 2**15 + "x").encode(), ".txt", "", "utf-8"),  # a letter is cut where the look ends
}
KNOWN["n.txt"] = (KNOWN["n.txt"], ".txt", "", "utf-8")


@pytest.mark.parametrize("name", KNOWN)
def test_what_a_file_is(tmp_path, name):
    contents, *expected = KNOWN[name]
    (tmp_path / name).write_bytes(contents)
    content = look(tmp_path / name)
    assert [content.kind, content.codec, content.encoding] == expected


REFUSED = {
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "a.parquet", "git lfs pull"),
    "a pointer for a text": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a.txt", "git lfs pull"),
    "a page": (b"\n<!-- x --><!DOCTYPE html><html><head>", "a.csv", "an HTML page"),
    "a page behind a mark": ("\ufeff<!DOCTYPE html>".encode(), "a.txt", "an HTML page"),
    "a page of XML": (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "">', "a.txt", "an HTML page"),
    "a plain page": (b"<HTML lang=en>", "a.json", "an HTML page"),
    "an error of a server": (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied', "a.txt", "error message"),
    "a zip": (archive("zip"), "a.txt", "zip archive"),
    "a tar": (archive("tar"), "a.txt", "tar archive"),
    "a tar in gzip": (gzip.compress(archive("tar")), "a.txt.gz", "tar archive"),
    "a PDF": (b"%PDF-1.7\n", "a.txt", "a PDF"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0", "a.txt", "a picture"),
    "zeros": (b"\0" * 1000, "a.csv.gz", "something else"),
    "zeros as a table": (b"\0" * 1000, "a.csv", "binary"),
    "a text as parquet": (TEXT.encode(), "a.parquet", "no readable .parquet file, but text"),
    "a text as gzip": (TEXT.encode(), "a.txt.gz", "no .gz file, but plain text"),
    "gzip in gzip": (gzip.compress(gzip.compress(TEXT.encode())), "a.txt.gz", "compressed within"),
    "parquet in gzip": (gzip.compress(parquet_bytes()), "a.csv.gz", "compressed within"),
    "another name": (TEXT.encode(), "a.doc", "is no .parquet, .arrow, .jsonl"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_file_of_stories(tmp_path, case):
    contents, name, words = REFUSED[case]
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(UserError) as error:
        look(tmp_path / name)
    assert name in str(error.value) and words in str(error.value)
