def hull(points):
    points = sorted(set(points))
    def half(points):
        out = []
        for p in points:
            while len(out) > 1 and ((out[-1][0] - out[-2][0]) * (p[1] - out[-2][1])
                                    - (out[-1][1] - out[-2][1]) * (p[0] - out[-2][0])) <= 0:
                out.pop()
            out.append(p)
        return out[:-1]
    return half(points) + half(points[::-1])

print(hull([(x, y) for x in range(5) for y in range(5)] + [(2, 9)]))

# expect:
# [(0, 0), (4, 0), (4, 4), (2, 9), (0, 4)]
