"""Texts spoken by eSpeak NG's library: a program of its own, so that its faults end nothing else.

    python -I espeak_speaker.py LIBRARY FOLDER < utterances.json > samples

FOLDER holds espeak-ng-data. An utterance is [text, voice, words a minute, pitch 0..99], a voice such as
`en-us+f2`: language and variant. What comes back is the sample rate, and of each utterance the number of its
samples and these, all whole numbers of the machine's order: 32 bits, samples 16. It needs the standard
library alone. Each utterance is spoken by a fork of a library in which none was before: the library keeps the
state of its noise, and a sound would depend on those before it.
"""

import array
import ctypes
import json
import os
import sys

_SYNCHRONOUS, _DO_NOT_EXIT = 2, 0x8000
_RATE, _PITCH = 1, 3
_CHARACTERS, _UTF8 = 1, 1
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def spoken(library: ctypes.CDLL, text: str, voice: str, words_per_minute: int, pitch: int) -> array.array:
    """The samples of one utterance.

    Raises:
        ValueError: there is no such voice, or it says nothing.
    """
    samples = array.array("h")

    @_CALLBACK
    def keep(content: "ctypes._Pointer[ctypes.c_short]", count: int, events: int) -> int:
        if content and count:
            samples.frombytes(ctypes.string_at(content, 2 * count))
        return 0

    library.espeak_SetSynthCallback(keep)
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise ValueError(f"eSpeak has no voice {voice!r}")
    library.espeak_SetParameter(_RATE, words_per_minute, 0)
    library.espeak_SetParameter(_PITCH, pitch, 0)
    content = text.encode()
    library.espeak_Synth(content, ctypes.c_size_t(len(content) + 1), 0, _CHARACTERS, 0, _UTF8, None, None)
    if not any(samples):
        raise ValueError(f"eSpeak's voice {voice!r} says nothing of {text!r}")
    return samples


def main(path: str, folder: str) -> str | None:
    """Speaks what standard input asks for; the fault, if there is one."""
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        return f"eSpeak's library cannot be loaded ({error})"
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, folder.encode(), _DO_NOT_EXIT)
    if rate <= 0:
        return f"eSpeak finds no voices in {folder}"
    out = sys.stdout.buffer
    out.write(array.array("i", [rate]).tobytes())
    out.flush()
    for utterance in json.load(sys.stdin):
        child = os.fork()
        if child == 0:
            _speak(library, utterance)
        if os.waitpid(child, 0)[1] != 0:
            return f"eSpeak failed at {utterance}"
    return None


def _speak(library: ctypes.CDLL, utterance: list) -> None:
    """One utterance to standard output, and the end of this process."""
    status = 1
    try:
        samples = spoken(library, *utterance)
        sys.stdout.buffer.write(array.array("i", [len(samples)]).tobytes() + samples.tobytes())
        sys.stdout.buffer.flush()
        status = 0
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr, flush=True)
    finally:
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
