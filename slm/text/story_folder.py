"""Which files of a folder hold stories, and of which split they are. What is left aside is listed, with the reason."""

import re
from collections import defaultdict

from slm.errors import UserError
from slm.files import NEW, PARTIAL
from slm.text.prepared_folder import PREPARED_FILES
from slm.text.story_bytes import KIND_NAMES, KINDS, kind_of, split_name

SPLIT_NAMES = {  # as the datasets library has them
    **dict.fromkeys(["train", "training"], "train"),
    **dict.fromkeys(["validation", "valid", "val", "dev"], "validation"),
    **dict.fromkeys(["test", "testing", "eval", "evaluation"], "test"),
}
OTHERS = "|".join(name for name in SPLIT_NAMES if SPLIT_NAMES[name] != "train")
SPLIT_WORD = re.compile(rf"(?:^|(?<=[-_.]))({OTHERS})(?=$|[-_.])")
# the number of a file that is one of several, and the hash behind it, as in train-00000-of-00004-0a1b2c3d4e5f6071
FILE_NUMBER = re.compile(r"[-_.]?\d+(?:[-_.]of[-_.]\d+)?(?:-[0-9a-f]{16})?$")
# what `map` of the datasets library leaves beside the state.json of a set on disk
CACHE = re.compile(r"cache-.*\.arrow")
ABOUT = re.compile(r"(readme|licen[cs]e|copying|notice|authors|changelog|contributing|citation)\b.*")  # not stories
NAMES_SHOWN = 3  # in a line, before "and 5 more"


def list_files(root):
    """(files, left_aside): all files under a folder, sorted, and {reason: [path, ...]} for what is not among them.

    Links are followed; a folder with several paths is entered once, by its real path if that is under `root`. Names
    that begin with a dot, and __MACOSX, are left aside. Raises UserError for an unreadable folder.
    """
    files, left_aside = [], defaultdict(list)
    folders, links, entered = [root], [], set()
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        real = folder.resolve()
        if real in entered:
            left_aside["the same folder by another link"].append(folder)
            continue
        entered.add(real)
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            raise UserError(f"cannot read the folder {folder}: {error.strerror}") from error
        is_prepared = (folder / PREPARED_FILES[0]) in entries
        for entry in entries:
            if is_prepared and entry.name in (*PREPARED_FILES, ".lock", PARTIAL, NEW):
                continue  # what an earlier prepare.py wrote beside its source
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                left_aside["hidden"].append(entry)
            elif entry.is_dir() and entry.is_symlink() and real.is_relative_to(entry.resolve()):
                left_aside["a link to a folder above it"].append(entry)
            elif entry.is_dir():
                (links if entry.is_symlink() else folders).append(entry)
            elif entry.is_file():
                files.append(entry)
            else:
                kind = "a broken link" if entry.is_symlink() else "neither a file nor a folder"
                left_aside[kind].append(entry)
    return sorted(files), left_aside


def list_stories(root):
    """(files, left_aside) of `list_files`, where only what may hold stories, each story once, is among the files."""
    files, left_aside = list_files(root)
    stories, real_files, uncompressed = [], set(), {file for file in files if file.stat().st_size}
    # a file that has its real path here goes by that path, not by a link's
    for file in sorted(files, key=lambda file: (file.resolve() != root.resolve() / file.relative_to(root), file)):
        stem, kind, codec = split_name(file.name)
        if not kind:
            left_aside[f"not {KIND_NAMES}"].append(file)
        elif file.resolve() in real_files:
            left_aside["the same file by another link"].append(file)
        elif codec and file.with_suffix("") in uncompressed:
            left_aside["a compressed copy"].append(file)
        elif not file.stat().st_size:
            left_aside["0 bytes"].append(file)
        elif CACHE.fullmatch(file.name) and file.with_name("state.json") in uncompressed:
            left_aside["a cache of the datasets library"].append(file)
        elif kind == ".txt" and ABOUT.fullmatch(stem.lower()):
            left_aside["about the stories"].append(file)
        else:
            uncompressed.add(file.with_suffix("") if codec else file)
            stories.append(file)
            real_files.add(file.resolve())
    return sorted(stories or left_aside.pop("about the stories", [])), left_aside


def find_story_files(path, file_is_story=False):
    """({split: [file, ...]}, note) of a file or a folder; the note is a line that names the files of each split.

    The files of a folder must be of one kind, compressed or not, else UserError. What describes the stories is left
    aside: a README, and .json files beside another kind. file_is_story: only folders name a split, not files.
    """
    if path.is_file():
        return {"train": [path]}, f"train: {path.name}"
    if not path.is_dir():
        raise UserError(f"{path} is neither a file nor a folder: --dataset takes one of these")

    path = hub_revision(path)
    stories, left_aside = list_stories(path)
    kinds = {kind: [file for file in stories if kind_of(file) == kind] for kind in KINDS}
    kinds = {kind: files for kind, files in kinds.items() if files}
    if len(kinds) > 1 and ".json" in kinds:
        left_aside["a .json beside another kind"] = kinds.pop(".json")
        stories = [file for file in stories if kind_of(file) != ".json"]
    if not kinds:
        raise UserError(" ".join([f"{path} holds no {KIND_NAMES} file;", note_of(path, {}, left_aside)]).rstrip(" ;"))
    if len(kinds) > 1:
        each = ", ".join(f"{kind} ({listing(path, files)})" for kind, files in kinds.items())
        raise UserError(f"{path} holds {each}, maybe the same stories twice: name one file, or a folder with one kind")

    splits = {"train": [], "validation": [], "test": []}
    names = [file.relative_to(path) for file in stories]
    for file, split in zip(stories, split_of_each(names, file_is_story), strict=True):
        splits[split].append(file)
    splits = {name: files for name, files in splits.items() if files}
    return splits, note_of(path, splits, left_aside)


def hub_revision(path):
    """The folder of the revision that `refs/main` names, of a data set in the hub's cache; else `path`."""
    try:
        revision = path / "snapshots" / (path / "refs" / "main").read_text().strip()
    except (OSError, ValueError):
        return path
    return revision if revision.is_dir() else path


def split_of_each(paths, folders_only=False):
    """The split of each of `paths` (relative to the folder that is the source): train, validation or test.

    The first part of a path that names a split decides; where none does, the file is for training. folders_only:
    whether the last part decides nothing. A folder may be `split=test`, as Hive and Spark write it.
    """
    named = [path.parent.parts if folders_only else (*path.parent.parts, split_name(path.name)[0]) for path in paths]
    named = [tuple(FILE_NUMBER.sub("", part.lower().removeprefix("split=")) for part in parts) for parts in named]
    beside = defaultdict(set)  # the names in each folder
    for parts in named:
        for depth, part in enumerate(parts):
            beside[parts[:depth]].add(part)
    for parts in named:
        splits = (split_named(part, beside[parts[:depth]]) for depth, part in enumerate(parts))
        yield next(filter(None, splits), "train")


def split_named(name, beside):
    """The split that a name says, among the names `beside` it in its folder, or None.

    A word such as `test` makes a split where it is the whole name, or where `train`, or the same name with `train` in
    the place of the word or without the word, is beside it: stories have titles with such words in them.
    """
    if name in SPLIT_NAMES:
        return SPLIT_NAMES[name]
    for word in SPLIT_WORD.finditer(name):
        before, after = name[: word.start()], name[word.end() :]
        without = (before + after).strip("-_.")
        if beside & {"train", "training", f"{before}train{after}", f"{before}training{after}", without}:
            return SPLIT_NAMES[word[1]]
    return None


def listing(root, files):
    """The first names of a list of paths under `root`, and how many more there are."""
    names = [file.relative_to(root).as_posix() for file in files]
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


def note_of(root, splits, left_aside):
    """A line that names the files of each split, and those left aside with the reason."""
    parts = [f"{name}: {listing(root, files)}" for name, files in splits.items()]
    aside = [f"{listing(root, files)} ({reason})" for reason, files in left_aside.items() if files]
    return "; ".join([*parts, *(["left aside: " + ", ".join(aside)] if aside else [])])
