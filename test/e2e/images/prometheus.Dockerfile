# The context holds Prometheus, built from prometheus/go.mod.
FROM gcr.io/distroless/static-debian12:nonroot
COPY prometheus /prometheus
ENTRYPOINT ["/prometheus"]
