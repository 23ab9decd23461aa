name=world
cat <<END
Hello, $name: $((6 * 7))
END
cat <<'END'
Not expanded: $name
END
cat <<-END
	tabs are taken off
	END
cat <<< "here string of $name"

# expect:
# Hello, world: 42
# Not expanded: $name
# tabs are taken off
# here string of world
