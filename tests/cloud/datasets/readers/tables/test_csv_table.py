"""CSV files in any dialect, by the usual names of columns."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.datasets.account import Account
from cloud.datasets.readers.tables.csv_table import CsvReader, CsvTable
from shared.errors import DataError
from tests.cloud.datasets.makers import part, save
from tests.cloud.datasets.readers.reading import (
    ReadFolder,
    marked,
    read_with,
    recognised,
    save_mask,
)


@pytest.fixture
def six(tmp_path: Path) -> Path:
    """A folder with six pictures, 0.png to 5.png."""
    for number in range(6):
        save(tmp_path / f"{number}.png", part(number))
    return tmp_path


def written(root: Path, text: str | bytes, name: str = "parts.csv") -> Path:
    path = root / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def table(root: Path, text: str | bytes, name: str = "parts.csv") -> ReadFolder:
    return read_with(CsvReader(), written(root, text, name))


TWO = {"0.png": "good", "1.png": "crack"}


@pytest.mark.parametrize(
    "text",
    [
        "image,defect\n0.png,good\n1.png,crack\n",
        "image;defect\n0.png;good\n1.png;crack\n",
        "image\tdefect\n0.png\tgood\n1.png\tcrack\n",
        "image|defect\n0.png|good\n1.png|crack\n",
        '"image", "defect"\n"0.png", "good"\n"1.png", "crack"\n',
        b"\xef\xbb\xbfimage,defect\r\n0.png,good\r\n1.png,crack\r\n",
        "image,defect\n0.png,good\n1.png,crack\n".encode("utf-16"),
        b"\xfe\xff" + "image;defect\r\n0.png;good\r\n1.png;crack".encode("utf-16-be"),
        "Image, Defect \n./0.png, good\n ./1.png, crack\n,\n,,\n\n",
        "File Name;Fehlerart;Bemerkung\n0.png;i.O.;\n1.png;crack;a, b\n;;\n",
        "filename,label\n0.png,OK\n1.png,crack\n",
        "image_id,class\n0,normal\n1,crack\n",
        "image,defect\nC:\\data\\0.png,good\nC:\\data\\1.png,crack\n",
        "image,defect\n/home/other/0.png,good\n/home/other/1.png,crack\n",
    ],
)
def test_any_dialect_means_the_same(six: Path, text: str | bytes) -> None:
    found = table(six, text)
    assert found.kinds == TWO
    assert found.flaws == []
    assert found.left_out == {f"{n}.png": "no part of this format" for n in range(2, 6)}


@pytest.mark.parametrize("name", ["PARTS.CSV", "parts.tsv", "Parts.Tsv"])
def test_endings_in_upper_case_and_tsv_are_tables(six: Path, name: str) -> None:
    assert table(six, "image\tdefect\n0.png\tgood\n1.png\tcrack\n", name).kinds == TWO


def test_paths_with_back_slashes_are_found_and_it_is_said(tmp_path: Path) -> None:
    save(tmp_path / "line 1" / "a.png", part(1))
    found = table(tmp_path, "image,defect\nline 1\\a.png,good\n")
    assert found.kinds == {"line 1/a.png": "good"}
    assert "back-slashes in paths are taken as slashes" in found.notes


def test_absolute_paths_are_taken_as_they_are(tmp_path: Path) -> None:
    there = save(tmp_path / "elsewhere" / "a.png", part(1))
    (tmp_path / "set").mkdir()
    path = written(tmp_path / "set", f"image,defect\n{there},good\n")
    found = read_with(CsvReader(), path)
    assert [entry.image for entry in found.entries] == [there]


def test_pictures_listed_without_their_folder_are_found_and_it_is_said(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", part(1))
    found = table(tmp_path, "image,defect\na.png,good\n")
    assert found.kinds == {"images/a.png": "good"}
    assert "found by name elsewhere in the set" in found.notes


def test_a_name_that_two_pictures_have_is_a_flaw(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        save(tmp_path / folder / "x.png", part(1))
    found = table(tmp_path, "image,defect\nx.png,good\na/x.png,good\n")
    assert len(found.flaws) == 1
    assert found.flaws[0].startswith("parts.csv:2: x.png could be ")


def test_everything_that_a_row_can_say_is_read(six: Path) -> None:
    save_mask(six / "m" / "1.png")
    found = table(
        six,
        "image,mask,defect,part,domain,split\n0.png,,free,a,line-1,train\n"
        "1.png,m/1.png,crack,b,,validation\n",
    )
    first, second = found.entries
    assert (first.part, first.domain, first.split, first.mask) == ("a", "line-1", "train", None)
    assert (second.part, second.domain, second.split) == ("b", "all", "calibrate")
    assert marked(second) == 60


def test_lot_and_line_are_read_and_the_line_is_the_domain_where_nothing_else_is(six: Path) -> None:
    both = table(six, "image,defect,domain,lot,line\n0.png,good,x,L1,2\n1.png,good,x,,\n")
    assert [(e.domain, e.lot, e.line) for e in both.entries] == [("x", "L1", "2"), ("x", "", "")]
    assert "line" not in both.notes
    alone = table(six, "image,defect,Charge,Linie\n0.png,good,L1,2\n")
    assert [(e.domain, e.lot, e.line) for e in alone.entries] == [("2", "L1", "2")]
    for column, purpose in (("Charge", "lot"), ("Linie", "line"), ("Linie", "domain")):
        assert f"column {column} is taken as {purpose}" in alone.notes


def test_an_empty_label_is_refused_with_all_lines(six: Path) -> None:
    found = table(
        six, "image,defect\n0.png,good\n1.png,\n2.png, \n3.png,NaN\n4.png,crack\n5.png,\n"
    )
    assert found.flaws == [
        "parts.csv:3: defect is empty in 4 rows: 3–5, 7; say `good`, or the kind of defect"
    ]
    assert len(found.entries) == 2


@pytest.mark.parametrize(
    ("column", "values", "good", "said"),
    [
        ("defect", ("0", "1"), 0, "column defect: 0 taken as good, 1 defective"),
        ("label", ("1", "0"), 1, "column label: 0 taken as good"),
        ("good", ("1", "0"), 0, "column good: 1 taken as good, 0 defective"),
        ("defective", ("false", "true"), 0, "column defective: false taken as good"),
        ("OK", ("True", "False"), 0, "column ok: True taken as good"),
        ("label", ("ok", "nok"), 0, "column label: ok taken as good"),
        ("label", ("NG", "OK"), 1, "OK taken as good"),
        ("result", ("pass", "fail"), 0, "pass taken as good"),
        ("Status", ("n.i.O.", "i.O."), 1, "i.O. taken as good"),
    ],
)
def test_a_column_of_two_words_is_understood_and_said(
    six: Path, column: str, values: tuple[str, str], good: int, said: str
) -> None:
    found = table(six, f"image,{column}\n0.png,{values[0]}\n1.png,{values[1]}\n")
    assert found.entries[good].defect == "good"
    assert found.entries[1 - good].defect != "good"
    assert said in found.notes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,label\n0.png,0\n1.png,good\n", "parts.csv: 0, good are mixed"),
        ("image,quality\n0.png,0\n1.png,1\n", "whether 0 or 1 is good is not said"),
        ("image,label\n0.png,a\n1.png,b\n", "none of a, b says that a part is good"),
        ("image,remark\n0.png,good\n", "has no column defect (it has image, remark)"),
        ("", "has no column defect, image (it has none)"),
        (b"image,defect\n0.png,L\xfccke\n", "parts.csv:2: is not UTF-8"),
        (b"image,defect\n0.png,good\n1\0.png,crack\n", "parts.csv:3: there is a NUL byte"),
        ("image,defect\n0.png,good\n1.png," + "x" * 140_000 + "\n", "parts.csv:3: field larger"),
    ],
)
def test_a_table_that_cannot_be_understood_is_told_with_its_line(
    six: Path, text: str | bytes, said: str
) -> None:
    with pytest.raises(DataError) as caught:
        table(six, text)
    assert said in str(caught.value)
    assert caught.value.fix


def test_what_is_wrong_with_rows_is_told_together_with_lines(six: Path) -> None:
    found = table(
        six,
        "image,defect,part,split\n0.png,good,a,train\n9.png,good,b,train\n1.png,good,c,trian\n"
        "2.png,crack,a,test\n0.png,crack,a,train\n3.png,good,d,train,what\n,good,e,train\n"
        "4.png,good,f,\n5.png,good,g,train\n5.png,good,g,train\n",
    )
    assert [flaw.split("; use one")[0] for flaw in found.flaws] == [
        "parts.csv:7: has 5 cells, the header 4: put what holds a comma in quotes",
        "parts.csv:3: 9.png is not there",
        "parts.csv:4: split is 'trian'",
        "parts.csv:5: part a is in test, in line 2 it is in train",
        "parts.csv:6: 0.png stands in line 2 with other labels",
        "parts.csv:8: names no file",
        "parts.csv:9: split is ''",
    ]
    assert list(found.kinds) == ["0.png", "5.png"]
    assert "listed twice in the same way counts once" in found.notes


def test_a_quotation_mark_that_is_not_closed_is_told_where_it_begins(six: Path) -> None:
    found = table(six, 'image,defect\n0.png,good\n1.png,"crack\n2.png,good\n3.png,good\n')
    assert found.flaws == ["parts.csv:3: a cell runs on to line 5: a quotation mark is not closed"]


@pytest.mark.parametrize("written_as", ["0,33", "0.33"])
def test_a_probability_is_read_with_a_comma_too(six: Path, written_as: str) -> None:
    found = table(six, f"image;probability\n0.png;{written_as}\n1.png;1\n2.png;\n3.png;7\n")
    assert [(e.target, e.defect) for e in found.entries] == [(0.33, "good"), (1.0, "defect")]
    assert found.flaws[0] == "parts.csv:5: probability is '7', want 0 to 1"
    assert "probability is empty in 2 rows" in found.flaws[1]


def test_a_folder_with_one_table_is_read_by_it(six: Path) -> None:
    written(six, "image,defect\n0.png,good\n1.png,crack\n", "labels.csv")
    written(six, "time,temperature\n1,20\n", "climate.csv")
    found = read_with(CsvReader(), six)
    assert found.kinds == TWO
    assert "labels are read from labels.csv" in found.notes
    assert found.left_out["climate.csv"] == "no part of this format"


def test_tables_that_are_called_by_splits_are_splits(six: Path) -> None:
    written(six, "image,label\n0.png,good\n1.png,crack\n", "train.csv")
    written(six, "image,label\n2.png,good\n", "val.csv")
    written(six, "image,label\n3.png,crack\n", "test.csv")
    found = read_with(CsvReader(), six)
    assert [found.splits[f"{n}.png"] for n in range(4)] == ["train", "train", "calibrate", "test"]


def test_the_usual_manifest_goes_before_other_tables(six: Path) -> None:
    written(six, "image,label\n0.png,good\n", "labels.csv")
    written(six, "image,defect\n1.png,good\n", "splits.csv")
    assert read_with(CsvReader(), six).kinds == {"1.png": "good"}


def test_a_table_without_labels_is_no_table_of_labels(six: Path) -> None:
    written(six, "image,width\n0.png,64\n", "sizes.csv")
    assert not recognised(CsvReader(), six)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=12)


@given(st.sampled_from(",;\t|"), st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_cells_that_a_spreadsheet_wrote_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, delimiter: str, rows: list[tuple[str, str]]
) -> None:
    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    lines = [("image", "defect"), *rows]
    text = "\r\n".join(delimiter.join(map(quoted, line)) for line in lines)
    path = written(tmp_path_factory.mktemp("t"), text)
    found = [tuple(row.values()) for _, row in CsvTable.read(path).cells(Account())]
    trimmed = [(a.strip(), b.strip()) for a, b in rows]
    assert found == [row for row in trimmed if any(row)]
