"""Files of a plain web server, read by their names: nothing can be listed there, and nothing written."""

from __future__ import annotations

import io
from typing import Any, NoReturn
from urllib.parse import quote

import pyarrow as pa
import pyarrow.fs as pafs

from transforms.files import READS, open_file


class WebFiles(pafs.FileSystemHandler):  # type: ignore[misc]
    """What pyarrow asks of a file system, by HTTP GET; failures that may pass are tried again."""

    def __init__(self, root: str) -> None:
        self.root = root

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WebFiles) and other.root == self.root

    def __hash__(self) -> int:
        return hash(self.root)

    def get_type_name(self) -> str:
        """The protocol."""
        return "http"

    def normalize_path(self, path: str) -> str:
        """Paths are used as they are."""
        return path

    def open_input_file(self, path: str) -> pa.NativeFile:
        """The file; reading at a place asks the server for the bytes from there on."""
        return pa.PythonFile(open_file(f"{self.root.rstrip('/')}/{quote(path)}", READS), mode="r")

    open_input_stream = open_input_file

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        """Size of each file, or that there is none."""
        return [self._info(path) for path in paths]

    def _info(self, path: str) -> pafs.FileInfo:
        try:
            with self.open_input_file(path) as file:
                return pafs.FileInfo(path, pafs.FileType.File, size=file.seek(0, io.SEEK_END))
        except FileNotFoundError:
            return pafs.FileInfo(path, pafs.FileType.NotFound)

    def _refuse(self, *given: Any, **more: Any) -> NoReturn:
        raise PermissionError(f"{self.root} can only be read")

    get_file_info_selector = create_dir = delete_dir = delete_dir_contents = _refuse
    delete_root_dir_contents = delete_file = move = copy_file = _refuse
    open_output_stream = open_append_stream = _refuse
