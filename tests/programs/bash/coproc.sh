coproc CALC { while read -r a b; do echo $((a * b)); done; }
echo 6 7 >&"${CALC[1]}"
read -r answer <&"${CALC[0]}"
echo "$answer"
pid=$CALC_PID
eval "exec ${CALC[1]}>&-"
wait "$pid"
echo "ended $?"

# expect:
# 42
# ended 0
