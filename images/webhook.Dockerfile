# `make images` builds the program and gives its folder as the context.
FROM gcr.io/distroless/static-debian12:nonroot
COPY twelvefold-webhook /twelvefold-webhook
USER 65532:65532
ENTRYPOINT ["/twelvefold-webhook"]
