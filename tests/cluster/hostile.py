"""Words that a shell, a YAML reader or a batch script could take for more than words."""

PRINT_ARGUMENTS = "import json, sys; print('ARGUMENTS', json.dumps(sys.argv[1:]))"

HOSTILE = [
    "plain=1",
    "a b",
    "it's",
    'say "so"',
    "$(touch executed1)",
    "`touch executed2`",
    "; touch executed3 #",
    "&& touch executed4 || true",
    "| tee executed5",
    "> executed6",
    "line\n#SBATCH --job-name=other\ntouch executed7",
    "$HOME ${PATH} \\ \\n %x %j ~",
    "key={a: 1, b: [x,'y']}",
    "---",
    "ünïcode 数",
    "",
]
