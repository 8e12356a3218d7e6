# syntax=docker/dockerfile:1
# One image per service:  docker build -f docker/service.Dockerfile --target retrieval -t cairn/retrieval:0.1.0 .
# For the embedding service on CPU, point pip at PyTorch's CPU wheels: --build-arg PIP_EXTRA_INDEX_URL=<their index>
ARG PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

# --- what every service needs: a layer that all images share
# checkov:skip=CKV_DOCKER_7: PYTHON_IMAGE, above, is pinned by tag and digest
FROM ${PYTHON_IMAGE} AS base-build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/cairn
ENV PATH=/opt/cairn/bin:$PATH
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY tools/requirements.py tools/requirements.py
RUN python tools/requirements.py >/tmp/base.txt && pip install -r /tmp/base.txt -c constraints.txt

FROM ${PYTHON_IMAGE} AS base
ENV PATH=/opt/cairn/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1 MALLOC_ARENA_MAX=2 HOME=/tmp
RUN groupadd --gid 10001 cairn && useradd --uid 10001 --gid cairn --no-create-home --shell /usr/sbin/nologin cairn \
    && install -d -o cairn -g cairn /var/lib/cairn
COPY --from=base-build /opt/cairn /opt/cairn
COPY docker/health_check.py /opt/cairn/health_check.py
USER 10001:10001
WORKDIR /var/lib/cairn
VOLUME /var/lib/cairn
# The gRPC health protocol, asked from inside; Kubernetes has probes of its own.
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s --retries=3 \
    CMD ["python", "/opt/cairn/health_check.py"]

# --- each service: its libraries on top of the shared ones, then the code
FROM base-build AS embedding-build
ARG TORCH=2.13.0
ARG PIP_EXTRA_INDEX_URL=
RUN pip install "torch==${TORCH}"
RUN python tools/requirements.py embedding >/tmp/extra.txt && pip install -r /tmp/extra.txt -c constraints.txt
COPY protos protos
COPY cli cli
COPY services services
RUN pip install --no-deps .

FROM base-build AS retrieval-build
RUN python tools/requirements.py retrieval >/tmp/extra.txt && pip install -r /tmp/extra.txt -c constraints.txt
COPY protos protos
COPY cli cli
COPY services services
RUN pip install --no-deps .

# The client of a Milvus cluster on top; the overlay k8s/overlays/milvus runs it.
FROM retrieval-build AS retrieval-milvus-build
RUN python tools/requirements.py milvus >/tmp/extra.txt && pip install -r /tmp/extra.txt -c constraints.txt

FROM base-build AS generation-build
RUN python tools/requirements.py generation >/tmp/extra.txt && pip install -r /tmp/extra.txt -c constraints.txt
COPY protos protos
COPY cli cli
COPY services services
RUN pip install --no-deps .

FROM base-build AS ingestion-build
RUN python tools/requirements.py ingestion >/tmp/extra.txt && pip install -r /tmp/extra.txt -c constraints.txt
COPY protos protos
COPY cli cli
COPY services services
RUN pip install --no-deps .

FROM base-build AS gateway-build
RUN python tools/requirements.py gateway >/tmp/extra.txt && pip install -r /tmp/extra.txt -c constraints.txt
COPY protos protos
COPY cli cli
COPY services services
RUN pip install --no-deps .

FROM base AS embedding
COPY --from=embedding-build /opt/cairn /opt/cairn
ENV CAIRN_EMBEDDING_HOST=0.0.0.0 CAIRN_EMBEDDING_DATA_DIR=/var/lib/cairn HEALTH_PORT=9101
EXPOSE 9101 9201
ENTRYPOINT ["python", "-m", "services.embedding"]

FROM base AS retrieval
COPY --from=retrieval-build /opt/cairn /opt/cairn
ENV CAIRN_RETRIEVAL_HOST=0.0.0.0 CAIRN_RETRIEVAL_DATA_DIR=/var/lib/cairn HEALTH_PORT=9102
EXPOSE 9102 9202
ENTRYPOINT ["python", "-m", "services.retrieval"]

FROM base AS retrieval-milvus
COPY --from=retrieval-milvus-build /opt/cairn /opt/cairn
ENV CAIRN_RETRIEVAL_HOST=0.0.0.0 CAIRN_RETRIEVAL_DATA_DIR=/var/lib/cairn HEALTH_PORT=9102
EXPOSE 9102 9202
ENTRYPOINT ["python", "-m", "services.retrieval"]

FROM base AS generation
COPY --from=generation-build /opt/cairn /opt/cairn
ENV CAIRN_GENERATION_HOST=0.0.0.0 CAIRN_GENERATION_DATA_DIR=/var/lib/cairn HEALTH_PORT=9103
EXPOSE 9103 9203
ENTRYPOINT ["python", "-m", "services.generation"]

FROM base AS ingestion
COPY --from=ingestion-build /opt/cairn /opt/cairn
ENV CAIRN_INGESTION_HOST=0.0.0.0 CAIRN_INGESTION_DATA_DIR=/var/lib/cairn HEALTH_PORT=9104
EXPOSE 9104 9204
ENTRYPOINT ["python", "-m", "services.ingestion"]

FROM base AS gateway
COPY --from=gateway-build /opt/cairn /opt/cairn
ENV CAIRN_GATEWAY_HOST=0.0.0.0 CAIRN_GATEWAY_HTTP_HOST=0.0.0.0 CAIRN_GATEWAY_DATA_DIR=/var/lib/cairn HEALTH_PORT=8081
EXPOSE 8080 8081 9200
ENTRYPOINT ["python", "-m", "services.gateway"]
