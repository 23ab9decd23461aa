render() { sed -e "s|{{name}}|$1|g" -e "s|{{count}}|$2|g"; }
render Ann 3 <<'END'
Dear {{name}},
you have {{count}} messages, {{name}}.
END
usage() { cat; } <<'END'
usage text bound to a function
END
usage; usage | wc -l

# expect:
# Dear Ann,
# you have 3 messages, Ann.
# usage text bound to a function
# 1
