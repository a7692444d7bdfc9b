# fish completion of shoal. What there is to choose from, shoal says itself: its help lists commands
# and options, and `shoal models` the models of the cluster.

function __shoal_given
    for word in (commandline -opc)[2..-1]
        string match -q -- '-*' $word; or echo $word
    end
end

function __shoal_commands # commands above
    shoal $argv --help 2>/dev/null | awk '
        /^[A-Z][a-z]*:$/ { section = $1 }
        section == "Subcommands:" && /^  [a-z]/ { name = $1; sub(/^ *[^ ]+ +/, ""); print name "\t" $0 }'
end

function __shoal_options
    set -l given (__shoal_given)
    set -l command $given[1]
    contains -- "$command" key devices; and set command $given[1..2]
    for of in '' "$command"
        shoal (string split -n ' ' -- $of) --help 2>/dev/null | awk '
            /^[A-Z][a-z]*:$/ { section = $1 }
            section == "Options:" && /^  -/ {
                n = split($1, names, ",")
                for (i = 1; i <= n; ++i) { sub(/=.*/, "", names[i]); print names[i] }
            }'
    end | sort -u
end

function __shoal_devices
    timeout 2 shoal --json devices 2>/dev/null | string match -rag '"name":"([^"]*)"'
end

function __shoal_models
    timeout 2 shoal --json models 2>/dev/null | string match -rag '"name":"([^"]*)"'
end

complete -c shoal -n 'string match -q -- "-*" (commandline -ct)' -f -a '(__shoal_options)'
complete -c shoal -n 'test (count (__shoal_given)) -eq 0' -f -a '(__shoal_commands)'
complete -c shoal -n 'contains -- (__shoal_given)[1] help; and test (count (__shoal_given)) -eq 1' -f \
    -a '(__shoal_commands)'
complete -c shoal -n 'contains -- (__shoal_given)[1] key; and test (count (__shoal_given)) -eq 1' -f \
    -a '(__shoal_commands key)'
complete -c shoal -n 'contains -- (__shoal_given)[1] devices; and test (count (__shoal_given)) -eq 1' -f \
    -a '(__shoal_commands devices)'
complete -c shoal -n 'contains -- (__shoal_given)[1] devices; and test (count (__shoal_given)) -eq 2' -f \
    -a '(__shoal_devices)'
complete -c shoal -n 'contains -- (__shoal_given)[1] run chat load unload plan bench tokenize detokenize rm; and test (count (__shoal_given)) -eq 1' \
    -a '(__shoal_models)'
