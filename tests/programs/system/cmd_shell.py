import cmd
import io

class Shell(cmd.Cmd):
    prompt = ""
    use_rawinput = False
    total = 0

    def do_add(self, line):
        self.total += sum(map(int, line.split()))
        print("total", self.total, file=self.stdout)

    def do_quit(self, _):
        return True

    def default(self, line):
        print("unknown", line, file=self.stdout)

out = io.StringIO()
Shell(stdin=io.StringIO("add 1 2\nadd 10\nnonsense\nquit\nadd 5\n"), stdout=out).cmdloop()
print(out.getvalue(), end="")

# expect:
# total 3
# total 13
# unknown nonsense
