# Bash completion for ditq: `source` it, or have it installed by `cmake --install`.
_ditq() {
  local program=$1 word=$2 names
  if ((COMP_CWORD == 1)); then
    names=$("$program" --list-flags 2>/dev/null)
  elif [[ $word == -* ]]; then
    names=$("$program" "${COMP_WORDS[1]}" --list-flags 2>/dev/null)
  fi
  mapfile -t COMPREPLY < <(compgen -W "$names" -- "$word")
}
complete -o default -F _ditq ditq
