"""grpcio as the server of interop.proto, or as a client that calls all of it.

    python3 interop.py serve             prints its port, and then a line for each call that its client gave up
    python3 interop.py call < SETTINGS   prints one JSON object: what went wrong in each case, or null
"""

import json
import queue
import random
import sys
import threading
import time
import traceback
from concurrent import futures

import grpc
import interop_pb2 as pb
import interop_pb2_grpc

INITIAL, TRAILING = "x-interop-initial", "x-interop-trailing-bin"
"""What is echoed of a call's metadata, ahead of the answer and behind it."""
LARGEST = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


# --- server ---------------------------------------------------------------------------------------------------------


class Interop(interop_pb2_grpc.InteropServicer):
    def Empty(self, request, context):
        with Call(context, "Empty"):
            return pb.Nothing()

    def Once(self, request, context):
        with Call(context, "Once") as call:
            return next(call.answers(request), pb.Answer())

    def Gather(self, requests, context):
        with Call(context, "Gather"):
            sizes = [len(request.payload) for request in requests]
            return pb.Sum(messages=len(sizes), bytes=sum(sizes))

    def Spread(self, request, context):
        with Call(context, "Spread") as call:
            yield from call.answers(request)

    def Talk(self, requests, context):
        with Call(context, "Talk") as call:
            for request in requests:
                yield from call.answers(request)


class Call:
    """One call at the server. Metadata is echoed; that the client gave it up is printed."""

    def __init__(self, context, method):
        self.context = context
        self.method = method
        self.is_answered = False
        self.is_over = threading.Event()

    def __enter__(self):
        self.context.add_callback(self.over)
        for key, value in self.context.invocation_metadata():
            if key == INITIAL:
                self.context.send_initial_metadata([(key, value)])
            elif key == TRAILING:
                self.context.set_trailing_metadata([(key, value)])
        return self

    def __exit__(self, kind, *_):
        self.is_answered = self.is_answered or kind is None

    def over(self):
        self.is_over.set()
        if not self.is_answered:
            print(f"cancelled {self.method}", flush=True)

    def answers(self, request):
        left = self.context.time_remaining()
        left_ms = 0 if left is None or left > 3600 else int(left * 1000)
        if request.HasField("ending"):
            self.is_answered = True
            code = next(code for code in grpc.StatusCode if code.value[0] == request.ending.code)
            self.context.abort(code, request.ending.message)
        for wanted in request.answers:
            self.is_over.wait(wanted.pause_ms / 1000)
            yield pb.Answer(payload=bytes(wanted.bytes), asked=len(request.payload), left_ms=left_ms)


def serve():
    server = grpc.server(futures.ThreadPoolExecutor(64), options=LARGEST, compression=grpc.Compression.Gzip)
    interop_pb2_grpc.add_InteropServicer_to_server(Interop(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


# --- client ---------------------------------------------------------------------------------------------------------

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def ask(payload=0, *answers, pause_ms=0, **more):
    """Payloads become half as long when they are compressed, and not so short that they look like an attack."""
    wanted = [pb.Wanted(bytes=size, pause_ms=pause_ms) for size in answers]
    text = random.Random(payload).randbytes(payload // 2 + 1).hex().encode()
    return pb.Ask(payload=text[:payload], answers=wanted, **more)


def equal(found, expected):
    assert found == expected, f"{found!r}, not {expected!r}"


def fails(call, code, details=None):
    """The error that a call ends with: answers that come ahead of it are read."""
    try:
        answer = call()
        if hasattr(answer, "__next__"):
            for _ in answer:
                pass
    except grpc.RpcError as error:
        equal(error.code(), code)
        if details is not None:
            equal(error.details(), details)
        return error
    raise AssertionError("the call succeeded")


@case
def empty_unary(stub, _):
    equal(stub.Empty(pb.Nothing()), pb.Nothing())


@case
def large_unary(stub, _):
    answer = stub.Once(ask(300_000, 350_000))
    equal((answer.asked, len(answer.payload)), (300_000, 350_000))
    answer = stub.Once(ask(3_000_000, 3_500_000))
    equal((answer.asked, len(answer.payload)), (3_000_000, 3_500_000))


@case
def compressed_unary(stub, _):
    for compression in [grpc.Compression.Gzip, grpc.Compression.Deflate, grpc.Compression.NoCompression]:
        answer = stub.Once(ask(300_000, 350_000), compression=compression)
        equal((answer.asked, len(answer.payload)), (300_000, 350_000))


@case
def client_streaming(stub, _):
    sizes = [27_000, 8, 0, 1_900, 46_000]
    equal(stub.Gather(ask(size) for size in sizes), pb.Sum(messages=5, bytes=sum(sizes)))


@case
def compressed_client_streaming(stub, _):
    sizes = [27_000, 8, 0, 1_900, 46_000]
    answer = stub.Gather((ask(size) for size in sizes), compression=grpc.Compression.Gzip)
    equal(answer, pb.Sum(messages=5, bytes=sum(sizes)))


@case
def server_streaming(stub, _):
    sizes = [31_000, 9, 0, 2_700, 59_000]
    equal([len(answer.payload) for answer in stub.Spread(ask(1, *sizes))], sizes)


@case
def ping_pong(stub, _):
    turns = [(27_000, 31_000), (8, 9), (1_900, 2_700), (46_000, 59_000)]
    asked = queue.Queue()
    call = stub.Talk(iter(asked.get, None))
    for there, back in turns:
        asked.put(ask(there, back))
        answer = next(call)
        equal((answer.asked, len(answer.payload)), (there, back))
    asked.put(None)
    equal(list(call), [])
    equal(call.code(), grpc.StatusCode.OK)


@case
def empty_stream(stub, _):
    call = stub.Talk(iter([]))
    equal(list(call), [])
    equal(call.code(), grpc.StatusCode.OK)
    equal(stub.Gather(iter([])), pb.Sum())
    equal(list(stub.Spread(ask())), [])


@case
def many_at_once(stub, _):
    calls = [stub.Once.future(ask(size, size)) for size in range(0, 60_000, 300)]
    equal([call.result().asked for call in calls], list(range(0, 60_000, 300)))


@case
def deadline_is_told(stub, _):
    equal(stub.Once(ask(0, 1)).left_ms, 0)
    left_ms = stub.Once(ask(0, 1), timeout=20).left_ms
    # The client rounds up to three digits of what it encodes.
    assert 10_000 < left_ms <= 20_200, left_ms


@case
def timeout_on_sleeping_server(stub, _):
    begun = time.monotonic()
    fails(lambda: stub.Talk(iter([ask(1, 1, pause_ms=20_000)]), timeout=0.3), grpc.StatusCode.DEADLINE_EXCEEDED)
    fails(lambda: stub.Once(ask(1, 1, pause_ms=20_000), timeout=0.3), grpc.StatusCode.DEADLINE_EXCEEDED)
    assert time.monotonic() - begun < 10


@case
def cancel_after_begin(stub, _):
    asked = queue.Queue()
    call = stub.Gather.future(iter(asked.get, None))
    call.cancel()
    assert call.cancelled()
    equal(call.code(), grpc.StatusCode.CANCELLED)
    asked.put(None)


@case
def cancel_after_first_response(stub, _):
    asked = queue.Queue()
    call = stub.Talk(iter(asked.get, None))
    asked.put(ask(27_000, 31_000))
    equal(next(call).asked, 27_000)
    call.cancel()
    equal(fails(lambda: call, grpc.StatusCode.CANCELLED), call)
    asked.put(None)


@case
def custom_metadata(stub, _):
    sent = [(INITIAL, "some value"), (TRAILING, b"\x00\xab\xff")]
    _, once = stub.Once.with_call(ask(1, 1), metadata=sent)
    talk = stub.Talk(iter([ask(1, 1), ask(2, 2)]), metadata=sent)
    equal(len(list(talk)), 2)
    for call in [once, talk]:
        equal(dict(call.initial_metadata()).get(INITIAL), "some value")
        equal(dict(call.trailing_metadata()).get(TRAILING), b"\x00\xab\xff")


@case
def status_code_and_message(stub, _):
    asked = ask(ending=pb.Ending(code=2, message="told by the server"))
    fails(lambda: stub.Once(asked), grpc.StatusCode.UNKNOWN, "told by the server")
    fails(lambda: stub.Spread(asked), grpc.StatusCode.UNKNOWN, "told by the server")
    # Behind an answer.
    fails(lambda: stub.Talk(iter([ask(1, 1), asked])), grpc.StatusCode.UNKNOWN, "told by the server")


@case
def special_status_message(stub, _):
    said = "\t\nseveral lines, 100 % of them\r\nwith \u263a and \U0001f608\t\n"
    fails(lambda: stub.Once(ask(ending=pb.Ending(code=9, message=said))), grpc.StatusCode.FAILED_PRECONDITION, said)


@case
def unimplemented_method(stub, _):
    fails(lambda: stub.Later(pb.Nothing()), grpc.StatusCode.UNIMPLEMENTED)


@case
def unimplemented_service(_, channel):
    call = channel.unary_unary("/test.interop.v1.Nobody/Later")
    fails(lambda: call(b""), grpc.StatusCode.UNIMPLEMENTED)


def call(settings):
    """Every case, on one channel."""
    root, key, cert = (value.encode() for value in (settings["ca"], settings["key"], settings["cert"]))
    host = settings["host"]
    options = LARGEST + [("grpc.ssl_target_name_override", host), ("grpc.default_authority", host)]
    told = {}
    with grpc.secure_channel(
        f"127.0.0.1:{settings['port']}",
        grpc.ssl_channel_credentials(root, key, cert),
        options=options + [("grpc.enable_retries", 0)],
    ) as channel:
        stub = interop_pb2_grpc.InteropStub(channel)
        for name, run in CASES.items():
            try:
                run(stub, channel)
                told[name] = None
            except Exception:
                told[name] = traceback.format_exc()
    print(json.dumps(told))


if __name__ == "__main__":
    serve() if sys.argv[1] == "serve" else call(json.load(sys.stdin))
