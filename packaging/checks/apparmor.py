# Whether a profile of AppArmor allows what a program was seen doing: `apparmor.py PROFILE TRACE`.
# The profile is as `apparmor_parser -p` prints it, with all that it includes; the trace is that of
# `strace -f -e trace=%file,connect,bind`. What is not allowed is printed.

import os
import re
import sys


def regex_of(pattern):
    """The regular expression of a path pattern, apparmor.d(5)."""
    words = re.findall(r"\*\*|\[[^]]*\]|\\\\.|.", pattern)
    known = {"**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")", ",": "|"}
    depth, out = 0, []
    for word in words:
        depth += {"{": 1, "}": -1}.get(word, 0)
        is_plain = word == "," and depth == 0
        is_class = word.startswith("[") and len(word) > 1
        literal = word if is_class else re.escape(word)
        out.append(literal if is_plain else known.get(word, literal))
    return re.compile("".join(out) + r"\Z")


def rules_of(text):
    """The rules for files: a regular expression and a set of permissions each."""
    variables, rules = {}, []
    for line in text.splitlines():
        line = line.split(" #")[0].strip()
        if found := re.match(r"(@\{\w+\})\s*\+?=\s*(.*)", line):
            values = re.findall(r'"[^"]*"|\S+', found[2])
            variables.setdefault(found[1], []).extend(value.strip('"') for value in values)
        if found := re.match(r'(?:owner\s+)?"?([/@][^\s"]*)"?\s+([a-zA-Z]+)(?:\s*->.*)?,$', line):
            rules.append((found[1], set(found[2])))
    paths = [(path, rights) for rule, rights in rules for path in expanded(rule, variables)]
    return [(regex_of(path), rights) for path, rights in paths]


def expanded(path, variables):
    found = re.search(r"@\{\w+\}", path)
    if not found:
        return [re.sub("/+", "/", path)]
    values = variables[found[0]]
    paths = [path[:found.start()] + value + path[found.end():] for value in values]
    return [longer for path in paths for longer in expanded(path, variables)]


# The right that a call needs to its last path.
CHANGES = """mkdir mkdirat unlink unlinkat rmdir chmod fchmodat chown fchownat lchown truncate mknod
    mknodat symlink symlinkat""".split()


def needs(line):
    """The paths and rights of a call: nothing for one that has found no file, or only asks."""
    found = re.match(r"\d+\s+(\w+)\((.*)\)\s+= (-?\d+)(.*)", line)
    if not found or "ENOENT" in found[4]:
        return []
    call, words = found[1], found[2]
    paths = re.findall(r'"([^"]*)"', words)
    if call in ("open", "openat", "openat2", "creat") and paths:
        writes = "O_WRONLY" in words or "O_RDWR" in words or "O_CREAT" in words
        reads = "O_WRONLY" not in words
        return [(paths[0], ("r" if reads else "") + ("w" if writes else ""))]
    if call == "execve":
        return [(paths[0], "x")]
    if call in CHANGES and paths:
        return [(paths[-1], "w")]
    if call.startswith("rename"):
        return [(path, "w") for path in paths]
    if call in ("link", "linkat"):
        return [(paths[-1], "l")]
    if call in ("connect", "bind") and "sun_path=" in words:
        named = re.search(r'sun_path="([^"]*)"', words)
        return [(named[1], "w" if call == "bind" else "rw")] if named else []
    return []


def resolved(path):
    """The path without links, as the kernel asks for it."""
    path = re.sub(r"^/proc/(self|thread-self)\b", "/proc/1", path)
    return path if path.startswith("/proc/") else os.path.realpath(path)


with open(sys.argv[1]) as file:
    rules = rules_of(file.read())
asked = set()
with open(sys.argv[2], errors="replace") as file:
    for line in file:
        for path, rights in needs(line):
            if path.startswith("/"):
                asked.update((resolved(path), right) for right in rights)
refused = [(path, right) for path, right in sorted(asked)
           if not any(right in rights and (pattern.match(path) or pattern.match(path + "/"))
                      for pattern, rights in rules)]
for path, right in refused:
    print(f"not allowed: {path} {right}")
print(f"{len(asked)} accesses, {len(rules)} rules")
sys.exit(bool(refused) or len(asked) < 30)
