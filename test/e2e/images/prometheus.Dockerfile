# Programs that are built from their modules, one target each. The context holds them.
FROM gcr.io/distroless/static-debian12:nonroot AS prometheus
COPY prometheus /
ENTRYPOINT ["/prometheus"]

FROM gcr.io/distroless/static-debian12:nonroot AS statsd-exporter
COPY statsd_exporter /
ENTRYPOINT ["/statsd_exporter"]
