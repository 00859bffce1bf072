FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
# Probes over HTTPS trust what the system trusts.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/evenkeel /usr/local/bin/evenkeel
WORKDIR /etc/evenkeel
COPY evenkeel.yaml ./
COPY zones/ zones/
# The root may be read-only: what is written goes where `state` says. Whoever mounts a volume there finds
# it in the right hands.
RUN mkdir geoip \
    && install --directory --owner=65532 --group=65532 --mode=0700 /var/lib/evenkeel
# Mount your own zones and, once the server file names them, GeoIP files.
VOLUME ["/etc/evenkeel/zones", "/etc/evenkeel/geoip", "/var/lib/evenkeel"]
# Nobody in particular. Docker lets every user of a container bind port 53; elsewhere give the
# container CAP_NET_BIND_SERVICE, or listen on a port above 1023.
USER 65532:65532
EXPOSE 53/udp 53/tcp
# A name of your zones: the server is healthy when it answers it.
ENV EVENKEEL_HEALTH_NAME=example.com
# Builders of OCI images keep this with `--format docker` only.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD evenkeel query --at 127.0.0.1:53 "$EVENKEEL_HEALTH_NAME" SOA
ENTRYPOINT ["evenkeel"]
CMD ["serve", "--config", "/etc/evenkeel/evenkeel.yaml"]
