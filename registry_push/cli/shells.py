"""click's completion scripts, fixed for bash, which splits words at the colons in names of models and hosts."""

from __future__ import annotations

from typing import ClassVar

from click.shell_completion import BashComplete, add_completion_class

# Joins words that bash has split at `:` and `=`, using the text between them on the line. Of a reply, the part up to
# the last colon is removed: bash has it already.
_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' rest=$COMP_LINE before word completion type value
    local -a words=()
    local index
    for (( index = 0; index <= COMP_CWORD; index++ )); do
        word=${COMP_WORDS[index]}
        before=${rest%%%%"$word"*}
        if [[ -z $word ]]; then
            before=${COMP_LINE:0:COMP_POINT}
            [[ $before == *[[:space:]] ]] || before=""
        fi
        if (( index == 0 )) || [[ $before == *[[:space:]]* ]]; then
            words+=("$word")
        else
            words[${#words[@]}-1]+=$word
        fi
        rest=${rest#*"$word"}
    done

    local current=${words[${#words[@]}-1]} typed=""
    [[ $current == -*=* ]] && current=${current#*=}
    [[ $current == *:* && $COMP_WORDBREAKS == *:* ]] && typed=${current%%"${current##*:}"}

    COMPREPLY=()
    for completion in $(env COMP_WORDS="${words[*]}" COMP_CWORD=$(( ${#words[@]} - 1 )) \\
            %(complete_var)s=bash_complete "$1"); do
        IFS=',' read -r type value <<< "$completion"
        if [[ $type == 'dir' ]]; then
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            compopt -o default
        elif [[ $type == 'plain' ]]; then
            COMPREPLY+=("${value#"$typed"}")
            [[ $value == */ ]] && compopt -o nospace
        fi
    done
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


@add_completion_class
class Bash(BashComplete):
    """click's completion for bash, with a script that handles colons."""

    source_template: ClassVar[str] = _BASH
