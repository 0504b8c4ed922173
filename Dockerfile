# The lessons in JupyterLab, for a laptop that has a container engine (docker or podman):
#     docker build -t analognas .
#     docker run --rm -p 127.0.0.1:8888:8888 -v analognas-lessons:/home/learner/lessons analognas
# The last line that it prints is the address to open, with its token. The lessons live on in the volume.
#
# Build variables:
#     BASE               an image with Python 3.12, 3.13 or 3.14 as python3, with venv
#     TORCH_INDEX_URL    an index of CPU wheels of torch and torchvision. Left out, PyTorch's default wheel for Linux
#                        comes with CUDA, which makes the image several times as large and is of no use in it.
#     PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS    as pip knows them
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
ARG TORCH_INDEX_URL=
ARG PIP_INDEX_URL= PIP_EXTRA_INDEX_URL= PIP_FIND_LINKS=
RUN python3 -m venv /opt/analognas
ENV PATH=/opt/analognas/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY .constraints.txt ./
# Empty variables are not the same as none to pip.
RUN for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS; do \
        eval "[ -n \"\$$name\" ]" || unset "$name"; done; \
    [ -z "$TORCH_INDEX_URL" ] || \
    pip install --index-url "$TORCH_INDEX_URL" -c .constraints.txt torch torchvision
COPY settings.ini setup.py pyproject.toml MANIFEST.in README.md LICENSE NOTICE analogainas.py ./
COPY analognas analognas
COPY nbs/tutorials nbs/tutorials
RUN for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS; do \
        eval "[ -n \"\$$name\" ]" || unset "$name"; done; \
    pip install -c .constraints.txt ".[bench,lessons]" && \
    find /opt/analognas -name '*.a' -delete

FROM ${BASE}
COPY --from=build /opt/analognas /opt/analognas
# Compiled loops are kept in the home folder, since the user cannot write to the package's.
ENV PATH=/opt/analognas/bin:$PATH NUMBA_CACHE_DIR=/home/learner/.cache/numba PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 1000 learner && \
    mkdir -p /home/learner/lessons && chown learner:learner /home/learner/lessons
USER 1000
WORKDIR /home/learner
VOLUME /home/learner/lessons
EXPOSE 8888
# The version of the server is its only answer that needs no token.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD \
    ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8888/api', timeout=5).read()"]
# The server listens within the container; `-p 127.0.0.1:8888:8888` shows it to this machine only.
CMD ["analognas", "lab", "--folder", "lessons", "--", "--ip=0.0.0.0", "--port=8888", "--no-browser"]
