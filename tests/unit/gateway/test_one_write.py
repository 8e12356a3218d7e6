"""A response's head goes out together with its body, and by itself where no body comes at once."""

import asyncio

from services.gateway.edge.http_server import _OneWrite

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


class _Recorder(asyncio.Transport):
    """Notes what is done with it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[bytes | str] = []

    def write(self, data) -> None:
        self.done.append(bytes(data))

    def writelines(self, list_of_data) -> None:
        self.done.append(b"".join(list_of_data))

    def write_eof(self) -> None:
        self.done.append("eof")

    def close(self) -> None:
        self.done.append("close")

    def is_closing(self) -> bool:
        return False


async def test_head_and_body_are_one_write():
    recorder = _Recorder()
    transport = _OneWrite(recorder, asyncio.get_running_loop())

    transport.write(HEAD)
    transport.write(b"text")
    transport.write(b"more")
    await asyncio.sleep(0)

    assert recorder.done == [HEAD + b"text", b"more"]
    assert not transport.is_closing()


async def test_a_head_alone_waits_for_the_next_round_at_most():
    recorder = _Recorder()
    transport = _OneWrite(recorder, asyncio.get_running_loop())

    transport.write(HEAD)
    assert not recorder.done
    await asyncio.sleep(0)
    transport.write(b"text")

    assert recorder.done == [HEAD, b"text"]


async def test_nothing_is_lost_at_the_end():
    recorder = _Recorder()
    transport = _OneWrite(recorder, asyncio.get_running_loop())

    transport.write(HEAD)
    transport.write_eof()
    transport.write(HEAD)
    transport.close()

    assert recorder.done == [HEAD, "eof", HEAD, "close"]
