"""Data sets on disk → `Dataset`. `read` finds out which form a path holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloud.datasets.account import Account
from cloud.datasets.builder import DatasetBuilder, ReadOptions
from cloud.datasets.dataset import Dataset, check
from cloud.datasets.entry import DatasetReader
from cloud.datasets.file_tree import FileTree
from cloud.datasets.glances import Glances
from cloud.datasets.readers.elpv import read_elpv
from cloud.datasets.readers.industrial.dagm import DagmReader
from cloud.datasets.readers.industrial.kind_folders import KindFolders
from cloud.datasets.readers.industrial.kolektor import KOLEKTOR_FORMS
from cloud.datasets.readers.industrial.mvtec import MVTEC_FORMS
from cloud.datasets.readers.industrial.severstal import SeverstalReader
from cloud.datasets.readers.industrial.visa import VisaReader
from cloud.datasets.readers.tables.csv_table import CsvReader
from cloud.datasets.readers.tables.parquet import ParquetReader
from cloud.datasets.readers.tables.shards import ShardReader
from cloud.datasets.readers.tools.coco import CocoReader
from cloud.datasets.readers.tools.cvat import CvatReader
from cloud.datasets.readers.tools.label_studio import LabelStudioReader
from cloud.datasets.readers.tools.labelme import LabelMeReader
from cloud.datasets.readers.tools.voc import VocReader
from cloud.datasets.readers.tools.yolo import YoloReader
from shared.errors import DataError, SettingsError

__all__ = ["READERS", "SurveyedData", "read", "survey"]

FOLDERS = KindFolders()
# The most specific first: of several that recognise the files, the first reads them.
READERS: tuple[DatasetReader, ...] = (
    CocoReader(),
    YoloReader(),
    VocReader(),
    LabelMeReader(),
    CvatReader(),
    LabelStudioReader(),
    SeverstalReader(),
    VisaReader(),
    DagmReader(),
    *KOLEKTOR_FORMS,
    # Who put a table into a set of folders wants it read.
    CsvReader(),
    *MVTEC_FORMS,
    ParquetReader(),
    ShardReader(),
    FOLDERS,
)


@dataclass(frozen=True, slots=True)
class SurveyedData:
    """A data set, and what became of every file of it.

    form     the name of its reader
    groups   pictures that were kept together as one part, where the set named none
    seen     of every picture; None where none was opened
    """

    dataset: Dataset
    account: Account
    form: str
    groups: tuple[tuple[Path, ...], ...] = ()
    seen: Glances | None = None


def read(source: str, *, seed: int = 0, options: ReadOptions | None = None) -> Dataset:
    """Read a data set as `survey` does, without its account."""
    return survey(source, options or ReadOptions(seed=seed)).dataset


def survey(source: str, options: ReadOptions) -> SurveyedData:
    """Read a data set and account for every file.

    source   `elpv` (from its wheel), a folder in a form that a reader knows, or a file of labels
    Raises DataError where no reader knows the form, and for all that is wrong, together.
    """
    if source == "elpv":
        dataset = check(read_elpv(seed=options.seed))
        account = Account(skip_bad=options.skip_bad)
        for sample in dataset.samples:
            account.use(sample.image, "picture")
        account.note("divided as published, and near-identical cells by the rule of then")
        return SurveyedData(dataset, account, "ELPV")
    tree = _tree(source)
    account = Account(skip_bad=options.skip_bad)
    account.left_out.extend(tree.passed_over)
    reader = _reader(tree, options.data_format, account)
    builder = DatasetBuilder(account, options)
    built = builder.build(reader.entries(tree, account), tree.root)
    account.close(tree.files)
    return SurveyedData(check(built.dataset), account, reader.name, built.groups, built.seen)


def _tree(source: str) -> FileTree:
    path = Path(source).resolve()
    try:
        if path.is_dir():
            return FileTree.of(path)
        if path.is_file():
            return FileTree.of(path.parent, labels=path)
    except OSError as error:
        raise DataError(
            f"{error.filename or source} can't be read ({error.strerror})",
            fix="look at its permissions",
        ) from error
    raise DataError(
        f"{source} is neither a folder nor a file of labels nor a set known by name",
        fix="give a path, or `elpv`",
    )


def _reader(tree: FileTree, wanted: str, account: Account) -> DatasetReader:
    if wanted:
        for reader in READERS:
            if reader.name.lower() == wanted.lower():
                return reader
        raise SettingsError(
            f"there is no data format {wanted!r}", fix=f"use one of {_known_names()}"
        )
    found = [reader for reader in READERS if reader.recognises(tree)]
    if not found:
        raise DataError(
            f"{tree.labels or tree.root} is in no form that is known: {_seen(tree)}",
            fix="put good parts in a folder `good` and others, if any, in one folder a kind of "
            f"defect; or use one of {_known_names()}",
        )
    others = [reader.name for reader in found[1:] if reader != FOLDERS]
    if others:
        account.note(f"read as {found[0].name}; --data-format can make it {', '.join(others)}")
    return found[0]


def _known_names() -> str:
    return ", ".join(reader.name for reader in READERS)


def _seen(tree: FileTree) -> str:
    folders = ", ".join(folder.name for folder in tree.folders_in(tree.root)[:8]) or "none"
    return f"{len(tree.files)} files, {len(tree.pictures)} pictures, the folders {folders}"
