# syntax=docker/dockerfile:1
# One image with every program of the workspace; `docker-compose.yml` says which of them a container runs.

# As in rust-toolchain.toml, which is not copied: it would have rustup ask for what the image has already.
FROM rust:1.95.0-slim-trixie AS build
WORKDIR /src
# The allocator is built with it.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
# Programs for machines: no debug information; names in backtraces stay.
ENV CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_STRIP=debuginfo
COPY Cargo.toml Cargo.lock ./
COPY messages messages
COPY services services
COPY migrations migrations
COPY config config
# The tests are a member of the workspace; cargo asks for their manifest only.
COPY tests/Cargo.toml tests/
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --workspace --bins \
    && mkdir /out \
    && cd target/release \
    && cp coordinator gateway planner storyboard chunk refine dailies /out/

FROM debian:trixie-slim
# ffmpeg cuts, joins and encodes; the certificates are for providers and an S3 server over TLS.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates ffmpeg \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/dailies dailies \
    && install --directory --owner dailies --group dailies --mode 0700 /var/lib/dailies/keys
COPY --from=build /out/ /usr/local/bin/
USER dailies
WORKDIR /var/lib/dailies
CMD ["dailies", "--help"]
