"""Asks the service of this container for its health; exit status 0 means that it serves."""

import os
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT_SECONDS = 2.0


def main() -> int:
    """Returns 0 when the service says SERVING, 1 otherwise."""
    with grpc.insecure_channel(f"127.0.0.1:{os.environ['HEALTH_PORT']}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            print(f"no answer: {error}")
            return 1
    return 0 if answer.status == health_pb2.HealthCheckResponse.SERVING else 1


if __name__ == "__main__":
    sys.exit(main())
