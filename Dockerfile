# The image: the command in a virtual environment and a file to begin with; no package manager of Python, no build tool.
# Another base, or one pinned by its digest: --build-arg BASE_IMAGE=…
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements/build.txt requirements/runtime.txt requirements/
# Wheels only: no code of a dependency runs while the image is built.
RUN python -m venv /opt/build \
    && python -m venv --without-pip /opt/venv \
    && /opt/build/bin/pip install --require-hashes --only-binary :all: --requirement requirements/build.txt \
    && /opt/build/bin/pip --python /opt/venv/bin/python install \
        --require-hashes --only-binary :all: --requirement requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
# Compiled here, as the root file system is read-only later; unchecked, as nothing there changes after this.
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/build/bin/pip --python /opt/venv/bin/python install --no-deps --no-index dist/*.whl \
    && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM ${BASE_IMAGE}
ARG BASE_IMAGE
ARG VERSION=local
ARG REVISION=unknown
LABEL org.opencontainers.image.title="auth-gateway" \
      org.opencontainers.image.description="Authenticating reverse proxy for any issuer of JWTs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
# For keys_snapshot: a new volume that is mounted here takes over its owner.
RUN install -d -o 65532 -g 65532 -m 0700 /var/lib/auth-gateway
COPY --from=build /opt/venv /opt/venv
COPY config/gateway.yaml /etc/auth-gateway/gateway.yaml
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    AUTH_GATEWAY_CONFIG=/etc/auth-gateway/gateway.yaml
# By number: Kubernetes cannot tell from a name that it is not root.
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["auth-gateway", "health"]
ENTRYPOINT ["auth-gateway"]
CMD ["serve"]
