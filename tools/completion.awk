# The completion of one program for bash or zsh, from what its --print-options prints.
#     ps-eval --print-options | awk -v tool=ps-eval -v shell=bash -f tools/completion.awk
BEGIN { FS = "\t" }

{
    words = $4
    gsub(/\|/, " ", words)
}

$1 == "operand" {
    operands = words
    next
}

# bash: the options by what follows them.
shell == "bash" {
    names = names " --" $3
    option = "--" $3 ($2 ? " | -" $2 : "")
    if ($1 == "words")
        choices = choices "    " option ") answer=\"" words "\" ;;\n"
    else if ($1 != "flag")
        before[$1] = before[$1] " | " option
}

# zsh: one specification of _arguments, in single quotes.
shell == "zsh" {
    help = $5
    gsub(/[][\\:]/, "\\\\&", help)
    gsub(/'/, "'\\''", help)
    value = ""
    if ($1 == "words")
        value = ":" $3 ":(" words ")"
    else if ($1 != "flag")
        value = ":" $4 ":" ($1 == "file" ? "_files" : " ")
    specs = specs " \\\n    '*--" $3 (value ? "=" : "") "[" help "]" value "'"
    if ($2)
        specs = specs " \\\n    '*-" $2 (value ? "+" : "") "[" help "]" value "'"
}

END {
    if (shell == "zsh") {
        print "#compdef " tool
        print "_arguments -s -S" specs " \\"
        print "    " (operands ? "'1:operand:(" operands ")' " : "") "'*:file:_files'"
        exit
    }
    name = tool
    gsub(/-/, "_", name)
    print "_" name "() {"
    print "    local word=$2 before=$3 answer="
    print "    [ \"$word\" = = ] && word="
    print "    [ \"$before\" = = ] && before=${COMP_WORDS[COMP_CWORD - 2]}"
    print "    case $before in"
    print "    " substr(before["file"], 4) ") return ;; # names of files"
    if (before["other"])
        print "    " substr(before["other"], 4) ") compopt +o default && return ;;"
    printf "%s", choices
    print "    *)"
    print "        if [ \"${word:0:1}\" = - ]; then answer=\"" substr(names, 2) "\""
    if (operands)
        print "        elif [ \"$COMP_CWORD\" -eq 1 ]; then answer=\"" operands "\""
    print "        fi ;;"
    print "    esac"
    print "    mapfile -t COMPREPLY < <(compgen -W \"$answer\" -- \"$word\")"
    print "}"
    print "complete -o default -F _" name " " tool
}
