#!/usr/bin/env bash
# On each of 2 hosts, in the same shared folder:
#   HOSTS=2 FIRST=host1 cluster/torchrun.sh pretrain novels/*.txt --size 350M -o runs/novel
#
# Trains one model on all GPUs of the hosts. FIRST is the name of one of them, where they meet.
# PROCESSES is how many run on a host: one for each GPU, unless you say another number.
# If a process dies, all are started again, at most RESTARTS times, and the run resumes.
set -euo pipefail

hosts=${HOSTS:?how many hosts there are} first=${FIRST:?the name of the host where they meet}
port=${PORT:-29400} wait=${WAIT:-300} # seconds
python=${PYTHON:-python}

# The first host opens the port. The others wait for that.
until timeout 5 bash -c ": < /dev/tcp/$first/$port" 2>/dev/null; do
    case " $(hostname) $(hostname -s) $(hostname -f 2>/dev/null) " in *" $first "*) break ;; esac
    if ((SECONDS >= wait)); then
        echo "$0: $first:$port did not answer within $wait s; start the command there, too" >&2
        exit 1
    fi
    sleep 1
done

echo "$0: waiting for all $hosts hosts; a RendezvousTimeoutError: one did not come within $wait s" >&2
exec "$python" -m torch.distributed.run \
    --nnodes "$hosts" --nproc-per-node "${PROCESSES:-auto}" --max-restarts "${RESTARTS:-2}" \
    --rdzv-backend c10d --rdzv-endpoint "$first:$port" --rdzv-conf "join_timeout=$wait" \
    -m xinye "$@"
