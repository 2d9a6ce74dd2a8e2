# Sourced by ./dev: makes its virtual environment and fetches the npm package of the tests.
# shellcheck shell=sh
# shellcheck disable=SC2154 # root, venv and litellm are set by ./dev

find_python() {
    problem="Python 3.11 or later is needed, but there is none. PYTHON=/path/to/python names one."
    set -- python3 python3.14 python3.13 python3.12 python3.11
    [ -z "${PYTHON-}" ] || set -- "$PYTHON"
    for python; do
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            problem="Python 3.11 or later is needed, but $python is $version. PYTHON=/path/to/python names another."
        elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            # The first one is the system's own.
            case $problem in *-venv) continue ;; esac
            problem="$python cannot make a virtual environment. On Debian or Ubuntu: apt-get install ${python##*/}-venv"
        else
            return 0
        fi
    done
    die "${PYTHON:+PYTHON=$PYTHON: }$problem"
}

# The work is done in the background, so that a signal ends it at once; the dots say that it is alive.
step() {
    printf '%s' "dev: $1 ." >&2
    shift
    began=$(date +%s) code=0
    "$@" >>"$log" 2>&1 &
    child=$!
    while sleep 2 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do printf . >&2; done &
    dots=$!
    wait "$child" || code=$?
    if kill "$dots" 2>/dev/null; then wait "$dots" 2>/dev/null || :; fi
    child='' dots=''
    if [ "$code" = 0 ]; then echo " $(($(date +%s) - began)) s" >&2; else echo " failed" >&2; fi
    return "$code"
}

must() { step "$@" || { tail -n 15 "$log" >&2; die "set-up failed; the next ./dev tries again"; }; }

lock() {
    until mkdir "$venv.lock" 2>/dev/null; do
        [ -w "$root" ] || die "cannot write to $root"
        owner=$(cat "$venv.lock/pid" 2>/dev/null || { sleep 1; cat "$venv.lock/pid" 2>/dev/null; } || :)
        if { [ "${owner:-$$}" = $$ ] || ! kill -0 "$owner" 2>/dev/null; } && mkdir "$venv.lock/heir" 2>/dev/null; then
            # Its owner is gone. Only one can make "heir"; that one owns it now, unless another did so just before.
            if [ "$owner" = "$(cat "$venv.lock/pid" 2>/dev/null)" ]; then break; fi
            rmdir "$venv.lock/heir"
        fi
        [ -n "${waited-}" ] || say "waiting for another ./dev, process ${owner:-?} (if there is none: rm -r $venv.lock)"
        waited=1
        sleep 1
    done
    echo $$ >"$venv.lock/pid"
    rmdir "$venv.lock/heir" 2>/dev/null || :
    trap 'unlock' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

unlock() {
    for process in ${child-} ${dots-}; do kill "$process" 2>/dev/null || :; done
    if [ -n "${child-}" ]; then echo " interrupted" >&2; wait "$child" 2>/dev/null || :; fi
    rm -rf "$venv.lock"
    trap - EXIT HUP INT TERM
}

# A venv does not survive being moved, so its place counts too.
lock_stamp() { printf '%s ' "$root" "$litellm"; cksum <"$root/requirements.lock"; }
stamp() { lock_stamp; cksum <"$root/pyproject.toml"; }

set_up() {
    stamp=$(stamp)
    [ "$(cat "$venv/ready" 2>/dev/null)" != "$stamp" ] || return 0
    lock
    ready=$(cat "$venv/ready" 2>/dev/null || :)
    if [ "$ready" != "$stamp" ]; then
        log=$venv/set-up.log
        rm -f "$venv/ready"
        # With the same lock only auwgent itself is installed again; otherwise all from scratch, so that nothing remains.
        case $ready in "$(lock_stamp)"*) ;; *) make_venv ;; esac
        install "auwgent itself" --no-deps --no-build-isolation --editable "$root"
        echo "$stamp" >"$venv/ready"
    fi
    unlock
}

make_venv() {
    find_python
    say "setting up ${venv##*/} with $("$python" -V): 0.6 GB, to be done once"
    rm -rf "$venv"
    mkdir "$venv"
    must "virtual environment" "$python" -m venv "$venv"
    [ -n "${AUWGENT_NO_UV-}" ] || step "uv, to be faster" "$venv/bin/pip" install --require-hashes -r "$root/uv.lock.txt" || :
    install "$(grep -c == "$root/requirements.lock") packages" --no-deps --require-hashes -r "$root/requirements.lock"
    [ -z "$litellm" ] || install "litellm $litellm" "litellm==$litellm"
}

install() {
    what=$1
    shift
    # uv does not read pip's settings, so pip may succeed where uv fails.
    if [ -n "${AUWGENT_NO_UV-}" ] || [ ! -x "$venv/bin/uv" ] ||
        ! step "$what" "$venv/bin/uv" pip install --python "$venv/bin/python" "$@"; then
        must "$what, with pip" "$venv/bin/python" -m pip install "$@"
    fi
}

# A provider server and clients from npm. Without them the tests that need them are skipped.
npm_install() {
    for folder in tests/aimock tests/clients; do
        stamp=$(cksum <"$folder/package-lock.json")
        [ "$(cat "$folder/node_modules/ready" 2>/dev/null)" != "$stamp" ] || continue
        command -v npm >/dev/null || { say "no npm here, so the tests that need $folder are skipped"; continue; }
        lock
        if (cd "$folder" && npm ci --ignore-scripts --loglevel=error >/dev/null); then
            echo "$stamp" >"$folder/node_modules/ready"
        else
            say "npm ci failed, so the tests that need $folder are skipped"
        fi
        unlock
    done
}
