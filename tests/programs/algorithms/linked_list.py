class Node:
    def __init__(self, value, after=None):
        self.value, self.after = value, after

    def __iter__(self):
        node = self
        while node:
            yield node.value
            node = node.after

def reverse(head):
    previous = None
    while head:
        head.after, previous, head = previous, head, head.after
    return previous

def middle(head):
    slow = fast = head
    while fast and fast.after:
        slow, fast = slow.after, fast.after.after
    return slow.value

head = None
for value in range(5, 0, -1):
    head = Node(value, head)
print(list(head), middle(head), list(reverse(head)))

# expect:
# [1, 2, 3, 4, 5] 3 [5, 4, 3, 2, 1]
