import pandas as pd

frame = pd.DataFrame({
    "city": ["Oslo", "Rome", "Oslo", "Rome", "Bern"],
    "year": [2024, 2024, 2025, 2025, 2025],
    "temp": [3.5, 15.0, 4.5, 17.0, None],
})
print(frame.groupby("city")["temp"].agg(["count", "mean"]).to_csv(), end="")
print(frame.pivot_table(index="city", columns="year", values="temp").fillna(-1).to_csv(), end="")
print(frame["temp"].isna().sum(), frame.query("temp > 4").city.tolist())
other = pd.DataFrame({"city": ["Oslo", "Rome"], "country": ["NO", "IT"]})
print(frame.merge(other, how="left").country.fillna("?").tolist())

# expect:
# city,count,mean
# Bern,0,
# Oslo,2,4.0
# Rome,2,16.0
# city,2024,2025
# Oslo,3.5,4.5
# Rome,15.0,17.0
# 1 ['Rome', 'Oslo', 'Rome']
# ['NO', 'IT', 'NO', 'IT', '?']
