# docker build -t xinye .
# docker run --rm --gpus all --user "$(id -u):$(id -g)" -v "$PWD:/work" xinye pretrain novel.txt -o runs/novel
#
# The versions are those of constraints.txt. The files of /work are those of the folder you are in.
FROM python:3.12-slim

# Generation and torch.compile translate code for the processor they run on.
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*

COPY pyproject.toml constraints.txt README.md LICENSE /opt/xinye/
COPY src /opt/xinye/src
RUN cd /opt/xinye && PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
    pip install --no-cache-dir .

# A user without rights. With --user it is you, so that you own what is written.
RUN useradd --create-home xinye && chmod 1777 /home/xinye
ENV HOME=/home/xinye USER=xinye
USER xinye
WORKDIR /work
ENTRYPOINT ["xinye"]
CMD ["--help"]
