"""What runs in a process of its own: a pynetdicom Storage SCP, a bare socket that files bytes, a null archive.

python -m benchmarks.opponents pynetdicom | raw PORT FOLDER
python -m benchmarks.opponents null-archive STUDIES
"""

from __future__ import annotations

import itertools
import socket
import struct
import sys
import threading
import time
from pathlib import Path

HEAD = struct.Struct(">Q")
"""Before each file that is sent through a bare socket: its size; 0 asks for an answer."""


def pynetdicom(port: int, folder: Path) -> None:
    """Run pynetdicom's Storage SCP with the least that can be done for an instance: its bytes go to a file."""
    from pynetdicom import AE, AllStoragePresentationContexts, evt

    def store(event: evt.Event) -> int:
        (folder / f"{event.request.AffectedSOPInstanceUID}.dcm").write_bytes(event.encoded_dataset())
        return 0x0000

    entity = AE("HERE")
    entity.supported_contexts = AllStoragePresentationContexts
    entity.start_server(("127.0.0.1", port), block=True, evt_handlers=[(evt.EVT_C_STORE, store)])


def raw(port: int, folder: Path) -> None:
    """Write what comes through a socket into files: no DICOM, no answers but one at the end."""
    numbers = itertools.count()
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            threading.Thread(target=_take_files, args=(listener.accept()[0], folder, numbers), daemon=True).start()


def _take_files(sock: socket.socket, folder: Path, numbers: itertools.count[int]) -> None:
    view = memoryview(bytearray(1 << 18))
    with sock, sock.makefile("rb", buffering=0) as stream:
        while len(head := stream.read(HEAD.size) or b"") == HEAD.size:
            left = HEAD.unpack(head)[0]
            if not left:
                sock.sendall(b"\0")
                continue
            with open(folder / f"{next(numbers)}.dcm", "xb", buffering=0) as file:  # noqa: PTH123
                while left and (got := sock.recv_into(view[: min(left, len(view))])):
                    file.write(view[:got])
                    left -= got


def send_files(port: int, paths: list[Path]) -> None:
    """Send files to `raw`, and wait until they are there."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        for path in paths:
            with path.open("rb", buffering=0) as file:
                sock.sendall(HEAD.pack(path.stat().st_size))
                sock.sendfile(file)
        sock.sendall(HEAD.pack(0))
        sock.recv(1)


def send_at_once(port: int, shares: list[list[Path]]) -> float:
    """Send each share on a connection of its own, and return the seconds until the last file is there."""
    threads = [threading.Thread(target=send_files, args=(port, paths)) for paths in shares]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun


def null_archive(studies: int) -> None:
    """Run an archive that answers every C-MOVE at once and sends nothing; it says its port and ends with its input.

    Every study has one instance, which counts as completed.
    """
    from dicomover.testing import DemoPacs, made_studies

    held = made_studies(studies, instances=1)
    with DemoPacs(held, misbehave={"*": "claims-without-sending"}) as archive:
        print(archive.node.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1] == "null-archive":
        null_archive(int(sys.argv[2]))
    else:
        {"pynetdicom": pynetdicom, "raw": raw}[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
