"""slm/training/log.py: the lines of log.csv, whatever has happened to the file, and the picture of the losses."""

import gc
import re

import pytest

from slm.training.log import Log, draw_losses, read_log

LINE = {"step": 2, "tokens": 512, "seconds": 1.5, "train_loss": 6.0, "lr": 1e-3, "grad_norm": 0.5}


def line(step, **more):
    return LINE | {"step": step, "tokens": 256 * step} | more


def write_log(path, steps, **more):
    """A new log.csv with a line for each of `steps`; returns its rows."""
    log = Log(path, 0)
    for step in steps:
        log.add(line(step, **more))
        log.flush()
    return read_log(path)


def test_lines_of_a_log(tmp_path):
    log = Log(tmp_path / "log.csv", 0)
    log.add(line(2))
    log.flush()
    log.add(line(4, val_loss=5.123456789, val_bpb=1.5))
    log.flush()
    first, second = read_log(tmp_path / "log.csv")
    assert (first["step"], first["tokens"], first["lr"], first["val_loss"]) == ("2", "512", "0.001", "")
    assert second["val_loss"] == "5.123457"
    assert [row | {"val_loss": "", "val_bpb": ""} for row in log.rows] == [
        row | {"val_loss": "", "val_bpb": ""} for row in (first, second)
    ]


def test_a_resumed_log_keeps_the_lines_up_to_its_step(tmp_path):
    """And not those that came after the checkpoint, nor one that a crash cut off."""
    write_log(tmp_path / "log.csv", (2, 4, 6, 8))
    with open(tmp_path / "log.csv", "a") as file:
        file.write("10,25")
    log = Log(tmp_path / "log.csv", 6)
    log.add(line(8, train_loss=1.0))
    log.flush()
    assert [(row["step"], row["train_loss"]) for row in read_log(tmp_path / "log.csv")] == [
        *(("2", "6"), ("4", "6"), ("6", "6"), ("8", "1")),
    ]
    Log(tmp_path / "log.csv", 0)
    assert read_log(tmp_path / "log.csv") == []


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_log_that_ends_in_the_middle_of_a_line(tmp_path, cut):
    """Half a number is a number, and would be another one."""
    path, lines = tmp_path / "log.csv", []
    rows = write_log(path, (2, 4, 6), grad_norm=0.123456)
    path.write_bytes(path.read_bytes()[:-cut])
    assert Log(path, 6, lines.append).rows == rows[:2] and "missing  lines of" in lines[0]


SPREADSHEETS = {
    "a mark": lambda text: text.encode("utf-8-sig"),
    "Windows' line ends": lambda text: text.replace("\n", "\r\n").encode(),
    "semicolons and decimal commas": lambda text: text.replace(",", ";").replace(".", ",").encode(),
    "tabs": lambda text: text.replace(",", "\t").encode(),
    "quotes": lambda text: re.sub(r"[^,\n]+", r'"\g<0>"', text).encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
}


@pytest.mark.parametrize("kind", SPREADSHEETS)
def test_a_log_that_a_spreadsheet_saved(tmp_path, kind):
    """A resumed run goes on with all its lines, and writes them as it wrote them before."""
    path, lines = tmp_path / "log.csv", []
    rows = write_log(path, (2, 4, 6), val_loss=7.5)
    before = path.read_bytes()
    path.write_bytes(SPREADSHEETS[kind](before.decode()))
    assert Log(path, 6, lines.append).rows == rows and not lines
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["log.csv"]


STEPS = ["9" * 5000, "9" * 200_000, "1e999999", '"', '"1', "\0" * 9, "\u0662", "\u00b2"]
NOTES = [b"a note,\xe9", b"1,2", b"4,x,1,1,1,1,1,1", b"7;8", *(f"{step},1,1,1,1,1,x,1".encode() for step in STEPS)]


@pytest.mark.parametrize("note", NOTES, ids=range(len(NOTES)))
def test_a_log_with_more_than_numbers_is_kept(tmp_path, note):
    """What is no row of this program costs no other line, is in a copy, and a line says so."""
    path, lines = tmp_path / "log.csv", []
    rows = write_log(path, (2, 4))
    header, first, second = path.read_bytes().splitlines(keepends=True)
    whole = header + first + note + b"\n" + second
    path.write_bytes(whole)
    assert Log(path, 4, lines.append).rows == rows
    assert (tmp_path / "log.csv.1").read_bytes() == whole
    (text,) = lines
    assert "log.csv.1: 1 of its lines is not this program's" in text


def test_a_log_of_another_version(tmp_path):
    """Fewer fields, more fields: neither crashes, and nothing is lost."""
    path = tmp_path / "log.csv"
    path.write_text("step,train_loss,a field of yesterday\n2,6.5,1\n")
    log = Log(path, 2)
    log.add(line(4, a_field_of_tomorrow=7))
    log.flush()
    log.add(line(6))
    log.flush()
    first, second, third = read_log(path)
    assert (first["train_loss"], first["a field of yesterday"], first["lr"]) == ("6.5", "1", "")
    assert (second["a_field_of_tomorrow"], second["a field of yesterday"], second["lr"]) == ("7", "", "0.001")
    assert third["step"] == "6"


# -- loss.png ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("title", ["out/small", "out/$5_$6", "out/$HOME^$", "out/故事", "out/a_b^c{d}", "out/\\frac"])
def test_the_picture_of_any_name(tmp_path, title, recwarn):
    gc.collect()  # or the files that earlier tests left open warn in here
    recwarn.clear()
    rows = [{"step": "2", "train_loss": "6", "val_loss": ""}, {"step": "4", "train_loss": "5.5", "val_loss": "5.9"}]
    draw_losses(rows, tmp_path / "loss.png", title)
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG") and not recwarn.list


def test_the_picture_shows_what_follows_the_fall(tmp_path, monkeypatch):
    """The first losses of a long run are above the picture; its validation and all of a short run are in it."""
    from matplotlib import pyplot

    figures = []
    monkeypatch.setattr(pyplot, "close", figures.append)
    long = [{"step": str(i), "train_loss": f"{2 + 7 / i}", "val_loss": ""} for i in range(1, 101)]
    long[49] |= {"train_loss": "nan", "val_loss": "3.5"}
    for rows in (long, long[:9], [{"step": "2", "train_loss": "nan", "val_loss": ""}]):
        draw_losses(rows, tmp_path / "loss.png", "a run")
    limits = [figure.axes[0].get_ylim() for figure in figures]
    assert 1.9 < limits[0][0] < 2.07 and 3.6 < limits[0][1] < 4, "three of 100 are above"
    assert limits[1][0] < 2 + 7 / 9 and limits[1][1] > 9
