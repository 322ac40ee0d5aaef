"""The one exception a user causes and can fix."""


class InputError(Exception):
    """Bad input from outside: a file, a prompt, an option, a checkpoint, a folder.

    The message is one line that names the thing and the fix. Entry points print it and exit with code 2.
    """
