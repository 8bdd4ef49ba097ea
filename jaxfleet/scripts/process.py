"""What a script's process does at its edges: signals that come, output that nobody reads."""

import contextlib
import functools
import io
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator

ANSWER_SECONDS = 1.5  # from a signal to a line that says so, if the process has not ended by then
STOP_SECONDS = 1.0  # from a second signal to the end of the process


def end_at_ctrl_c(script: str) -> None:
    """Let Ctrl-C end the process with one line and exit code 130 until `heed_ctrl_c`.

    For the time in which a script imports what it needs: nothing has begun that would have to be
    undone, and an exception in the middle of an import would become a traceback, or another error.
    Where SIGINT is ignored, as in the background of a shell, it stays so.

    Args:
        script: the name that begins the line on standard error.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, functools.partial(_end, script))


def heed_ctrl_c() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, after `end_at_ctrl_c`."""
    handler = signal.getsignal(signal.SIGINT)
    if isinstance(handler, functools.partial) and handler.func is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def answering_signals(script: str, again: str) -> Iterator[None]:
    """Answer Ctrl-C and SIGTERM within two seconds, also while a compiled program computes.

    Python raises KeyboardInterrupt only between its own instructions, so that a step of a minute
    would leave the user in doubt for that long, and a run that saves a checkpoint first takes its
    time too. A thread that the signal wakes says that the process is stopping. At a second signal
    the process ends, even in the middle of a step; what was saved stays whole.

    Args:
        script: the name that begins the line on standard error.
        again: what to do after a process that was stopped at once, such as "repeat the command".
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    finished = threading.Event()

    def answer() -> None:
        asked = 0
        while received := reader.recv(1):
            number = received[0]
            if number not in (signal.SIGINT, signal.SIGTERM):
                continue
            asked += 1
            if finished.wait(ANSWER_SECONDS if asked == 1 else STOP_SECONDS):
                break
            if asked > 1:
                _say(f"{script}: stopped at once; {again}.")
                os._exit(128 + number)
            _say(f"{script}: stopping after the running step; Ctrl-C again stops at once.")

    thread = threading.Thread(target=answer, daemon=True)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        signal.set_wakeup_fd(before)
        writer.close()
        thread.join()
        reader.close()


def print_any_name() -> None:
    """Let standard output and error print every file name, whatever their encoding.

    What an encoding lacks is written with backslashes. Bytes of a name that are no UTF-8 pass as
    they are through a stream of UTF-8.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            is_utf8 = stream.encoding.lower().replace("-", "") == "utf8"
            stream.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")


def drop_output() -> None:
    """Send what is left in the buffers nowhere, once the reader of a pipe is gone."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BrokenPipeError:
                os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _end(script: str, number: int, frame: object) -> None:
    _say(f"{script}: interrupted before it began; repeat the command to begin.")
    os._exit(128 + number)


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode(errors="backslashreplace"))
