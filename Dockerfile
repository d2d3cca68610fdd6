# docker build -t registry . && docker run -p 127.0.0.1:5000:5000 -v registry:/var/lib/registry registry
#
# BASE may be any Debian with Python >= 3.11 and its venv module; both stages must have the same one.
ARG BASE=docker.io/library/python:3.13-slim

FROM ${BASE} AS build
WORKDIR /source
COPY . .
# What installs packages is of no use in the finished image, and a fifth of its weight.
RUN python3 -m venv /opt/registry \
 && /opt/registry/bin/pip install --no-cache-dir --disable-pip-version-check . \
 && /opt/registry/bin/pip uninstall --quiet --yes setuptools pip

FROM ${BASE}
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/registry --shell /usr/sbin/nologin registry \
 && install --directory --owner registry --group registry /var/lib/registry
COPY --from=build /opt/registry /opt/registry

# ATTENTION: whoever reaches the published port may pull, push and delete. A container can be reached only on the address
# that its owner publishes, so the image listens on all of its own and allows that. Publish it to this machine alone
# (-p 127.0.0.1:5000:5000), or ask for passwords: mount an htpasswd file and set REGISTRY_AUTH__HTPASSWD__FILE to it.
ENV PATH=/opt/registry/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    REGISTRY_HTTP__HOST=0.0.0.0 \
    REGISTRY_HTTP__ALLOW_UNAUTHENTICATED=true \
    REGISTRY_STORAGE__DIRECTORY=/var/lib/registry

USER registry
VOLUME /var/lib/registry
EXPOSE 5000
# Asks as a client would. With TLS or another port, give `docker run` a --health-cmd of its own.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD \
    ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/healthz', timeout=4)"]

ENTRYPOINT ["registry"]
CMD ["serve"]
