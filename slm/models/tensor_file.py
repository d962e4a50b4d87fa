"""Files of torch.save, read as data: tensors and plain values. A file that holds code is refused, and no code runs."""

import re
import warnings
import zipfile

import torch

from slm.errors import UserError


def read_tensors(path):
    """The contents of the file at `path`, tensors on the CPU. Raises UserError where it cannot be read or holds code.

    The zip's checksums are tested, which torch.load does not do.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(4)
        if start == b"PK\3\4":  # a zip; torch before 1.6 wrote another format, without checksums
            with zipfile.ZipFile(path) as archive:
                names, damaged = archive.namelist(), archive.testzip()
        else:
            names, damaged = [], not start
    except Exception as error:  # zipfile raises another exception for each kind of damage
        if isinstance(error, OSError) and error.errno:
            raise UserError(f"cannot read {path}: {error.strerror}") from error
        damaged = True
    if damaged:
        raise UserError(f"{path} is {'damaged or cut short' if start else 'empty'}: copy it again, or use another file")
    if any(re.search(r"(^|/)code/", name) for name in names):
        raise UserError(f"{path} holds code (TorchScript), so it is not read: save tensors and plain values only")
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickle protocols, in a file that is refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # as above
        if named := re.search(r"\bGLOBAL ([\w.]{1,80})", str(error)):  # a function or class that is not torch's
            raise UserError(
                f"{path} holds code ({named[1]}), which runs when it is read, so it is not read: save tensors and plain"
                " values only"
            ) from error
        raise UserError(f"{path} is not a file of torch.save, or damaged: use another file") from error
