import io
import sqlite3
import tempfile

import pandas as pd

frame = pd.read_csv(io.StringIO("day,amount\n2026-01-01,1.5\n2026-01-02,2.5\n2026-02-01,4\n"), parse_dates=["day"])
print(frame.dtypes.astype(str).to_dict()["amount"], frame.amount.sum())
print(frame.set_index("day").resample("MS").sum().amount.tolist())
with tempfile.TemporaryDirectory() as folder:
    frame.to_json(f"{folder}/a.json", orient="records", date_format="iso")
    print(len(pd.read_json(f"{folder}/a.json")))
    frame.to_excel(f"{folder}/a.xlsx", index=False)
    print(pd.read_excel(f"{folder}/a.xlsx").amount.max())
    with sqlite3.connect(f"{folder}/a.db") as db:
        frame.to_sql("t", db, index=False)
        print(pd.read_sql("select count(*) as n, sum(amount) as total from t", db).iloc[0].tolist())

# expect:
# float64 8.0
# [4.0, 4.0]
# 3
# 4.0
# [3.0, 8.0]
