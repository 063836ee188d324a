# Text to splats in a container; docs/docker.md has the commands.
#   docker build -t gs-esd .                      for NVIDIA GPUs: Stable Diffusion and gsplat
#   docker build -t gs-esd-cpu --target cpu .     for CPUs: the toy zoo, your images, prior=tiny

FROM python:3.11-slim-bookworm AS cpu
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 USER=splat \
    HF_HOME=/home/splat/models NUMBA_CACHE_DIR=/home/splat/kernels
WORKDIR /gs-esd
COPY constraints.txt ./
RUN pip install --index-url https://download.pytorch.org/whl/cpu "$(grep ^torch== constraints.txt)"
COPY pyproject.toml setup.py README.md LICENSE ./
COPY conf conf
COPY gs_esd gs_esd
COPY viewer viewer
RUN pip install -c constraints.txt '.[diffusers,tensorboard]' && rm -rf build ./*.egg-info
# Any user that --user names may write, so that outputs belong to them.
RUN useradd --create-home --uid 10001 splat && mkdir -p /work/outputs "$HF_HOME" \
    && gs-esd precompile cpu && chmod -R a+rwX /work /home/splat
USER 10001
VOLUME ["/home/splat/models"]
WORKDIR /work
ENTRYPOINT ["gs-esd", "train"]

# The CUDA version is the one that the torch in constraints.txt is built for: gsplat is compiled.
FROM nvidia/cuda:13.0.2-devel-ubuntu24.04 AS cuda
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 USER=splat \
    HF_HOME=/home/splat/models NUMBA_CACHE_DIR=/home/splat/kernels CUDA_HOME=/usr/local/cuda \
    TORCH_EXTENSIONS_DIR=/home/splat/extensions PATH=/gs-esd/venv/bin:$PATH
WORKDIR /gs-esd
COPY constraints.txt ./
RUN python3 -m venv venv && pip install -c constraints.txt torch gsplat
# A100, RTX 30, RTX 40 and L4, H100, RTX 50: fewer are compiled faster. A job may take 4 GB.
ARG TORCH_CUDA_ARCH_LIST="8.0;8.6;8.9;9.0;12.0"
ARG MAX_JOBS=4
ENV TORCH_CUDA_ARCH_LIST=${TORCH_CUDA_ARCH_LIST}
RUN MAX_JOBS=${MAX_JOBS} python -c "from gsplat.cuda._backend import _C; assert _C is not None"
COPY pyproject.toml setup.py README.md LICENSE ./
COPY conf conf
COPY gs_esd gs_esd
COPY viewer viewer
RUN pip install -c constraints.txt '.[diffusers,tensorboard]' && rm -rf build ./*.egg-info
RUN useradd --create-home --uid 10001 splat && mkdir -p /work/outputs "$HF_HOME" \
    && chmod -R a+rwX /work /home/splat
USER 10001
VOLUME ["/home/splat/models"]
WORKDIR /work
ENTRYPOINT ["gs-esd", "train"]
