"""Files of tensors and plain values, read as data. A file that holds code is refused, and no code runs."""

import errno
import os
import re
import warnings
import zipfile

import torch

from slm.errors import UserError
from slm.values import shown

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def read_tensors(path):
    """The contents of the file at `path`, tensors on the CPU. Raises UserError where it cannot be read or holds code.

    The zip's checksums are tested, which torch.load does not do.
    """
    start, compressed = b"?", False
    try:
        if not os.path.isfile(path):  # a FIFO never ends
            raise FileNotFoundError(errno.ENOENT, "it is no regular file")
        with open(path, "rb") as file:
            start = file.read(4)
        if start == b"PK\3\4":  # a zip; torch before 1.6 wrote another format, without checksums
            with zipfile.ZipFile(path) as archive:
                members, names = archive.infolist(), archive.namelist()
                # torch.save does not compress; a small file could unfold to more than the memory
                compressed = any(member.compress_type for member in members)
                compressed |= sum(member.file_size for member in members) > os.path.getsize(path)
                damaged = not compressed and archive.testzip()
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
    if compressed:
        raise UserError(f"{path} is compressed, which torch.save does not do: unpack it and save its contents again")
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


def by_name(pairs, where, tied=None):
    """{name: tensor} of (name, tensor) pairs, checked: see `check_tensors`. Raises UserError, which names `where`.

    Two pairs with one name are a mistake, too.
    """
    tensors = {}
    for name, tensor in pairs:
        if name in tensors:
            raise UserError(
                f"{where} has {shown(name)} twice, and one of them is not the model's: save the model again"
            )
        tensors[name] = tensor
    check_tensors(tensors, where, tied)
    return tensors


def check_tensors(tensors, where, tied=None):
    """Raise UserError, which names `where`, unless `tensors` is {name: dense tensor on the CPU} of finite floats.

    tied: {name of a tensor: the one whose numbers it repeats}; both may be in one memory. All others have their own
    memory, so that what they need is no more than what was read.
    """
    tied = tied or {}

    def refuse(name, reason):
        raise UserError(f"{where}: {shown(name)} {reason}: use a model in float32, float16 or bfloat16")

    memory, needed = {}, 0
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise UserError(f"{where} holds more than tensors ({shown(name)}): save the state_dict of a model")
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.dtype not in DTYPES:
            refuse(name, f"is a tensor of the kind {tensor.layout}, {tensor.device.type}, {tensor.dtype}")
        storage = tensor.untyped_storage()
        memory[storage.data_ptr()] = storage.nbytes()
        needed += 0 if name in tied else tensor.nbytes
    if needed > sum(memory.values()):
        raise UserError(f"{where}: its parameters share their memory: save the state_dict of a model")
    if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise UserError(f"{where}: the parameters are not finite ({broken[0]}): take one from before its run failed")
    for name, other in tied.items():
        pair = [tensors[one].float() for one in (name, other) if one in tensors]
        if len(pair) == 2 and not torch.equal(*pair):
            raise UserError(f"{where}: {name} is not tied to {other}, and model.py ties them: use another model")
