# Key Vault and Entra ID for tests. `make images` builds the program and gives its folder as the context.
FROM gcr.io/distroless/static-debian12:nonroot
COPY twelvefold-emulator /twelvefold-emulator
USER 65532:65532
ENTRYPOINT ["/twelvefold-emulator"]
