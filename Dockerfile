# One node of sluice in a container.
#
#   docker build -t sluice .
#   docker run -p 8080:8080 -v sluice:/data -e OPENAI_API_KEY sluice
#   docker exec <container> sluice token mint
#
# A configuration is taken from /config.yml if it is there: -v ./sluice.yml:/config.yml:ro

FROM node:22-slim AS build
WORKDIR /build
# The dependencies are a layer of their own, so that a change of the source does not fetch them
# again.
COPY package.json ./
RUN npm install --no-audit --no-fund
COPY tsconfig.json ./
COPY sql ./sql
COPY src ./src
RUN npm run build && ./dist/sluice version

# The executable needs glibc and nothing else: it brings its own certificates. The shell is for the
# entry script.
FROM debian:12-slim
LABEL org.opencontainers.image.title="sluice" \
      org.opencontainers.image.description="WebSocket-first LLM gateway in one executable" \
      org.opencontainers.image.licenses="Apache-2.0"
# The numbers are fixed, so that a bind mount can be given to this user: chown 65532:65532.
RUN groupadd --gid 65532 sluice \
 && useradd --uid 65532 --gid sluice --no-create-home --home-dir /data \
      --shell /usr/sbin/nologin sluice \
 && install --directory --owner=sluice --group=sluice --mode=0700 /data
COPY --from=build /build/dist/sluice /usr/local/bin/sluice
COPY --chmod=0755 deploy/container_entry.sh /usr/local/lib/sluice/entry.sh

# A port set here holds whatever the configuration says, so that it is the one that is exposed.
ENV SLUICE_HTTP_BIND_ADDRESS=0.0.0.0 \
    SLUICE_HTTP_PORT=8080 \
    SLUICE_DATA_DIR=/data
VOLUME /data
# 9090 is the management API. It listens inside the container only, where `docker exec` reaches it;
# to publish it or to scrape /metrics from elsewhere set SLUICE_ADMIN_BIND_ADDRESS=0.0.0.0.
EXPOSE 8080 9090
USER 65532:65532
WORKDIR /data
# sluice drains on SIGTERM: give it longer than graceful_shutdown_timeout (30s), docker stop -t 40.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["sluice", "health"]
ENTRYPOINT ["/usr/local/lib/sluice/entry.sh"]
CMD ["serve"]
