# Shared by build, test and demo; sourced, not run. POSIX sh.

root=$(cd "$(dirname "$0")/.." && pwd)
logs="$root/build/log"
cores=$(nproc)

if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$(printf '\033[1m') red=$(printf '\033[31m') plain=$(printf '\033[0m')
else
  bold='' red='' plain=''
fi

# say TEXT: one step, on stderr.
say() { printf '%s==>%s %s\n' "$bold" "$plain" "$*" >&2; }

# fail TEXT...: one line each, then exit.
fail() {
  for line in "$@"; do printf '%s%s: %s%s\n' "$red" "$(basename "$0")" "$line" "$plain" >&2; done
  exit 1
}

# quietly LOG COMMAND...: runs with its output in build/log/LOG, and shows the end of it only when it fails.
quietly() {
  log="$logs/$1"
  shift
  mkdir -p "$logs"
  if ! "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    return 1
  fi
}

# as_root COMMAND...
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# missing_packages GROUP...: those of the groups that are not installed.
missing_packages() {
  for group in "$@"; do
    sed -n "s/^$group  *//p" "$root/scripts/debian-packages.txt"
  done | while read -r package; do
    case "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" in
      installed) ;;
      *) echo "$package" ;;
    esac
  done
}

# ensure_packages GROUP...: installs what is missing, touches nothing where all is there.
ensure_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "no Debian: the packages of scripts/debian-packages.txt are taken to be there under other names"
    return
  fi
  # shellcheck disable=SC2046
  set -- $(missing_packages "$@")
  [ $# = 0 ] && return
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    fail "packages are missing, and there is neither root nor sudo. As root:" \
      "  apt-get install --no-install-recommends $*"
  fi
  say "installing $# Debian packages: $*"
  quietly apt.log as_root apt-get update || fail "apt-get update failed (above). Offline? Install by hand: $*"
  quietly apt.log as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" ||
    fail "apt-get install failed (above; all of it in $logs/apt.log)"
}

# ensure_libtorch [--cuda]: the pinned libtorch, once; with --cuda its CUDA half too. DITQ_LIBTORCH_ROOT names one that is
# already there.
ensure_libtorch() {
  [ -n "${DITQ_LIBTORCH_ROOT:-}" ] && return
  [ -e "$root/third_party/libtorch/.stamp" ] || say "fetching libtorch 2.11 from PyPI, once (545 MB)"
  sh "$root/tools/fetch_libtorch.sh" "$@" "$root/third_party/libtorch"
}

# compile PRESET [TARGET...]: on a terminal ninja shows one moving line; elsewhere its output would be noise, so it goes to
# a log, and a line a minute tells how far it is.
compile() {
  preset=$1
  shift
  set -- cmake --build "build/$preset" -j "$cores" ${1:+--target "$@"}
  if [ -t 1 ]; then
    "$@"
    return
  fi
  log="$logs/build-$preset.log"
  "$@" >"$log" 2>&1 &
  compiler=$!
  trap 'kill $compiler 2>/dev/null; exit 130' INT TERM
  seconds=0
  while kill -0 "$compiler" 2>/dev/null; do
    sleep 1
    seconds=$((seconds + 1))
    [ $((seconds % 60)) != 0 ] || say "  $(grep -o '^\[[0-9/]*\]' "$log" | tail -n 1)"
  done
  trap - INT TERM
  wait "$compiler" || {
    grep -A 30 -m 1 '^FAILED:' "$log" >&2 || tail -n 40 "$log" >&2
    fail "the build failed (above; all of it in $log)"
  }
}

# build PRESET [TARGET...]: configures and builds into build/PRESET.
build() {
  preset=$1
  shift
  case $preset in
    toolkit | asan | tsan) ensure_packages build toolkit ;;
    fuzz) ensure_packages build toolkit fuzz ;;
    cuda)
      ensure_packages build toolkit engine bench
      ensure_libtorch --cuda
      ;;
    *)
      ensure_packages build toolkit engine
      ensure_libtorch
      ;;
  esac
  cd "$root"
  quietly "configure-$preset.log" cmake --preset "$preset" \
    ${DITQ_LIBTORCH_ROOT:+"-DDITQ_LIBTORCH_ROOT=$DITQ_LIBTORCH_ROOT"} || fail "configuring failed (above)"
  say "building build/$preset on $cores cores"
  started=$(date +%s)
  compile "$preset" "$@" || fail "the build failed (above)"
  made=bin/ditq
  [ "$preset" != fuzz ] || made=fuzz/
  say "built in $(($(date +%s) - started)) s: build/$preset/$made"
}
