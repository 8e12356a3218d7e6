# syntax=docker/dockerfile:1
# The generation service with vLLM on CUDA:  docker build -f docker/vllm.Dockerfile -t cairn/generation-vllm:0.1.0 .
# vLLM's wheel brings its CUDA libraries; the host needs the driver and the NVIDIA container runtime.
ARG CUDA_IMAGE=nvidia/cuda:13.0.2-runtime-ubuntu24.04@sha256:6a0e31b59e70890446f2c17356d6efc0d54260090a8c63d6ca7c2ad049db95d2

# checkov:skip=CKV_DOCKER_7: CUDA_IMAGE, above, is pinned by tag and digest
FROM ${CUDA_IMAGE} AS base
# Triton compiles its kernels at run time: it needs a C compiler and Python's headers.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-dev python3-venv gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

FROM base AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python3 -m venv /opt/cairn
ENV PATH=/opt/cairn/bin:$PATH
COPY pyproject.toml README.md LICENSE ./
COPY tools/requirements.py tools/requirements.py
# vLLM decides the versions of what it shares with us: no constraints here.
RUN python tools/requirements.py >/tmp/base.txt && python tools/requirements.py vllm >/tmp/extra.txt \
    && pip install -r /tmp/base.txt -r /tmp/extra.txt
COPY protos protos
COPY cli cli
COPY services services
RUN pip install --no-deps .

FROM base AS generation-vllm
ENV PATH=/opt/cairn/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1 HOME=/tmp \
    CAIRN_GENERATION_HOST=0.0.0.0 CAIRN_GENERATION_DATA_DIR=/var/lib/cairn HEALTH_PORT=9103
RUN groupadd --gid 10001 cairn && useradd --uid 10001 --gid cairn --no-create-home --shell /usr/sbin/nologin cairn \
    && install -d -o cairn -g cairn /var/lib/cairn
COPY --from=build /opt/cairn /opt/cairn
COPY docker/health_check.py /opt/cairn/health_check.py
USER 10001:10001
WORKDIR /var/lib/cairn
VOLUME /var/lib/cairn
EXPOSE 9103 9203
# Loading a model and warming it up takes minutes.
HEALTHCHECK --interval=15s --timeout=3s --start-period=900s --retries=3 \
    CMD ["python", "/opt/cairn/health_check.py"]
ENTRYPOINT ["python", "-m", "services.generation"]
