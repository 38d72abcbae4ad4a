# stylepipe on a CPU:
#
#   docker build -t stylepipe .
#   docker run --rm -v "$PWD:/work" stylepipe run photos -o painted --style great-wave
FROM python:3.13-slim AS build
COPY . /source
RUN python -m venv /opt/stylepipe \
    && /opt/stylepipe/bin/pip install --no-cache-dir \
        --extra-index-url https://download.pytorch.org/whl/cpu '/source[heic,raw,tiff]' \
    # the desktop libraries that the full OpenCV wants are not in a slim image
    && /opt/stylepipe/bin/pip uninstall --yes opencv-python \
    && /opt/stylepipe/bin/pip install --no-cache-dir opencv-python-headless

FROM python:3.13-slim
COPY --from=build /opt/stylepipe /opt/stylepipe
ENV PATH=/opt/stylepipe/bin:$PATH STYLEPIPE_CACHE=/cache
RUN useradd --create-home stylepipe && install -d -o stylepipe /cache
USER stylepipe
VOLUME /cache
WORKDIR /work
ENTRYPOINT ["stylepipe"]
CMD ["--help"]
