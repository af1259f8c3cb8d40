FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml setup.cfg README.md LICENSE ./
COPY authsvc authsvc
COPY nginx nginx
COPY registry-config registry-config
RUN python -m venv /opt/authsvc && /opt/authsvc/bin/pip install --no-cache-dir .

FROM python:3.11-slim
COPY --from=build /opt/authsvc /opt/authsvc
# The folders exist with their owner here, because a new volume takes both from the image.
RUN mkdir -p /data/ca /data/rendered/nginx /data/rendered/registry /data/rendered/mariadb /data/rendered/redis \
 && chown -R 10001:10001 /data
ENV PATH=/opt/authsvc/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 AUTHSVC_HOME=/data
USER 10001:10001
ENTRYPOINT ["authsvc"]
CMD ["web"]
