"""Data sets on the Hugging Face hub: which files each split has, downloaded or read where they are."""

import contextlib
import dataclasses
import errno
import io
import json
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from urllib.parse import quote

from slm.errors import UserError, first_line, say
from slm.files import atomic_write, make_folder, read_json
from slm.text.story_bytes import KIND_NAMES

CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
DOWNLOADS = 8  # at a time
PAGE = re.compile(r"(?:https?://(?:www\.)?(?:huggingface\.co|hf\.co)/|hf://)?datasets/([\w.-]+(?:/[\w.-]+)?).*")


def name_of_page(dataset):
    """The name of a data set whose page has the address `dataset`; another text as it is."""
    page = PAGE.fullmatch(dataset)
    return page[1] if page else dataset


@dataclasses.dataclass(frozen=True)
class HubFile:
    """A file on the hub that is read where it is, each time again."""

    repository: str
    revision: str
    path: str

    @property
    def name(self):
        return PurePosixPath(self.path).name

    def __str__(self):
        return f"{self.repository}/{self.path}"

    def address(self):
        return f"datasets/{self.repository}@{self.revision}/{self.path}"

    def open(self, mode):
        from huggingface_hub import HfFileSystem

        with reading_hub(self):
            return io.BufferedReader(HubStream(self, HfFileSystem().open(self.address(), mode)))

    def stat(self):
        from huggingface_hub import HfFileSystem

        with reading_hub(self):
            return SimpleNamespace(st_size=HfFileSystem().info(self.address())["size"])

    def download(self):
        """The file's path in the hub's cache, once it is there."""
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(self.repository, self.path, repo_type="dataset", revision=self.revision))


@contextlib.contextmanager
def reading_hub(file):
    """What is read of a `HubFile`; the client's errors, which are of many kinds, become a UserError."""
    try:
        yield
    except Exception as error:
        fix = "check the network and run the same command again"
        raise UserError(f"cannot read {file} on the Hugging Face hub ({first_line(error)}): {fix}") from error


class HubStream(io.RawIOBase):
    """The bytes of a `HubFile`, which the client has opened. Raises UserError where the hub does not give them."""

    def __init__(self, file, opened):
        self.file, self.opened = file, opened

    def readable(self):
        return True

    def seekable(self):
        return True

    def readinto(self, buffer):
        with reading_hub(self.file):
            return self.opened.readinto(buffer)

    def seek(self, offset, whence=io.SEEK_SET):
        return self.opened.seek(offset, whence)

    def tell(self):
        return self.opened.tell()

    def close(self):
        self.opened.close()
        super().close()


def find_hub_files(dataset, config, streaming):
    """({split: [file, ...]}, notes) of a data set on the hub. Raises UserError.

    config: its configuration, where it has several. streaming: leave the files there; else they are downloaded.
    """
    configs = []
    try:
        from huggingface_hub import constants
        from huggingface_hub.utils import disable_progress_bars, logging

        # the client tries a hub that cannot be reached for half a minute, and a pipe must show this line before that
        if constants.HF_HUB_OFFLINE:
            say(f"reading {dataset} from the cache of the Hugging Face hub (HF_HUB_OFFLINE is set)")
        else:
            say(f"reading {dataset} from the Hugging Face hub: waiting for {constants.ENDPOINT}, up to half a minute")
        logging.set_verbosity_error()  # no line for each try
        if not sys.stderr.isatty():
            disable_progress_bars()  # which would fill a log file
        files, notes = resolve(dataset, config)
        if not streaming:
            with ThreadPoolExecutor(DOWNLOADS) as pool:
                files = {split: list(pool.map(HubFile.download, names)) for split, names in files.items()}
        return files, notes
    except Exception as error:  # the hub's client raises many kinds, and all mean that there is no data set
        if isinstance(error, UserError):
            raise
        if reason := cannot_write(error):
            from huggingface_hub.constants import HF_HOME

            fix = "set HF_HOME to a writable folder with room" + ("" if streaming else ", or give --streaming")
            raise UserError(f"cannot keep {dataset} in the hub's cache {HF_HOME} ({reason}): {fix}") from error
        if "script" in str(error).lower() or "trust_remote_code" in str(error):
            raise UserError(
                f"{dataset} is only a script, which is not run here: download the files that it reads, and give them"
                " as --dataset"
            ) from error
        if isinstance(error, ValueError) and "config" in str(error).lower():
            import datasets

            with contextlib.suppress(Exception):
                configs = datasets.get_dataset_config_names(dataset)
        if configs:
            what = f"no configuration {config!r}" if config else "several configurations"
            raise UserError(f"{dataset} has {what}: give --config one of {', '.join(configs)}") from error
        raise UserError(
            f"cannot load {dataset} from the Hugging Face hub ({first_line(error, 200)}): check the name and the"
            " network, and run the same command again, which keeps each file that came whole; or use --dataset sample"
            f" (embedded, no network) or --dataset with a local {KIND_NAMES} file or folder"
        ) from error


def resolve(dataset, config):
    """({split: [HubFile, ...]}, notes), as the data set's page or the names of its files say.

    The answer is kept in the hub's cache, for a time without the hub. Raises UserError where neither is there.
    """
    import datasets
    from huggingface_hub.constants import ENDPOINT, HF_HOME, HF_HUB_OFFLINE

    kept = Path(HF_HOME) / "slm" / f"{quote(f'{dataset}/{config or str()}', safe='')}.json"
    try:
        builder = datasets.load_dataset_builder(dataset, config)
    except ConnectionError as error:
        try:
            answer = read_json(kept)
            files = {split: [HubFile(*file) for file in listed] for split, listed in answer["files"].items()}
            return files, [*answer["notes"], "the hub is not reached: from its cache alone"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            why = "is not asked (HF_HUB_OFFLINE is set)" if HF_HUB_OFFLINE else "does not answer"
            raise UserError(
                f"{dataset} is not in the cache, and the Hugging Face hub {ENDPOINT} {why}: check the network, set"
                " HF_ENDPOINT to a mirror, or give --dataset sample or a local file or folder"
            ) from error
    files = {
        str(split): [to_hub_file(url) for url in urls] for split, urls in (builder.config.data_files or {}).items()
    }
    if not files:
        raise UserError(f"{dataset} has no {KIND_NAMES} file on the hub: give another data set")
    notes = ignored_options(builder.config)
    make_folder(kept.parent, "set HF_HOME to a writable folder")
    with atomic_write(kept) as file:
        listed = {split: [dataclasses.astuple(file) for file in names] for split, names in files.items()}
        file.write(json.dumps({"files": listed, "notes": notes}).encode())
    return files, notes


def to_hub_file(url):
    """hf://datasets/ORG/NAME@REVISION/PATH as a `HubFile`. Raises UserError for another place."""
    found = re.fullmatch(r"hf://datasets/([^@]+)@([^/]+)/(.+)", str(url))
    if not found:
        raise UserError(f"the data set takes {url} from elsewhere: download it, and give it as --dataset")
    return HubFile(*found.groups())


def ignored_options(config):
    """A line on what the data set's page says to a reader of the datasets library, which means nothing here."""
    general = {"name", "version", "data_dir", "data_files", "description", "features"}
    changed = [
        f"{field.name}={getattr(config, field.name)!r}"
        for field in dataclasses.fields(config)
        if field.name not in general
        and field.default is not dataclasses.MISSING
        and getattr(config, field.name) != field.default
    ]
    return [f"its page sets {', '.join(changed)}, which means nothing here: the files say it"] if changed else []


def cannot_write(error):
    """Why the disk takes no more, in the system's words, where that is behind `error`; None where it is not."""
    while error:
        full = isinstance(error, OSError) and error.errno in CANNOT_WRITE
        if full or os.strerror(errno.ENOSPC) in str(error):  # some of the client is not Python and has no errno
            return error.strerror if full else os.strerror(errno.ENOSPC)
        error = error.__cause__ or error.__context__
    return None
