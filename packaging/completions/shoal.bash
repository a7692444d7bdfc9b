# bash completion of shoal. What there is to choose from, shoal says itself: its help lists commands
# and options, and `shoal models` the models of the cluster.

_shoal_words() { # 2: options, or 4: commands; the help of these commands
    local part=$1
    shift
    shoal "$@" --help 2>/dev/null | awk -v part="$part" '
        /^[A-Z][a-z]*:$/ { section = $1 }
        part == 2 && section == "Options:" && /^  -/ {
            n = split($1, names, ",")
            for (i = 1; i <= n; ++i) { sub(/=.*/, "", names[i]); print names[i] }
        }
        part == 4 && section == "Subcommands:" && /^  [a-z]/ { print $1 }'
}

_shoal_models() {
    timeout 2 shoal --json models 2>/dev/null |
        grep -o '"name":"[^"]*"' | cut -d'"' -f4
}

_shoal_devices() {
    timeout 2 shoal --json devices 2>/dev/null |
        grep -o '"name":"[^"]*"' | cut -d'"' -f4
}

_shoal() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} word
    local -a commands=() given=()
    COMPREPLY=()
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ $word == -* ]] || given+=("$word")
    done
    # The command, and below `key`, `devices` and `help` a second one.
    commands=("${given[@]:0:1}")
    [[ ! ${given[0]:-} =~ ^(key|devices)$ ]] || commands=("${given[@]:0:2}")
    case $previous in
        --socket | --schema | --what-if | --config | --root | -f | --file)
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return ;;
        --color)
            mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$current")
            return ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(
            compgen -W "$(_shoal_words 2; [[ ${#commands[@]} -eq 0 ]] || _shoal_words 2 "${commands[@]}")" \
                -- "$current")
    elif [[ ${#given[@]} -eq 0 ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_shoal_words 4)" -- "$current")
    elif [[ ${given[0]} =~ ^(key|devices)$ && ${#given[@]} -eq 1 ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_shoal_words 4 "${given[0]}")" -- "$current")
    elif [[ ${given[0]} == devices && ${#given[@]} -eq 2 ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_shoal_devices)" -- "$current")
    elif [[ ${given[0]} == help && ${#given[@]} -eq 1 ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_shoal_words 4)" -- "$current")
    elif [[ ${#given[@]} -eq 1 && ${given[0]} =~ ^(run|chat|load|unload|plan|bench|tokenize|detokenize|rm)$ ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_shoal_models)" -- "$current"; compgen -f -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}

complete -o filenames -F _shoal shoal
