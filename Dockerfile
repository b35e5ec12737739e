# The gateway as an image: the program alone, run by nobody, on a root that is never written to.
#   docker build --build-arg DIRECTLINK_COMMIT=$(git rev-parse --short=12 HEAD) --tag registry.example/directlink:0.1.0 .
# The base images are named by tag; pin their digests where the image is built (build argument, or a mirror).

ARG RUST=rust:1.95-slim-bookworm
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST} AS build
# The C of SQLite, aws-lc and mimalloc.
# The base image fixes the release of Debian; whatever it has mended since is wanted.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends cmake g++ make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The commit, which `directlink --version` says: the tree comes without .git.
ARG DIRECTLINK_COMMIT
RUN make binary

FROM ${BASE}
COPY --from=build /src/target/dist/directlink /usr/local/bin/directlink
USER 65532:65532
# For banks over HTTPS and over TCP, and for operators, as the chart sets them.
EXPOSE 8443 8444 9090
ENTRYPOINT ["/usr/local/bin/directlink"]
CMD ["serve", "--settings", "/etc/directlink/settings/directlink.toml"]
