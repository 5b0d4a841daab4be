#!/usr/bin/env bash
# Everything that only a GPU can show, in one go and in a bounded time:
#
#     bash benchmarks/gpu_first_light.sh OUT_FOLDER [SECONDS]        (540 seconds unless given)
#
# Each part has a share of the time, and what the parts before it left of theirs. It leaves
# OUT_FOLDER/NN-NAME.log, what it printed, and NN-NAME.result, one line: how it ended, after how
# long, and what counts. A part that fails, hangs or cannot run hides nothing of the later ones. All
# results stand in OUT_FOLDER/summary.txt, in at most 40 lines. The status is 1 if a part failed.
#
# It runs the checkout that it lies in, without a network. Variables: PYTHON, the interpreter
# (default: python); PARTS, names of parts, to run no others; SCRATCHVAE_DATA, a folder with MNIST
# (else one named data, within or beside the checkout, else images are made); DEVICE=strict tries
# the script itself where there is no GPU.
set -u -m # -m: a part is a process group, and SIGINT reaches it

if [ $# -lt 1 ] || [ $# -gt 2 ] || [[ ! ${2:-540} =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: bash benchmarks/gpu_first_light.sh OUT_FOLDER [SECONDS]" >&2
    exit 2
fi
mkdir -p "$1" || exit 2
out=$(cd "$1" && pwd)
total=${2:-540}
if [ -n "$(ls -A "$out")" ]; then
    echo "gpu_first_light: $1 is not empty: name a new folder" >&2
    exit 2
fi
python=${PYTHON:-python}
device=${DEVICE:-cuda}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 2
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
export PYTHONUNBUFFERED=1 PYTHONFAULTHANDLER=1 COLUMNS=240 # wide: pytest cuts messages to fit
[ "$(id -u)" = 0 ] && export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 # Open MPI

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export SCRATCHVAE_CACHE=${SCRATCHVAE_CACHE:-$work/cache} # nothing is downloaded: pooch may be missing

# ---- how long a part may take --------------------------------------------------------------------

declare -A share=(
    [info]=30 [verbs]=30 [noise]=20 [kernels]=55 [parity]=25 [steps]=50 [captured]=30 [images]=10
    [train]=20 [gluon]=25 [sanitizer]=25 [step-first]=75 [step-tf32]=60 [step-rest]=50 [iwae]=45
)
PARTS=${PARTS:-${!share[*]}}
shares=0
for name in $PARTS; do
    if [ -z "${share[$name]:-}" ]; then
        echo "gpu_first_light: $name is no part; the parts are ${!share[*]}" >&2
        exit 2
    fi
    shares=$((shares + share[$name]))
done

calculate() { awk "BEGIN { printf \"%.2f\", $1 }"; } # bash has whole numbers only
holds() { awk "BEGIN { exit !($1) }"; }
now() { date +%s.%N; }
started=$(now)
elapsed() { calculate "$(now) - $started"; }
grace=$(calculate "$total < 500 ? $total / 100 : 5") # from asking a part to stop to killing it

# ---- running a part ------------------------------------------------------------------------------

number=0 due=0 any_failed=0 running="" reason="" skip=""

# part [KIND] NAME COMMAND …: run it until its share of the time is over, or say why it is skipped.
# KIND gpu: it needs a GPU itself. KIND open: it has no end of its own, and saves when told to stop.
part() {
    local kind="" name why=$skip limit begun status how signal=TERM
    case $1 in gpu | open) kind=$1 && shift ;; esac
    name=$1
    shift
    skip=""
    [[ " $PARTS " == *" $name "* ]] || return
    number=$((number + 1))
    due=$((due + share[$name]))
    file=$out/$(printf "%02d" "$number")-$name
    : >"$file.log"
    [ "$kind" = gpu ] && [ -n "$reason" ] && why=$reason
    limit=$(calculate "$total * $due / $shares - $(elapsed) - $grace - $total / 200")
    if [ -z "$why" ] && holds "$limit < 0.3 * ${share[$name]} * $total / $shares"; then
        why="$limit s were left, less than a third of its share"
    fi
    if [ -n "$why" ]; then
        finish "$name" skipped 0 "$why"
        return
    fi
    [[ " $* " == *" pytest "* ]] && signal=INT # pytest then reports what it has found so far
    begun=$(now)
    timeout --signal=$signal --kill-after="$grace" "$limit" "$@" >"$file.log" 2>&1 </dev/null &
    running=$!
    wait "$running" 2>/dev/null # without bash's own word about a part that was killed
    status=$?
    running=""
    how=$(outcome "$kind" "$status")
    finish "$name" "$how" "$(calculate "$(now) - $begun")" "$(figures "$name" "$how" "$status")"
}

outcome() { # KIND STATUS
    if [ "$2" = 0 ]; then
        local last
        last=$(last_line_of_pytest)
        [[ $last == *skipped* && $last != *passed* ]] && echo skipped || echo passed
    elif [ "$2" = 124 ] || [ "$2" = 137 ]; then
        [ "$1" = open ] && grep -q "the state is saved" "$file.log" && echo stopped || echo "timed out"
    elif grep -q -E "No module named '?(pytest|hypothesis)" "$file.log"; then
        echo skipped
    else
        echo failed
    fi
}

finish() { # NAME HOW SECONDS WHAT_COUNTS
    case $2 in failed | "timed out") any_failed=1 ;; esac
    printf "%-10s  %-9s  %6.1f s  %s\n" "$@" | cut -c 1-220 | tee "$file.result"
}

# ---- what counts of a part's log -----------------------------------------------------------------

last_line_of_pytest() {
    grep -E "^=+ .*(passed|failed|skipped|error|deselected|ran).* in [0-9.]+s" "$file.log" |
        tail -1 | tr -d '=' | sed 's/^ *//; s/ *$//'
}

first_failure() { # STATUS
    grep -m1 -E "^(FAILED|ERROR) " "$file.log" ||           # pytest's list
        grep -m1 -E ":: ?.* (FAILED|ERROR)" "$file.log" ||  # it was killed before its list
        grep -m1 -E "^E  |^[A-Za-z_.]*(Error|Exception)\b" "$file.log" ||
        { grep -v '^ *$' "$file.log" | tail -1; }
}

figures() { # NAME HOW STATUS
    local log=$file.log said="" word count kind
    case $2 in
        skipped)
            grep -m1 -o -E "No module named.*|SKIPPED \(.*\)" "$log"
            return ;;
        failed | "timed out")
            said=$(last_line_of_pytest)
            if [ -z "$said" ] && grep -q "::" "$log"; then
                for word in PASSED FAILED ERROR SKIPPED; do
                    count=$(grep -c -E " $word( |$)|^$word( |$)" "$log")
                    [ "$count" -gt 0 ] && said+="$count ${word,,}, "
                done
                said+="in $(grep "::" "$log" | tail -1 | cut -c 1-90)"
            fi
            echo "${said:-status $3}; $(first_failure)"
            return ;;
    esac
    case $1 in
        info) grep -m1 "^GPU " "$log" | tr -s ' ' ;;
        train | gluon | iwae)
            echo "$(grep -c "^epoch [0-9]*/" "$log") epochs; $(grep "^epoch" "$log" | tail -1)" ;;
        step-*) echo "$(rows "$log" | wc -l) rows" ;;
        captured)
            said=$(last_line_of_pytest)
            for kind in float32 TF32; do
                said+="; largest error of a gradient in $kind: "
                said+=$(sed -n "s/.*error of the gradient in $kind: //p" "$log" | sort -g | tail -1)
            done
            echo "$said" ;;
        *) last_line_of_pytest ;;
    esac
}

rows() { grep -h -E " (float32|tf32)  " "$@" 2>/dev/null; }

summarize() {
    {
        echo "scratchvae $(git rev-parse --short HEAD 2>/dev/null), $(date -u +%F): $(elapsed) of $total s"
        cat "$out"/[0-9][0-9]-*.result
        cat "$out"/[0-9][0-9]-step-*.log 2>/dev/null | grep -m1 "^model "
        rows "$out"/[0-9][0-9]-step-*.log
    } | head -40 >"$out/summary.txt"
    echo
    cat "$out/summary.txt"
}

interrupted() {
    if [ -n "$running" ]; then
        kill -TERM -- "-$running"
        sleep "$grace"
        kill -KILL -- "-$running" 2>/dev/null
    fi
    summarize
    exit 130
}
trap interrupted INT TERM

# ---- images --------------------------------------------------------------------------------------

data=""
for folder in "${SCRATCHVAE_DATA:-/nowhere}" "$root"/*/data "$root"/../*/data; do
    if [ -n "$(find -L "$folder" -name 'train-images*idx3-ubyte*' -print -quit 2>/dev/null)" ]; then
        data=$(cd "$folder" && pwd)
        break
    fi
done
unset SCRATCHVAE_DATA
[ -n "$data" ] && export SCRATCHVAE_DATA=$data

# ---- the parts -----------------------------------------------------------------------------------

vae=("$python" -m scratchvae)
tests=("$python" -m pytest -v -m gpu --tb=short -p no:cacheprovider -o faulthandler_timeout=20)
cuda=tests/backend/test_cuda
few="(verb or complex or noise or device or cupy)"

file=$out/none
part info "${vae[@]}" info
if grep -q "^GPU " "$file.log" 2>/dev/null && ! grep -q "^GPU .*usable True" "$file.log"; then
    reason=$(grep -m1 "^GPU " "$file.log" | cut -c 17-)
fi

part gpu verbs "${tests[@]}" ${cuda}_parity.py tests/gradcheck/test_gradcheck_adapters.py -k "$few"
part gpu noise "${tests[@]}" ${cuda}_noise.py
part gpu kernels "${tests[@]}" ${cuda}_kernels.py tests/backend/test_page_locked.py
part gpu parity "${tests[@]}" ${cuda}_parity.py -k "not $few"
part gpu steps "${tests[@]}" ${cuda}_training.py -k "fifty"
part gpu captured "${tests[@]}" ${cuda}_training.py tests/mpi/test_mpi_training.py \
    tests/training/test_data_in_files.py -k "not fifty"

no_device=$reason
[ "$device" = strict ] && no_device=""
skip=$no_device
part train "${vae[@]}" train --device "$device" --epochs 5 --no-figures --out "$out/runs/digits"
if [ -n "$data" ]; then
    skip="there is MNIST in $data"
fi
part images "$python" -c "
import sys, numpy
from benchmarks.data import images
numpy.save(sys.argv[1], images(60_000)[0])" "$work/images.npy"
skip=$no_device
if [ -n "$data" ]; then
    part gluon "${vae[@]}" reproduce gluon --epochs 5 --device "$device" --no-figures \
        --out "$out/runs/gluon"
else
    part gluon "${vae[@]}" train --data "$work/images.npy" --hidden 400 400 --latent-dim 2 \
        --batch-size 100 --epochs 5 --device "$device" --no-figures --out "$out/runs/gluon"
fi

command -v compute-sanitizer >/dev/null || skip="there is no compute-sanitizer"
part gpu sanitizer compute-sanitizer --error-exitcode 1 "${vae[@]}" train --device cuda \
    --subset draw:0:100:20 --batch-size 100 --epochs 1 --no-figures --out "$work/sanitized"

step=("$python" -m benchmarks.gpu_step --threads "$(nproc)" --launches 1,50,200 --rounds 7
    --turn 0.05)
part gpu step-first "${step[@]}" --models gluon,iwae,keras-conv --precisions float32 \
    --json "$out/step-first.json"
part gpu step-tf32 "${step[@]}" --models gluon,iwae,keras-conv --precisions tf32 \
    --json "$out/step-tf32.json"
part gpu step-rest "${step[@]}" --models flux,pytorch,tensorflow1,iwae50 --json "$out/step-rest.json"

skip=$no_device
small=()
[ -n "$data" ] || small=(--small)
part open iwae "${vae[@]}" reproduce iwae --k 1 "${small[@]}" --train-only --device "$device" \
    --no-figures --out "$out/runs/iwae"

summarize
exit $any_failed
