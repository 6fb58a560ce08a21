#!/usr/bin/env bash
# On each of 2 hosts, in the same shared folder:
#   HOSTS=2 FIRST=host1 cluster/torchrun.sh pretrain novels/*.txt --size 350M -o runs/novel
#
# Trains one model on all GPUs of the hosts. FIRST is the name or address of one of them, where they
# meet. PROCESSES is how many run on a host: one for each GPU, unless you say another number.
# If a process dies, all are started again, at most RESTARTS times, and the run resumes.
# PYTHON is the Python that has Xinye.
set -euo pipefail

refuse() { echo "$0: $1" >&2 && exit 2; }

hosts=${HOSTS-} first=${FIRST-} port=${PORT:-29400} wait=${WAIT:-300} # seconds
processes=${PROCESSES:-auto} restarts=${RESTARTS:-2} python=${PYTHON:-python}

[[ $first ]] || refuse "set FIRST to the name of the host where all meet"
[[ $hosts =~ ^[1-9][0-9]*$ ]] || refuse "HOSTS=$hosts: set it to the number of hosts"
[[ $processes =~ ^(auto|[1-9][0-9]*)$ ]] || refuse "PROCESSES=$processes: give a number of processes"
[[ $port =~ ^[1-9][0-9]{0,4}$ ]] && ((port < 65536)) || refuse "PORT=$port: give a port"
[[ $wait =~ ^[1-9][0-9]*$ ]] || refuse "WAIT=$wait: give a number of seconds"
[[ $restarts =~ ^[0-9]+$ ]] || refuse "RESTARTS=$restarts: give a number"
"$python" -c 'import torch, xinye' || refuse "$python: it lacks Xinye; activate its environment, or set PYTHON"

# A host can only bind its own addresses.
where=$("$python" -c '
import contextlib, socket, sys
for kind, _, _, _, address in socket.getaddrinfo(sys.argv[1], 0, type=socket.SOCK_STREAM):
    with contextlib.suppress(OSError), socket.socket(kind) as own:
        own.bind(address)
        print("here")
' "$first" 2>/dev/null) ||
    refuse "FIRST=$first: no host of this name is known here; give the name or address of one of the hosts"

# The first host opens the port. The others wait for that.
answers='import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)'
until [[ $where == *here* ]] || "$python" -c "$answers" "$first" "$port" 2>/dev/null; do
    if ((SECONDS >= wait)); then
        echo "$0: $first:$port did not answer within $wait s; start the command there, too" >&2
        exit 1
    fi
    sleep 1
done

if ((hosts > 1)); then
    echo "$0: waiting for all $hosts hosts; they have to come within $wait s" >&2
fi
exec "$python" -m xinye.training.torchrun \
    --nnodes "$hosts" --nproc-per-node "$processes" --max-restarts "$restarts" \
    --rdzv-backend c10d --rdzv-endpoint "$first:$port" --rdzv-conf "join_timeout=$wait" \
    -m xinye "$@"
