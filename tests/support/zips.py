"""Zip archives of a store, as various programs write them."""

import io
import zipfile


class Unseekable(io.RawIOBase):
    """A stream to which can only be appended: sizes then stand behind the data, not before."""

    def __init__(self, path):
        self.file = open(path, "wb")

    def writable(self):
        return True

    def write(self, data):
        return self.file.write(data)

    def close(self):
        self.file.close()
        super().close()


def zip_folder(folder, archive, *, method=zipfile.ZIP_STORED, inside="", zip64=False, stream=False):
    """Pack a folder; `inside` goes before each name, such as ``img.zarr/``."""
    target = Unseekable(archive) if stream else archive
    with zipfile.ZipFile(target, "w", method) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = f"{inside}{path.relative_to(folder).as_posix()}"
                info = zipfile.ZipInfo(name)
                info.compress_type = method
                with packed.open(info, "w", force_zip64=zip64) as entry:
                    entry.write(path.read_bytes())
    if stream:
        target.close()
    return archive


def change_bytes(archive, change):
    """Let a function change the bytes of an archive."""
    data = bytearray(archive.read_bytes())
    archive.write_bytes(change(data) or data)
    return archive
