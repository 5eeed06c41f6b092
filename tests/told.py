"""What untrusted programs of the tests begin with, to tell what they saw."""

TELL = """
import errno, json, os, socket, sys, time
def tell(value): os.write(RESULT_FD, json.dumps(value).encode())
def error(action, *arguments):
    try:
        action(*arguments)
    except OSError as problem:
        return errno.errorcode[problem.errno]
    return "done"
"""
