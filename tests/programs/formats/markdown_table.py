rows = [("name", "count", "share"), ("alpha", 3, 0.125), ("beta gamma", 12, 0.5)]
cells = [[f"{c:.1%}" if isinstance(c, float) else str(c) for c in row] for row in rows]
widths = [max(len(row[i]) for row in cells) for i in range(3)]
for index, row in enumerate(cells):
    print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
    if index == 0:
        print("|" + "|".join("-" * (width + 2) for width in widths) + "|")

# expect:
# | name       | count | share |
# |------------|-------|-------|
# | alpha      | 3     | 12.5% |
# | beta gamma | 12    | 50.0% |
