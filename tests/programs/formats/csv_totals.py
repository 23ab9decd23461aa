import csv
import io

TEXT = 'name,city,amount\n"Smith, Ann",Oslo,10.50\nBob,"New\nYork",3\nEve,Rome,\n'
rows = list(csv.DictReader(io.StringIO(TEXT)))
print(len(rows), rows[0]["name"], repr(rows[1]["city"]))
print(sum(float(row["amount"] or 0) for row in rows))
out = io.StringIO()
writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
writer.writerows([["a", 1, 'say "hi"'], ["b", 2.5, "x,y"]])
print(out.getvalue(), end="")
print(csv.Sniffer().sniff("a;b;c\n1;2;3\n").delimiter)

# expect:
# 3 Smith, Ann 'New\nYork'
# 13.5
# "a",1,"say ""hi"""
# "b",2.5,"x,y"
# ;
